"""What the probe driver wrote down, and how it is wired."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.fake_gitlab import WAIT_S
from tests.support.wiring import DriverWiring

if TYPE_CHECKING:
    from collections.abc import Callable

_DRIVER = Path(__file__).with_name("probe_driver.py")

Call = dict[str, Any]


class Probe:
    """Reads one probe's log; `env` belongs into the runner's environment."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.env = {"PROBE_LOG": str(path)}

    def wiring(self, **changes: object) -> DriverWiring:
        return DriverWiring.of([sys.executable, "-I", "-S", str(_DRIVER)], **changes)

    def lines(self, job_id: int) -> list[Call]:
        """Everything about one job, in order; calls of the driver have `argv`."""
        text = self._path.read_text(encoding="utf-8") if self._path.exists() else ""
        whole = text[: text.rfind("\n") + 1]  # a line that is being written may be seen by half
        return [line for line in map(json.loads, whole.splitlines()) if line["job"] == job_id]

    def calls(self, job_id: int, stage: str | None = None) -> list[Call]:
        return [line for line in self.lines(job_id) if "argv" in line and stage in (None, line["stage"])]

    def stages(self, job_id: int) -> str:
        """The calls in short: a letter for config, prepare and cleanup, the stage's name for run."""
        return " ".join(call["argv"][2] if call["stage"] == "run" else call["stage"] for call in self.calls(job_id))

    def wait(self, job_id: int, done: Callable[[list[Call]], bool], timeout: float = WAIT_S) -> list[Call]:
        """Polls until `done(lines)`; raises TimeoutError after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while not done(lines := self.lines(job_id)):
            if time.monotonic() > deadline:
                message = f"job {job_id}: the probe wrote {lines!r}"
                raise TimeoutError(message)
            time.sleep(0.05)
        return lines


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and is not yet reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
