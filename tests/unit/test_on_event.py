"""What on_event is told, and that it is told once; a notice that goes wrong breaks nothing."""

from __future__ import annotations

import calendar
import json
import os
import shutil
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor import cleanup, steps
from gate.clock import boottime_ms
from gate.flow import detached, on_event
from gate.flow.decide import decide
from gate.store import layout
from gate.store.files import write_json_once
from gate.store.request import Request, record_of
from tests.runner.gated import until
from tests.support.gate_state import HOUR_MS, facts_of, in_children, made, open_request, records, rule_of
from tests.support.notified import Notified
from tests.support.parts import part

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")  # the threads of xdist

KEY = "git.example-42-1001"
VOTE = {"person": "alice", "answer": "approve", "comment": "fine", "via": "signed", "uid": 20_001}
OPENED_S = 1_796_000_000  # 2026-11-30T00:53:20Z


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Notified]:
    with Notified(tmp_path / "told") as command:
        yield command


@pytest.fixture
def policy(tmp_path: Path, told: Notified) -> Any:
    return made(tmp_path / "state", on_event=told.command)


def opened_at(policy: Any, *, waited_s: float = 0, within_s: float = 3600, **opened: Any) -> Request:
    """A request that was opened so long ago."""
    opened_ms = boottime_ms() - int(waited_s * 1000)
    return open_request(
        policy,
        opened_boottime_ms=opened_ms,
        opened_wall_s=OPENED_S,
        deadline_boottime_ms=opened_ms + int(within_s * 1000),
        **opened,
    )


def read(request: Request, policy: Any, event: str = "opened", **about: Any) -> Any:
    """What a message says."""
    said: Any = json.loads(on_event.message(request, policy, event, part(about)))
    return said


def rejected(request: Request, **changes: Any) -> Any:
    vote = VOTE | {"answer": "reject"}
    decision = decide(request, "rejected", "rejected by alice", rule="all", config="", votes=[part(vote)])
    return decision | changes


def test_opened_says_what_waits_and_what_is_asked(policy: Any) -> None:
    request = opened_at(policy, waited_s=90.5)
    assert read(request, policy) == {
        "v": 1,
        "event": "opened",
        "site": "test.example",
        "request": KEY,
        "url": None,
        "rehearsal": False,
        "job": record_of(request.facts),
        "rule": "all",
        "asks": "1 of release-managers (alice, bob)",
        "digest": "2" * 64,
        "opened": "2026-11-30T00:53:20Z",
        "until": "2026-11-30T01:53:20Z",
        "waited_s": 90,
        "left_s": 3509,
    }


def test_a_reminder_says_how_far_it_is_by_the_deadline_of_now(policy: Any) -> None:
    request = opened_at(policy, waited_s=90.5)
    earlier_ms = request.opened["opened_boottime_ms"] + 600_000
    said = read(request, policy, "reminder", progress="1 of 2: alice", reminder=3, deadline_ms=earlier_ms)
    assert (said["event"], said["progress"], said["reminder"]) == ("reminder", "1 of 2: alice", 3)
    assert (said["until"], said["left_s"]) == ("2026-11-30T01:03:20Z", 509)


def test_decided_says_what_who_and_why(policy: Any) -> None:
    request = opened_at(policy, waited_s=90.5)
    said = read(request, policy, "decided", decision=rejected(request), why=None)
    assert {name: said[name] for name in ("decision", "why", "by", "comment", "votes")} == {
        "decision": "rejected",
        "why": "rejected by alice",
        "by": {"person": "alice", "via": "signed"},
        "comment": "fine",
        "votes": [{"person": "alice", "comment": "fine"}],
    }
    assert said.keys() - {"decision", "why", "by", "comment", "votes"} == read(request, policy).keys()


def test_decided_by_nobody(policy: Any) -> None:
    request = opened_at(policy, rule="")
    decision = decide(request, "refused", "no rule is for it", rule="", config="")
    said = read(request, policy, "decided", decision=decision, why="no rule at all")
    assert (said["by"], said["comment"], said["votes"], said["why"]) == (None, "", [], "no rule at all")
    assert (said["rule"], said["asks"]) == ("", "")


def test_decided_counts_until_the_decision(policy: Any) -> None:
    request = opened_at(policy, waited_s=90.5)
    decision = rejected(request, boottime_ms=request.opened["opened_boottime_ms"] + 30_500)
    said = read(request, policy, "decided", decision=decision, why=None)
    assert (said["waited_s"], said["left_s"]) == (30, 3569)


def test_a_request_of_another_boot_is_timed_by_the_wall_clock(policy: Any) -> None:
    request = opened_at(policy, boot_id="another")
    decision = rejected(request, wall_s=OPENED_S + 7200.5)
    said = read(request, policy, "decided", decision=decision, why=None)
    assert (said["waited_s"], said["left_s"], said["until"]) == (7200, 0, "2026-11-30T01:53:20Z")


