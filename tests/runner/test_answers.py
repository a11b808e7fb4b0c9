"""Approve, reject, nobody: what GitLab is told, and what the audit log says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.runner.gated import HEAD, Gated
from tests.support.site import IS_ROOT, USERS

if TYPE_CHECKING:
    from collections.abc import Callable

    Start = Callable[..., Gated]

NEEDS_USERS = pytest.mark.skipif(not IS_ROOT, reason="not root: only root can act as a second Unix user")


def test_an_approval_lets_the_job_run(gated: Start) -> None:
    case = gated()
    job = case.waiting()
    assert not case.ran(job)
    case.drop(job, "approve", "go ahead")
    assert case.outcome(job) == ("success", None, None)
    assert case.ran(job)
    assert case.site.events(job) == ["requested", "vote", "decided", "released", "ended"]
    assert case.site.records("vote", job)[0]["comment"] == "go ahead"


def test_the_heads_in_the_job_log_are_those_of_the_audit_log(gated: Start) -> None:
    case = gated()
    job = case.waiting()
    case.drop(job, "approve")
    case.outcome(job)
    verified = case.site.verify(anchors=HEAD.findall(case.harness.trace(job)))
    assert (verified.ok, len(HEAD.findall(case.harness.trace(job)))) == (True, 2)


def test_a_rejection_fails_the_job_with_its_code_and_is_asked_once(gated: Start) -> None:
    case = gated()
    job = case.waiting()
    case.drop(job, "reject", "not on a Friday")
    assert case.outcome(job) == ("failed", "script_failure", 80)
    assert not case.ran(job)
    assert "rejected by" in case.harness.trace(job)
    assert "not on a Friday" in case.harness.trace(job)
    assert case.site.events(job) == ["requested", "vote", "decided", "ended"]


def test_no_answer_fails_the_job_with_its_code(gated: Start) -> None:
    case = gated(rule={"decide_within": "2s"}, exit_codes={"expired": 33})
    job = case.submit()
    assert case.outcome(job) == ("failed", "script_failure", 33)
    assert (case.ran(job), case.decisions(job)) == (False, ["expired"])


def test_the_script_s_own_exit_code_reaches_gitlab(gated: Start) -> None:
    case = gated()
    job = case.waiting(script=["exit 7"])
    case.drop(job, "approve")
    assert case.outcome(job) == ("failed", "script_failure", 7)


def test_approve_and_reject_in_one_instant_leave_one_decision(gated: Start) -> None:
    case = gated()
    job = case.waiting()
    people = list(USERS)[:2]
    writing = [
        case.site.start_as(person, ["sh", "-c", f": > {case.site.state}/drop/{person}/{job}.{answer}"])
        for person, answer in zip((people[0], people[-1]), ("approve", "reject"), strict=True)
    ]
    for process in writing:
        process.communicate(timeout=60)
    ended = case.outcome(job)
    (decided,) = case.decisions(job)
    assert (decided == "approved") == case.ran(job) == (ended[0] == "success")


@NEEDS_USERS
def test_of_two_commands_in_one_instant_the_loser_is_told(gated: Start) -> None:
    case = gated()
    job = case.waiting()
    words = [("alice", "approve"), ("bob", "reject")]
    running = [case.site.start_gate(person, answer, str(job)) for person, answer in words]
    said = {answer: process.communicate(timeout=60) for (_person, answer), process in zip(words, running, strict=True)}
    codes = [process.returncode for process in running]
    case.outcome(job)
    assert sorted(codes) == [0, 4], said
    loser = said[words[codes.index(4)][1]][1]
    assert "came to nothing" in loser or "is not waiting: " in loser


def test_a_half_written_rejection_is_not_read_before_it_is_closed(gated: Start) -> None:
    case = gated()
    job = case.waiting()
    path = case.site.state / "drop" / case.approver / f"{job}.reject"
    writer = 'exec 3> "$1"; printf not >&3; echo half; read go; printf " today" >&3'
    with case.site.start_as(case.approver, ["sh", "-c", writer, "sh", str(path)]) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "half\n"
        case.drop(case.waiting(), "approve")  # another job comes and goes meanwhile
        assert case.decisions(job) == []
        process.stdin.write("\n")
        process.stdin.flush()
        assert case.outcome(job) == ("failed", "script_failure", 80)
    assert case.site.records("vote", job)[0]["comment"] == "not today"


@pytest.mark.parametrize(
    ("early", "answer", "expected"),
    [
        (False, "approve", "expired"),
        (True, "approve", "approved"),
        (False, "reject", "rejected"),
        (True, "reject", "rejected"),
    ],
)
def test_an_early_answer_counts_as_the_rule_says(gated: Start, early: bool, answer: str, expected: str) -> None:
    case = gated(rule={"early": early, "decide_within": "4s" if expected == "expired" else "10m"})
    first = case.waiting(script=["other work"])
    case.drop(first, "reject")
    case.outcome(first)
    case.drop(first + 1, answer, "beforehand")
    job = case.submit()
    assert job == first + 1
    case.outcome(job)
    assert case.decisions(job) == [expected]
    assert ("answered before the job was here" in case.harness.trace(job)) == (expected != "expired")
    assert bool(case.site.records("drop-turned-away", job)) == (expected == "expired")


@NEEDS_USERS
def test_someone_not_on_the_list_does_not_count(gated: Start) -> None:
    case = gated()
    job = case.waiting()
    case.drop(job, "approve", person="carol")
    case.drop(job, "reject", person="bob")
    assert case.outcome(job) == ("failed", "script_failure", 80)
    assert case.site.events(job) == ["requested", "vote", "decided", "ended"]


def test_four_jobs_at_once_each_get_their_own_answer(gated: Start) -> None:
    case = gated()
    jobs = [case.submit() for _ in range(4)]
    for job in jobs:
        case.harness.wait_trace(job, "audit head seq=")
    answers = {jobs[2]: "approve", jobs[0]: "reject", jobs[3]: "approve", jobs[1]: "reject"}
    for job, answer in answers.items():
        case.drop(job, answer)
    for job, answer in answers.items():
        expected = ("success", None, None) if answer == "approve" else ("failed", "script_failure", 80)
        assert (case.outcome(job), case.ran(job)) == (expected, answer == "approve")


def test_a_job_that_people_retry_later_is_asked_for_again(gated: Start) -> None:
    case = gated(rule={"after_rejection": "0s"})
    job = case.waiting()
    case.drop(job, "reject")
    case.outcome(job)
    again = case.harness.retry(job)
    case.harness.wait_trace(again, "audit head seq=")
    assert case.decisions(again) == []
    case.drop(again, "approve")
    assert case.outcome(again)[0] == "success"


def test_the_command_line_approves(gated: Start) -> None:
    case = gated()
    job = case.waiting()
    done = case.site.gate(case.approver, "approve", str(job), "-m", "fine by me")
    assert (done.returncode, done.stdout.partition(": ")[0]) == (0, f"{case.site.job_dir(job).name} is approved")
    (line,) = done.stderr.splitlines()
    assert f"deploy #{job} (stage deploy) of grp/app" in line
    assert case.outcome(job)[0] == "success"
