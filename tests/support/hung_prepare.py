"""`prepare` whose looks hang, as at a file system that does not answer: `hung_prepare.py AT [gate-executor's arguments]`.

AT is the source that they hang at; `all`: before they have come to any.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

CHECKOUT = Path(__file__).parents[2]
sys.path.insert(0, str(CHECKOUT))

import executor.prepare  # noqa: E402
import executor.steps  # noqa: E402
from executor.main import main  # noqa: E402

AT = sys.argv[1]
looking = executor.steps.looking


def hanging(context: Any, interrupted: Callable[[], bool]) -> Any:
    said = context["at"]

    def at(source: str) -> None:
        said(source)
        if source == AT:
            time.sleep(600)

    if AT == "all":
        time.sleep(600)
    return looking(context | {"at": at}, interrupted)


executor.steps.looking = hanging
executor.prepare._forget_own_code = lambda: None  # a step would import them anew, and not hang
executor.prepare.LOOK_WITHIN_MS = 1000

if __name__ == "__main__":
    main(sys.argv[2:])