def test_a_message_names_the_page(policy: Any) -> None:
    request = opened_at(policy)
    assert read(request, policy | {"page": {"url": "https://gate.example"}})["url"] == (
        f"https://gate.example/requests/{KEY}"
    )
    assert read(request, policy | {"page": None})["url"] is None


def test_a_message_is_one_line_of_sorted_ascii(policy: Any) -> None:
    request = opened_at(policy, facts=facts_of(name='grün\n"\x1b[31m\u202e', ref="x" * 10_000))
    line = on_event.message(request, policy, "opened", {})
    said = json.loads(line)
    assert line == json.dumps(said, sort_keys=True).encode("ascii") + b"\n"
    assert said["job"]["name"] == 'grün\n"\x1b[31m\u202e'
    assert len(line) < 4096


def test_each_is_told_once(policy: Any, told: Notified) -> None:
    request = opened_at(policy, waited_s=3000)
    deadline_ms = request.opened["deadline_boottime_ms"]
    for _ in range(2):
        on_event.opened(request, policy)
        on_event.remind(request, policy, deadline_ms, "0 of 1")
        until(lambda: len(told.messages()) == 2, "told")
    for _ in range(2):
        on_event.decided(request, policy, rejected(request))
        until(lambda: len(told.messages()) == 3, "told")
    assert sorted(message["event"] for message in told.messages()) == ["decided", "opened", "reminder"]
    made_there = sorted(name for name in os.listdir(request.directory) if name.startswith("notice."))
    assert made_there == ["notice.decided", "notice.opened", "notice.reminder.1"]
    assert records(policy, "notice-failed") == []


def test_of_many_at_one_moment_one_tells(policy: Any, told: Notified) -> None:
    request = opened_at(policy)
    content = on_event.message(request, policy, "opened", {})

    def deliver(_n: int) -> bool:
        on_event._deliver(request, "opened", told.command, content)
        return True

    assert in_children(8, deliver) == [True] * 8
    assert told.bytes_told() == [content]


@pytest.mark.parametrize("changes", [{"on_event": []}, {"on_event": None}])
def test_without_a_command_nothing_is_told_or_kept(policy: Any, changes: Any) -> None:
    """A plan of an older version has no such key."""
    older = {name: value for name, value in (policy | changes).items() if value is not None}
    older["rules"] = [{name: value for name, value in rule_of().items() if name != "remind_every_s"}]
    request = opened_at(policy, waited_s=3000)
    deadline_ms = request.opened["deadline_boottime_ms"]
    on_event.opened(request, part(older))
    on_event.remind(request, part(older), deadline_ms, "")
    on_event.decided(request, part(older), rejected(request))
    assert on_event.remind_at_ms(request, part(older), deadline_ms) == 0
    assert sorted(os.listdir(request.directory)) == ["decision.json", "request.json", "votes"]


def test_a_command_that_fails_is_recorded(policy: Any, tmp_path: Path) -> None:
    request = opened_at(policy)
    with Notified(tmp_path / "failing", "echo 'no such host' >&2; exit 34") as failing:
        on_event.opened(request, policy | {"on_event": [*failing.command, "an argument"]})
        until(lambda: records(policy, "notice-failed"), "recorded")
    (record,) = records(policy, "notice-failed")
    assert {name: record[name] for name in ("request", "job", "notice", "command", "why")} == {
        "request": KEY,
        "job": record_of(request.facts),
        "notice": "opened",
        "command": failing.command[0],
        "why": "exit status 34: no such host",
    }


def test_a_failure_is_recorded_however_long_its_words(policy: Any) -> None:
    command = ["/bin/sh", "-c", "printf '%05000d' 0 | sed 's/0/\\xf0\\x9f\\x91\\x8d/g' >&2; exit 33"]
    on_event.opened(opened_at(policy), policy | {"on_event": command})
    until(lambda: records(policy, "notice-failed"), "recorded")


