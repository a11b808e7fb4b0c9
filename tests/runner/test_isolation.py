"""Approved jobs: each in its own tree, nothing outlives its stage, a neighbour is left alone."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.runner.gated import RAN, Gated, until
from tests.support.site import IS_ROOT, Site

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.runner.conftest import HarnessFactory

    Start = Callable[..., Gated]


def processes(mark: str) -> list[int]:
    """Pids whose command line holds `mark`, on the host's own /proc."""
    found = []
    for name in filter(str.isdecimal, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                found += [int(name)] if mark.encode() in file.read() else []
        except OSError:
            continue
    return found


def odd_number() -> str:
    """Seconds to sleep that no other process sleeps."""
    return f"1{int(os.urandom(4).hex(), 16)}"


def test_two_jobs_of_one_project_each_see_their_own_tree(gated: Start) -> None:
    case = gated()
    script = [
        "ls -A",
        "echo $CI_JOB_ID > mine",
        "for i in $(seq 100); do test $(cat mine) = $CI_JOB_ID && test $(ls -A | wc -l) = 1 || exit 9; sleep 0.02; done",
        f"echo '{RAN}'",
    ]
    jobs = [case.waiting(script=script), case.waiting(script=script)]
    for job in jobs:
        case.drop(job, "approve")
    assert [case.outcome(job)[0] for job in jobs] == ["success", "success"]
    assert os.listdir(case.site.state / "work") == []


def test_what_a_stage_leaves_behind_is_dead_after_it(gated: Start) -> None:
    case = gated()
    number = odd_number()
    job = case.waiting(script=[f"setsid sleep {number} & echo started"])
    case.drop(job, "approve")
    assert case.outcome(job)[0] == "success"
    assert processes(number) == []


def test_a_stage_that_is_killed_takes_its_job_along_and_no_neighbour(gated: Start) -> None:
    case = gated()
    numbers = [odd_number(), odd_number()]
    jobs = [case.waiting(script=[f"setsid sleep {number} & sleep {number}"]) for number in numbers]
    for job, number in zip(jobs, numbers, strict=True):
        case.drop(job, "approve")
        until(lambda number=number: len(processes(number)) >= 2, "running")  # type: ignore[misc]
    stage = stage_above(next(pid for pid in processes(numbers[0])))
    os.kill(stage, signal.SIGKILL)
    until(lambda: not processes(numbers[0]), "dead")
    assert len(processes(numbers[1])) >= 2
    case.harness.cancel(jobs[1])
    assert case.outcome(jobs[0])[0] == "failed"


def stage_above(pid: int) -> int:
    """The `run` stage process that a job's process descends from."""
    while True:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().split(b"\0")
        if b"run" in words and any(word.endswith(b"gitlab_runner_gate.py") for word in words):
            return pid
        with open(f"/proc/{pid}/stat", "rb") as file:
            pid = int(file.read().rpartition(b")")[2].split()[1])
        assert pid > 1, "not found: a subreaper stands between"


def test_a_script_that_loops_in_builtins_ends_when_cancelled(gated: Start) -> None:
    case = gated()
    job = case.waiting(script=["echo looping", "while :; do :; done"])
    case.drop(job, "approve")
    case.harness.wait_trace(job, "\nlooping")
    case.harness.cancel(job)
    assert case.outcome(job)[0] == "canceled"


@pytest.mark.skipif(not IS_ROOT, reason="not root: the gate and its jobs are one user here")
def test_a_job_cannot_write_state_nor_read_secrets(gated: Start) -> None:
    case = gated()
    state = case.site.state
    script = [
        f"! cat {state}/secret",
        f"! ls {state}/jobs",
        f"! ls {state}/audit",
        f"! touch {state}/drop/alice/x",
        f"! touch {state}/x",
        f"! ls {state}/drop/alice",
        f"echo '{RAN}'",
    ]
    job = case.waiting(script=script)
    case.drop(job, "approve")
    assert case.outcome(job) == ("success", None, None)


def test_a_long_job_keeps_its_later_stages_while_others_come_and_go(
    both: tuple[HarnessFactory, HarnessFactory],
) -> None:
    with Site() as first, Site() as second:
        cases = [Gated(site, start(site.wiring())) for site, start in zip((first, second), both, strict=True)]
        long_jobs = [case.waiting(script=["sleep 90"], after_script=["echo AFTER 90 s"]) for case in cases]
        for case, job in zip(cases, long_jobs, strict=True):
            case.drop(job, "approve")
        for _ in range(8):
            for case in cases:
                case.drop(case.waiting(), "reject")
        for case, job in zip(cases, long_jobs, strict=True):
            assert case.outcome(job, 150) == ("success", None, None)
            assert "AFTER 90 s" in case.harness.trace(job)
