"""Deadlines and ends of the wait: three clocks, a cancel, and a runner that has its own idea of time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.runner.gated import Gated

    Start = Callable[..., Gated]


def test_a_short_prepare_timeout_is_warned_of_and_sets_the_deadline(gated: Start) -> None:
    case = gated(prepare_timeout=20)
    job = case.submit()
    assert case.outcome(job) == ("failed", "script_failure", 81)
    log = case.harness.trace(job)
    assert "set by --prepare-timeout 20 less 15s" in log
    assert "less than the 10min that rule 'all' gives to decide" in log
    opened = json.loads((case.site.job_dir(job) / "request.json").read_text(encoding="utf-8"))
    assert opened["deadline_boottime_ms"] - opened["opened_boottime_ms"] == 5000
    assert case.site.records("decided", job)[0]["boottime"] >= opened["deadline_boottime_ms"]


def test_an_approval_within_a_short_prepare_timeout_counts(gated: Start) -> None:
    case = gated(prepare_timeout=120)
    job = case.waiting()
    case.drop(job, "approve")
    assert case.outcome(job)[0] == "success"


def test_a_runner_that_ends_prepare_early_never_runs_the_job(gated: Start) -> None:
    case = gated(wiring={"prepare_exec_timeout": 10})
    job = case.submit()
    assert case.outcome(job) == ("failed", "runner_system_failure", None)
    assert (case.ran(job), case.decisions(job)) == (False, ["canceled"])
    assert case.harness.trace(job).count("this job waits for an approval") == 1
    assert case.harness.trace(job).count("canceled: the runner ended the wait") == 3  # one line in each attempt


def test_a_job_with_less_than_its_reserve_left_is_not_released(gated: Start) -> None:
    case = gated(rule={"reserve": "20m", "early": True, "decide_within": "1h"})
    first = case.submit()
    case.outcome(first)
    case.drop(first + 1, "approve")
    job = case.submit()
    assert case.outcome(job) == ("failed", "script_failure", 81)
    assert not case.ran(job)
    assert "the job's timeout of 10min less 20min to run in" in case.harness.trace(job)


def test_the_job_s_own_timeout_sets_the_deadline_where_it_is_shortest(gated: Start) -> None:
    case = gated(rule={"reserve": "17s"})
    job = case.submit(timeout=20)
    assert case.outcome(job) == ("failed", "script_failure", 81)
    assert "set by the job's timeout of 20s less 17s to run in" in case.harness.trace(job)


def test_a_cancelled_job_never_runs_and_waits_no_more(gated: Start) -> None:
    case = gated()
    job = case.waiting()
    assert str(job) in case.site.gate(case.approver, "list").stdout
    case.harness.cancel(job)
    assert case.outcome(job)[0] == "canceled"
    assert (case.ran(job), case.decisions(job)) == (False, ["canceled"])
    assert str(job) not in case.site.gate(case.approver, "list").stdout
    late = case.site.gate(case.approver, "approve", str(job))
    assert late.returncode == 4
    assert "is not waiting: canceled" in late.stderr


def test_a_wrong_prepare_timeout_is_a_fault_with_what_to_do(gated: Start) -> None:
    case = gated(prepare_timeout=15)
    job = case.submit()
    assert case.outcome(job) == ("failed", "runner_system_failure", None)
    assert case.harness.trace(job).count("--prepare-timeout 15 leaves no time to decide") == 3


@pytest.mark.parametrize("options", [["--config", "/nowhere/gate.yaml"], ["--confg=x"]])
def test_a_wrong_command_line_is_a_system_failure_in_one_line(gated: Start, options: list[str]) -> None:
    case = gated()
    prefix = case.site.driver()[:3]
    broken = gated(site=case.site, wiring={stage: [*prefix, *options, stage] for stage in ("config", "prepare", "run")})
    job = broken.submit()
    assert broken.outcome(job) == ("failed", "runner_system_failure", None)
    log = broken.harness.trace(job)
    assert "Traceback" not in log
    assert log.count("gate: ") == 3, log
