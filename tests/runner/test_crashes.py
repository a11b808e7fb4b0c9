"""What is killed, and when: nothing runs unapproved, nothing is recorded twice, nothing is left waiting."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

import pytest

from tests.runner.gated import Gated, until
from tests.support.site import CHECKOUT, Site

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Start = Callable[..., Gated]

APPROVED = ["requested", "vote", "decided", "released", "ended"]
REJECTED = ["requested", "vote", "decided", "ended"]
STEPS = [
    f"{when} {what}"
    for what in (
        "request.json",
        "requested",
        "vote file",
        "vote",
        "decision.json",
        "decided",
        "released",
        "release.json",
    )
    for when in ("before", "after")
]


def killed_at(site: Site, tmp_path: Path) -> dict[str, list[str]]:
    marks = tmp_path / "marks"
    marks.mkdir()
    script = CHECKOUT / "tests/support/killed_prepare.py"
    return {"prepare": [sys.executable, "-I", "-S", str(script), str(marks), "--config", str(site.yaml), "prepare"]}


def test_prepare_killed_at_any_step_is_finished_by_the_next_attempt(gated: Start, tmp_path: Path) -> None:
    with Site() as site:
        case = gated(site=site, concurrent=len(STEPS), wiring=killed_at(site, tmp_path))
        jobs = {step: case.submit(name=step) for step in STEPS}
        for job in jobs.values():
            case.harness.wait_trace(job, "audit head seq=")
            case.drop(job, "approve")
        ended = {step: (case.outcome(job)[0], case.ran(job), case.site.events(job)) for step, job in jobs.items()}
        assert ended == dict.fromkeys(STEPS, ("success", True, APPROVED))
        assert len(list((tmp_path / "marks").iterdir())) == len(STEPS)
        assert case.site.verify().ok


def test_a_rejection_stands_wherever_prepare_is_killed(gated: Start, tmp_path: Path) -> None:
    steps = [step for step in STEPS if "release" not in step]
    with Site() as site:
        case = gated(site=site, concurrent=len(steps), wiring=killed_at(site, tmp_path))
        jobs = {step: case.submit(name=step) for step in steps}
        for job in jobs.values():
            case.harness.wait_trace(job, "audit head seq=")
            case.drop(job, "reject")
        ended = {step: (case.outcome(job)[2], case.ran(job), case.site.events(job)) for step, job in jobs.items()}
        assert ended == dict.fromkeys(steps, (80, False, REJECTED))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_runner_that_goes_away_leaves_nothing_waiting(gated: Start, how: signal.Signals) -> None:
    case = gated()
    job = case.waiting()
    waiter = case.site.job_dir(job)
    case.harness.kill_runner(how)
    until((waiter / "ended.json").exists, "abandoned")
    assert case.decisions(job) == ["abandoned"]
    late = case.site.gate(case.approver, "approve", str(job))
    assert (late.returncode, "is not waiting: abandoned" in late.stderr) == (4, True)
    dropped = case.drop(job, "approve")
    case.harness.restart_runner()
    following = case.waiting()
    assert not dropped.exists()
    swept = [record for record in case.site.records("drop-turned-away") if "its job has ended" in record["why"]]
    assert [record["drop"]["name"] for record in swept] == [dropped.name]
    case.drop(following, "approve")
    assert (case.outcome(following)[0], case.ran(job)) == ("success", False)


def test_a_waiter_that_is_killed_is_resumed_with_its_first_deadline(gated: Start) -> None:
    case = gated()
    job = case.waiting()
    deadline = next(line for line in case.harness.trace(job).splitlines() if "gate:   until" in line)
    case.kill_waiter(job)
    case.harness.wait_trace(job, "still waits for the approval that it asked for before")
    until(lambda: case.harness.trace(job).count("audit head seq=") == 2, "said in full")
    log = case.harness.trace(job)
    _first, resumed = [line for line in log.splitlines() if "gate:   until" in line]
    assert resumed.partition(", in")[0] == deadline.partition(", in")[0]
    case.drop(job, "approve")
    assert case.outcome(job)[0] == "success"
    assert case.site.events(job) == APPROVED
