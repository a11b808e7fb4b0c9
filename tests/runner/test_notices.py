"""on_event through the runner: what is told and when, and that nothing ever waits for it."""

from __future__ import annotations

import json
import re
import signal
from typing import TYPE_CHECKING

import pytest

from gate import TOOL_PATH
from tests.runner.gated import Gated, until
from tests.runner.test_answers import NEEDS_USERS
from tests.runner.test_crashes import killed_at
from tests.support.notified import HANG, Notified
from tests.support.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Start = Callable[..., Gated]

CANARY = "canary-5f1d"


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Notified]:
    with Notified(tmp_path / "told") as command:
        yield command


@pytest.fixture
def hanging(tmp_path: Path) -> Iterator[Notified]:
    with Notified(tmp_path / "hanging", HANG) as command:
        yield command


@pytest.mark.parametrize(("answer", "decision", "code"), [("approve", "approved", None), ("reject", "rejected", 80)])
def test_opened_and_decided_are_told(gated: Start, told: Notified, answer: str, decision: str, code: int) -> None:
    case = gated(on_event=told.command)
    job = case.waiting()
    opened = told.one("opened")
    assert (opened["job"]["id"], opened["job"]["user"], opened["site"]) == (job, "dev", "test.example")
    assert opened["request"] == case.site.job_dir(job).name
    case.drop(job, answer, "as we said")
    assert case.outcome(job)[2] == code
    decided = told.one("decided")
    assert (decided["decision"], decided["comment"], decided["digest"]) == (decision, "as we said", opened["digest"])
    assert decided["by"] == {"person": case.approver, "via": "drop"}
    assert len(told.messages()) == 2


def test_that_nobody_answered_is_told(gated: Start, told: Notified) -> None:
    case = gated(rule={"decide_within": "2s", "remind_every": "0s"}, on_event=told.command)
    job = case.submit()
    assert case.outcome(job)[2] == 81
    decided = told.one("decided")
    assert (decided["decision"], decided["by"], decided["left_s"]) == ("expired", None, 0)
    assert sorted(message["event"] for message in told.messages()) == ["decided", "opened"]


def test_a_refusal_is_told_though_nobody_was_asked(gated: Start, told: Notified) -> None:
    case = gated(rule={"match": {"project": "other/*"}}, on_event=told.command)
    job = case.submit()
    assert case.outcome(job)[2] == 83
    decided = told.one("decided")
    assert (decided["decision"], decided["rule"], decided["asks"]) == ("refused", "", "")
    assert "no rule is for it" in decided["why"]
    assert told.messages("opened") == []


def test_the_end_of_a_wait_that_nobody_decided_is_told(gated: Start, told: Notified) -> None:
    case = gated(on_event=told.command)
    job = case.waiting()
    case.harness.cancel(job)
    case.outcome(job)
    assert told.one("decided")["decision"] == "canceled"
    left = case.waiting()
    case.harness.kill_runner(signal.SIGKILL)
    until(lambda: len(told.messages("decided")) == 2, "told")
    (abandoned,) = [message for message in told.messages("decided") if message["job"]["id"] == left]
    assert abandoned["decision"] == "abandoned"


def test_an_older_job_that_is_superseded_is_told(gated: Start, told: Notified) -> None:
    case = gated(rule={"supersede": True}, on_event=told.command)
    job = case.waiting()
    newer = case.waiting()
    assert case.outcome(job)[2] == 82
    decided = told.one("decided")
    assert (decided["decision"], decided["job"]["id"]) == ("superseded", job)
    assert f"#{newer}" in decided["why"]


def test_nothing_secret_is_told_or_handed_on(gated: Start, told: Notified) -> None:
    case = gated(rule={"remind_every": "1s"}, on_event=told.command)
    job = case.waiting(
        variables={"SECRET": CANARY, "PATH": CANARY, "LANG": CANARY, "HOME": CANARY},
        token=f"token-{CANARY}",
        script=[f"echo {CANARY}"],
    )
    told.one("opened")
    until(lambda: told.messages("reminder"), "reminded")
    case.drop(job, "approve")
    case.outcome(job)
    told.one("decided")
    assert f"token-{CANARY}" not in b"".join(told.bytes_told()).decode()
    assert CANARY not in json.dumps([told.messages(), told.environments()])
    assert all(env.keys() == {"PATH", "LANG", "HOME"} and env["PATH"] == TOOL_PATH for env in told.environments())


def test_reminders_come_until_the_decision(gated: Start, told: Notified) -> None:
    case = gated(rule={"remind_every": "1s"}, on_event=told.command)
    job, other = case.waiting(name="one"), case.waiting(name="other")

    def of(asked: int) -> list[int]:
        return sorted(message["reminder"] for message in told.messages("reminder") if message["job"]["id"] == asked)

    until(lambda: len(of(job)) >= 2, "reminded")
    case.drop(job, "approve")
    case.outcome(job)
    decided, before = told.one("decided"), of(other)
    until(lambda: len(of(other)) >= len(before) + 2, "reminded of the other one")
    mine = [message for message in told.messages("reminder") if message["job"]["id"] == job]
    assert all(message["waited_s"] <= decided["waited_s"] for message in mine)
    assert len(set(of(job))) == len(mine)
    assert mine[0]["progress"] == "0 of 1 from release-managers"


