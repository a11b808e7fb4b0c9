"""What must hold of a job that a fault has struck, in each attempt and when it has come through."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.fault_injection import BUILD_FAILURE

if TYPE_CHECKING:
    from tests.support.fault_injection import Jobs

APPROVED = ["requested", "vote", "decided", "released"]


def wrong_now(jobs: Jobs, job: int, codes: list[int]) -> str:
    """After each attempt: what must not be, in words."""
    released = (jobs.directory(job) / "release.json").exists()  # first: an orphaned step may still be at it
    events = jobs.events(job)
    report = jobs.site.verify(jobs.heads)
    wrong = [str(problem) for problem in report.problems]
    wrong += ["recorded twice"] if len(events) != len(set(events)) else []
    recorded = {"decided", "released"} <= set(events)
    wrong += ["released unrecorded"] if released and not recorded else []
    wrong += ["went on unreleased"] if codes[-1:] == [0] and not (released and recorded) else []
    wrong += ["a fault that is a no"] if {1, BUILD_FAILURE} & set(codes) else []
    return f"{codes}, {events}: {', '.join(wrong)}" if wrong else ""


def wrong_then(jobs: Jobs, job: int, codes: list[int], said: str) -> str:
    """After the last attempt: what is not as it would be without a fault, in words."""
    left = [path.name for path in jobs.site.state.glob(f"drop/*/{job}.*")]
    # A drop that could not be read at first is passed over, with a record, until it can.
    events = [event for event in jobs.events(job) if event != "drop-turned-away"]
    if codes[-1] == 0 and events == APPROVED and not left:
        return ""
    return f"{codes}: did not come through: {jobs.events(job)}, drops {left}; {said!r}"