def test_what_cannot_be_started_is_recorded(policy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_work: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    request = opened_at(policy)
    monkeypatch.setattr(detached, "detach", fails)
    on_event.opened(request, policy)
    (record,) = records(policy, "notice-failed")
    assert record["why"] == "cannot be told: Resource temporarily unavailable"
    assert not request.has("notice.opened")


def test_a_marker_that_cannot_be_made_tells_nothing(policy: Any, told: Notified) -> None:
    request = opened_at(policy)
    shutil.rmtree(request.directory)
    on_event.opened(request, policy)
    until(lambda: records(policy, "notice-failed"), "recorded")
    assert "notice.opened: No such file or directory" in records(policy, "notice-failed")[0]["why"]
    assert told.messages() == []


@pytest.mark.parametrize("broken", [{"rules": None}, {"on_event": ["/nowhere"]}, {"page": 7}])
def test_telling_never_raises(policy: Any, broken: Any) -> None:
    request = opened_at(policy)
    shutil.rmtree(layout.audit(policy["state_dir"]))
    on_event.opened(request, policy | broken)
    on_event.decided(request, policy | broken, part({}))


def test_cleanup_tells_of_a_decision_that_prepare_could_not(policy: Any, told: Notified) -> None:
    request = opened_at(policy)
    rejected(request)
    cleanup._end(policy, KEY, "")
    assert told.one("decided")["decision"] == "rejected"


def test_an_approval_that_came_too_late_is_told_as_that(policy: Any, told: Notified) -> None:
    request = opened_at(policy, start_by_boottime_ms=0)
    decision = decide(
        request, "approved", "1 of 1", rule="all", config="", votes=[part(VOTE)], backend=policy["backend"]
    )
    assert steps._settle(request, decision, part({"policy": policy}), lambda: False)["state"] == "failed"
    said = told.one("decided")
    assert said["decision"] == "approved"
    assert said["why"].startswith("approved, but too little of the job's timeout is left")


REMINDERS: list[tuple[int | None, float, tuple[int, float]]] = [
    (None, 0, (0, 300)), (None, 299.9, (0, 300)), (None, 300, (1, 0)), (None, 700, (1, 0)),
    (0, 0, (0, 0)), (0, 599, (0, 0)),
    (100, 0, (0, 100)), (100, 99.9, (0, 100)), (100, 100, (1, 200)), (100, 350, (3, 400)), (100, 500, (5, 0)),
    (600, 0, (0, 0)), (599, 0, (0, 599)), (700, 0, (0, 0)),
]  # fmt: skip


@pytest.mark.parametrize(("every_s", "now_s", "expected"), REMINDERS)
def test_when_reminders_are_due_in_ten_minutes(every_s: int | None, now_s: float, expected: tuple[int, float]) -> None:
    number, next_ms = on_event.reminders(rule_of(remind_every_s=every_s), 7000, 607_000, 7000 + int(now_s * 1000))
    assert (number, next_ms and (next_ms - 7000) / 1000) == expected


@given(st.none() | st.integers(0, 10_000), st.integers(0, HOUR_MS), st.integers(0, 2 * HOUR_MS))
def test_the_next_reminder_is_to_come_and_before_the_deadline(every_s: int | None, within: int, waited: int) -> None:
    _number, next_ms = on_event.reminders(rule_of(remind_every_s=every_s), 5, 5 + within, 5 + waited)
    assert next_ms == 0 or 5 + waited < next_ms <= 5 + within


def test_a_reminder_that_was_missed_is_due_at_once(policy: Any) -> None:
    policy["rules"] = [rule_of(remind_every_s=100)]
    request = opened_at(policy, waited_s=250)
    opened_ms, deadline_ms = request.opened["opened_boottime_ms"], request.opened["deadline_boottime_ms"]
    assert 0 < on_event.remind_at_ms(request, policy, deadline_ms) <= boottime_ms()
    write_json_once(request.directory, "notice.reminder.2", {})
    assert on_event.remind_at_ms(request, policy, deadline_ms) == opened_ms + 300_000


def test_a_missed_reminder_is_told_once_for_all_that_were(policy: Any, told: Notified) -> None:
    policy["rules"] = [rule_of(remind_every_s=100)]
    request = opened_at(policy, waited_s=250)
    deadline_ms = request.opened["deadline_boottime_ms"]
    next_ms = on_event.remind(request, policy, deadline_ms, "0 of 1 from release-managers")
    assert next_ms == request.opened["opened_boottime_ms"] + 300_000
    assert told.one("reminder")["reminder"] == 2


@pytest.mark.parametrize("case", ["decided", "past the deadline", "no rule any more", "never"])
def test_nobody_is_reminded_without_need(policy: Any, case: str) -> None:
    request = opened_at(policy, waited_s=3000)
    deadline_ms = request.opened["deadline_boottime_ms"]
    if case == "decided":
        rejected(request)
    if case == "past the deadline":
        deadline_ms = boottime_ms()
    if case == "no rule any more":
        policy["rules"] = [rule_of(match={"ref": ["another"]})]
    if case == "never":
        policy["rules"] = [rule_of(remind_every_s=0)]
    on_event.remind(request, policy, deadline_ms, "0 of 1")
    on_event.opened(request, policy)
    until(lambda: request.has("notice.opened"), "told of something else")
    assert not any(name.startswith("notice.reminder") for name in os.listdir(request.directory))


def test_times_are_of_the_clock_on_the_wall(policy: Any) -> None:
    request = open_request(policy)
    told_s = calendar.timegm(time.strptime(read(request, policy)["opened"], "%Y-%m-%dT%H:%M:%SZ"))
    assert told_s == int(request.opened["opened_wall_s"])