@NEEDS_USERS
def test_a_reminder_says_who_has_voted_and_what_is_missing(gated: Start, told: Notified) -> None:
    approvals = [{"count": 2, "of": ["release-managers"]}]
    case = gated(rule={"approvals": approvals, "remind_every": "1s"}, on_event=told.command)
    job = case.waiting()
    case.drop(job, "approve")
    told_so = "1 of 2 from release-managers: alice"
    until(lambda: told_so in [message["progress"] for message in told.messages("reminder")], "reminded")


def test_without_remind_every_one_reminder_comes_at_half_time(gated: Start, told: Notified) -> None:
    case = gated(rule={"decide_within": "20s"}, on_event=told.command)
    job = case.submit()
    assert case.outcome(job)[2] == 81
    reminder = told.one("reminder")
    assert (reminder["reminder"], reminder["waited_s"] >= 10) == (1, True)
    assert told.one("decided")["decision"] == "expired"


def test_a_hanging_command_holds_up_nothing(gated: Start, hanging: Notified) -> None:
    case = gated(rule={"remind_every": "1s"}, on_event=hanging.command)
    job = case.waiting()
    until(lambda: hanging.messages("reminder"), "reminded")
    case.drop(job, "approve")
    assert (case.outcome(job), case.ran(job)) == (("success", None, None), True)
    until(lambda: hanging.messages("decided"), "told")
    until(lambda: len(hanging.running()) == len(hanging.messages()) >= 3, "all hanging")  # a reminder may be on its way


def test_a_hanging_command_holds_no_lock_of_the_wait(gated: Start, hanging: Notified) -> None:
    case = gated(on_event=hanging.command)
    job = case.waiting()
    hanging.one("opened")
    case.kill_waiter(job)
    case.harness.wait_trace(job, "still waits for the approval that it asked for before")
    case.drop(job, "reject")
    assert case.outcome(job)[2] == 80
    assert len(hanging.messages("opened")) == 1


def test_a_failing_command_is_in_the_audit_log_and_changes_nothing(gated: Start, tmp_path: Path) -> None:
    with Notified(tmp_path / "failing", "echo 'the chat is down' >&2; exit 33") as failing:
        case = gated(on_event=failing.command)
        job = case.waiting()
        case.drop(job, "approve")
        assert case.outcome(job)[0] == "success"
        until(lambda: len(case.site.records("notice-failed", job)) == 2, "recorded")
    found = case.site.records("notice-failed", job)
    assert sorted(record["notice"] for record in found) == ["decided", "opened"]
    assert {record["why"] for record in found} == {"exit status 33: the chat is down"}
    assert case.site.verify().ok
    shown = case.site.gate(case.approver, "show", str(job)).stdout
    assert 'why="exit status 33: the chat is down"' in shown


@pytest.mark.parametrize("gone", ["", "plain"])
def test_a_command_that_cannot_be_run_is_recorded_and_the_job_goes_on(gated: Start, tmp_path: Path, gone: str) -> None:
    command = tmp_path / "notify"
    if gone == "plain":
        command.write_text("#!/bin/sh\n", encoding="utf-8")
        command.chmod(0o644)
    case = gated(on_event=[str(command)])
    job = case.waiting()
    case.drop(job, "approve")
    assert case.outcome(job)[0] == "success"
    assert re.search(rf"warning: .*on_event: {command}.*: no notices are sent", case.harness.trace(job))
    until(lambda: len(case.site.records("notice-failed", job)) == 2, "recorded")
    words = {"": "No such file or directory", "plain": "Permission denied"}[gone]
    assert {each["why"] for each in case.site.records("notice-failed", job)} == {f"cannot be started: {words}"}


@pytest.mark.parametrize(
    ("answer", "state", "steps"),
    [
        ("approve", "success", ["after requested", "after decision.json", "after released", "after release.json"]),
        ("reject", "failed", ["after request.json", "after decision.json", "after decided"]),
    ],
)
def test_each_is_told_once_wherever_prepare_is_killed(
    gated: Start, told: Notified, tmp_path: Path, answer: str, state: str, steps: list[str]
) -> None:
    with Site(on_event=told.command) as site:
        case = gated(site=site, concurrent=len(steps), wiring=killed_at(site, tmp_path))
        jobs = [case.submit(name=step) for step in steps]
        for job in jobs:
            case.harness.wait_trace(job, "audit head seq=")
            case.drop(job, answer)
        assert [case.outcome(job)[0] for job in jobs] == [state] * len(steps)
        until(lambda: len(told.messages("decided")) == len(steps), "told")
    for event in ("opened", "decided"):
        assert sorted(message["job"]["id"] for message in told.messages(event)) == jobs
