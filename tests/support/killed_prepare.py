"""`prepare`, killed at one step of the first attempt: `killed_prepare.py MARKS [gate-executor's arguments]`.

The job's name says at which step, as `after decision.json` or `before released`. The step's own process and the one
that waits are killed together, once: MARKS is a directory with a file for each job that was.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

CHECKOUT = Path(__file__).parents[2]
sys.path.insert(0, str(CHECKOUT))

import audit.log  # noqa: E402
import executor.prepare  # noqa: E402
import gate.store.files  # noqa: E402
from executor.main import main  # noqa: E402

MARKS = Path(sys.argv[1])
RESPONSE = json.loads(Path(os.environ["JOB_RESPONSE_FILE"]).read_text(encoding="utf-8"))
STEP = RESPONSE["job_info"]["name"]
WAITER = os.getpid()


def die_at(step: str) -> None:
    mark = MARKS / str(RESPONSE["id"])
    if step != STEP or mark.exists():
        return
    mark.touch()
    os.kill(WAITER, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def kill_around(function: Callable[..., Any], name_of: Callable[..., str]) -> Callable[..., Any]:
    def around(*args: Any, **kwargs: Any) -> Any:
        name = name_of(*args)
        die_at(f"before {name}")
        result = function(*args, **kwargs)
        die_at(f"after {name}")
        return result

    return around


def file_name(_directory: str, name: str, *_rest: object) -> str:
    return "vote file" if name.endswith(("approve.json", "reject.json")) else name


def event_of(_directory: str, fields: dict[str, Any]) -> str:
    return str(fields["event"])


gate.store.files.write_once = kill_around(gate.store.files.write_once, file_name)
audit.log.append_once = kill_around(audit.log.append_once, event_of)
executor.prepare._forget_own_code = lambda: None  # a step would import them anew, and not be killed

if __name__ == "__main__":
    main(sys.argv[2:])
