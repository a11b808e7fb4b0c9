"""A gate and a runner together, for the cases that must be shown both by rehearsal and through the real runner."""

from __future__ import annotations

import os
import re
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.fake_gitlab import WAIT_S
from tests.support.harness import RehearsalHarness
from tests.support.site import APPROVER, Site

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.harness import Harness

RAN = "THE SCRIPT RAN"
HEAD = re.compile(r"audit head seq=(\d+) sha256=([0-9a-f]{64})")


class Gated:
    """One gate behind one runner; `approver` may approve what `dev` triggered."""

    approver = APPROVER

    def __init__(self, site: Site, harness: Harness) -> None:
        self.site, self.harness = site, harness

    def submit(self, **changes: Any) -> int:
        """Queue a job whose script prints RAN."""
        return self.harness.submit(**{"script": [f"echo {RAN.replace(' ', '_')} | tr _ ' '"], **changes})

    def waiting(self, **changes: Any) -> int:
        """Queue a job and wait until it waits."""
        job = self.submit(**changes)
        self.harness.wait_trace(job, "audit head seq=")
        return job

    def drop(self, job: int, answer: str, text: str = "", person: str | None = None) -> Path:
        """Leave a drop for the job by its number."""
        return self.site.drop(person or self.approver, f"{job}.{answer}", text)

    def outcome(self, job: int, within_s: float = WAIT_S) -> tuple[str, str | None, int | None]:
        """(state, failure reason, exit code) that GitLab was told."""
        ended = self.harness.wait(job, within_s)
        return ended.state, ended.failure_reason, ended.exit_code

    def let_expire(self) -> None:
        """End the time to decide, by gate.yaml, now that all has been seen that was to be seen before that."""
        self.site.config["rules"][0]["decide_within"] = "1s"
        self.site.write()

    def ran(self, job: int) -> bool:
        """Whether the job's script ran, by its log."""
        return RAN in self.harness.trace(job)

    def lookouts(self) -> set[int]:
        """The processes that hold a place of lookouts (executor/lookout.py), by /proc/locks."""
        places = self.site.state / "lookout"
        end = f":{places.stat().st_ino}" if places.exists() else ":none"
        locks = [line.split() for line in Path("/proc/locks").read_text(encoding="ascii").splitlines()]
        return {int(words[4]) for words in locks if words[1] == "POSIX" and words[5].endswith(end)}

    def kill_waiter(self, job: int) -> None:
        """SIGKILL the process that waits for the job, which the heartbeat's lock names."""
        directory = self.site.job_dir(job)
        until(lambda: list(directory.glob("waiting.*")), "waiting")  # the job log is told just before
        beat = max(directory.glob("waiting.*"))
        holders = [pid for pid in filter(str.isdecimal, os.listdir("/proc")) if _holds(pid, beat)]
        for pid in holders:
            with suppress(ProcessLookupError):  # a step of it that ended meanwhile
                os.kill(int(pid), signal.SIGKILL)
        assert holders

    def other_instance(self) -> dict[str, str]:
        """What makes a job one of another GitLab; a second fake GitLab is on another port already."""
        return {"server_url": "http://other.example"} if isinstance(self.harness, RehearsalHarness) else {}

    def decisions(self, job: int) -> list[str]:
        """The decisions in the audit log, one where all is well."""
        return [record["decision"] for record in self.site.records("decided", job)]


def until(condition: Callable[[], object], what: str, within_s: float = WAIT_S) -> None:
    """Wait for a condition; fails with `what` when it does not come."""
    give_up = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up, f"not {what} within {within_s} s"
        time.sleep(0.05)


def _holds(pid: str, path: Path) -> bool:
    try:
        held = os.listdir(f"/proc/{pid}/fd")
    except OSError:  # it has ended
        return False
    return any(_is(f"/proc/{pid}/fd/{each}", path) for each in held)


def _is(descriptor: str, path: Path) -> bool:
    try:
        return os.path.samefile(descriptor, path)
    except OSError:  # closed meanwhile, which says nothing of the others
        return False
