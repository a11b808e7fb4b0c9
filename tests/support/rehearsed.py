"""One rehearsal as a process of its own: it plays the runner's process, so it can be signalled and killed like one."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import gitlab_runner_gate  # noqa: F401 - of the checkout or, in `make package`, of the wheel: it puts ours first
from executor.rehearsal.session import run

if __name__ == "__main__":
    sys.exit(run(**json.loads(sys.argv[1])))
