"""A job that is answered while a fault holds, and has to come through by itself once that is over."""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import TYPE_CHECKING

from tests.support.fault_injection import Jobs
from tests.support.fault_verdict import wrong_now, wrong_then

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.support.fault_injection import Stages
    from tests.support.site import Site

GIVE_UP_S = 60
IN_VAIN = "gate: cannot decide now: "
MENDED = "gate: that is fixed; the wait goes on"


def until(over: Callable[[], bool]) -> bool:
    give_up = time.monotonic() + GIVE_UP_S
    while not over() and time.monotonic() < give_up:
        time.sleep(0.01)
    return over()


class StruckWait:
    """Such a job; the fault ends when the gate has met it, or has let the job through."""

    def __init__(self, jobs: Jobs, fault: Callable[[], AbstractContextManager[None]]) -> None:
        self.jobs, self.fault = jobs, fault
        self.job = jobs.new()
        jobs.written(self.job)
        self.met = ""

    def answered(self) -> None:
        """While it waits."""
        with self.fault():
            self.jobs.answer(self.job, "approve")
            assert until(lambda: IN_VAIN in self.jobs.said() or self._is_through()), self.jobs.said()
            self.met = self.jobs.said().partition(IN_VAIN)[2].partition("\n")[0]
            # Nothing of the log's chain: on a disk that loses what it was given, readers may meet what is still to be
            # mended.
            through = self._is_through()
            assert {"decided", "released"} <= set(self.jobs.events(self.job)) or not through

    def wrong(self, stages: Stages, attempt: int = 1) -> str:
        """What is wrong once it came through, in this attempt."""
        code, said = stages.do("prepare", self.job, attempt, answers=[self.answered])
        lost = f"met {self.met!r} and never said that it is over: {said}" if self.met and MENDED not in said else ""
        return wrong_now(self.jobs, self.job, [code]) or wrong_then(self.jobs, self.job, [code], said) or lost

    def _is_through(self) -> bool:
        return (self.jobs.directory(self.job) / "release.json").exists()


def no_fault() -> AbstractContextManager[None]:
    return nullcontext()


def jobs_on(site: Site, scratch: Path) -> Jobs:
    """Jobs whose log has begun."""
    (scratch / "jobs").mkdir()
    jobs = Jobs(site, scratch / "jobs")
    with jobs.stages() as stages:
        assert StruckWait(jobs, no_fault).wrong(stages) == ""
    return jobs
