"""A gate that takes a rehearsal for a runner: what a real job does with what an older version of the gate left.

Run as a program it is the command of config: it calls the one that it is given as a runner would, and marks the answer
as that to a rehearsal, without which the rehearsal would not go on.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from executor.rehearsal.session import Wiring


def as_runner(wiring: Wiring) -> Wiring:
    """The same wiring, for a job that is recorded as one of GitLab's."""
    return dataclasses.replace(wiring, config=(sys.executable, __file__, *wiring.config))


if __name__ == "__main__":
    command = [word for word in sys.argv[1:] if word != "--rehearsal"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if done.returncode == 0:
        answer = json.loads(done.stdout)
        answer["job_env"]["GATE_REHEARSAL"] = "1"
        print(json.dumps(answer))
    sys.exit(done.returncode)
