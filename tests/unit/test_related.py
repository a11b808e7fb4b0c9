"""Requests that touch one another: the repeat of a rejected job, and a newer job of the same name (issue 4, points 1)."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from gate.clock import boottime_ms
from gate.flow import related
from gate.flow.decide import decide
from gate.flow.related import of_rejected, supersede_older
from gate.model.facts import key_of
from gate.store import layout
from gate.store.files import write_json_once
from tests.support.gate_state import facts_of, in_children, made, open_request, rule_of, same_json
from tests.support.parts import part

if TYPE_CHECKING:
    from pathlib import Path

    from gate.store.request import Request

OLD, NEW = "git.example-42-1001", "git.example-42-1002"
RULE = rule_of(after_rejection_s=300, supersede=True)
VOTE = {"person": "alice", "via": "drop", "uid": 20_001, "comment": "no", "answer": "reject"}


@pytest.fixture
def policy(tmp_path: Path) -> Any:
    return made(tmp_path / "state")


def decided(
    request: Request, decision: str = "rejected", ago_s: float = 0.0, wall_ago_s: float | None = None
) -> Request:
    """A request that was decided so long ago; `wall_ago_s` where the wall clock was set meanwhile."""
    wall_ago_s = ago_s if wall_ago_s is None else wall_ago_s
    content = {"v": 1, "key": request.key, "decision": decision, "why": f"{decision} by alice", "by": None}
    content |= {"wall_s": time.time() - wall_ago_s, "boottime_ms": boottime_ms() - round(ago_s * 1000)}
    assert write_json_once(request.directory, "decision.json", content)
    stamp = time.time() - wall_ago_s
    os.utime(os.path.join(request.directory, "decision.json"), (stamp, stamp))
    return request


def decision_of(request: Request) -> str | None:
    found = request.file("decision.json")
    return found["decision"] if found else None


def test_a_repeat_of_a_rejected_job_is_refused_and_told_why(policy: Any) -> None:
    decided(open_request(policy, OLD), ago_s=60)

    why = of_rejected(open_request(policy, NEW), RULE)
    assert why.startswith("the same job was rejected by alice 1min")
    assert "as #1001; it can be asked for again in 3min" in why


@pytest.mark.parametrize(("ago_s", "refused"), [(0, True), (290, True), (310, False), (86_400, False)])
def test_only_for_so_long(policy: Any, ago_s: float, refused: bool) -> None:
    decided(open_request(policy, OLD), ago_s=ago_s)

    assert bool(of_rejected(open_request(policy, NEW), RULE)) is refused


def test_not_at_all_where_the_rule_says_0s(policy: Any) -> None:
    decided(open_request(policy, OLD))

    assert of_rejected(open_request(policy, NEW), rule_of(after_rejection_s=0)) == ""


def test_other_work_is_asked_for(policy: Any) -> None:
    decided(open_request(policy, OLD))

    assert of_rejected(open_request(policy, NEW, digest="e" * 64), RULE) == ""


@pytest.mark.parametrize("word", ["approved", "refused", "expired", "canceled", "superseded", "abandoned"])
def test_only_a_persons_no_counts_as_rejected(policy: Any, word: str) -> None:
    decided(open_request(policy, OLD), word)

    assert of_rejected(open_request(policy, NEW), RULE) == ""


def test_one_that_still_waits_is_no_rejection_and_neither_is_its_own(policy: Any) -> None:
    open_request(policy, OLD)

    assert of_rejected(decided(open_request(policy, NEW)), RULE) == ""


def test_a_refused_repeat_does_not_prolong_the_time(policy: Any) -> None:
    decided(open_request(policy, OLD), ago_s=310)
    decided(open_request(policy, "git.example-42-1003"), "refused", ago_s=5)

    assert of_rejected(open_request(policy, NEW), RULE) == ""


@pytest.mark.parametrize("wall_ago_s", [-86_400, -400, -1, 0, 250])
@pytest.mark.parametrize(("ago_s", "refused"), [(30, True), (310, False)])
def test_a_clock_that_was_stepped_back_neither_shortens_nor_prolongs_it(
    policy: Any, ago_s: float, refused: bool, wall_ago_s: float
) -> None:
    decided(open_request(policy, OLD), ago_s=ago_s, wall_ago_s=wall_ago_s)

    why = of_rejected(open_request(policy, NEW), RULE)
    assert bool(why) is refused
    assert "again in 4min" in why or not refused


@pytest.mark.parametrize(("wall_ago_s", "refused"), [(60, True), (310, False), (-86_400, False)])
def test_over_a_restart_of_the_host_the_wall_clock_counts(policy: Any, wall_ago_s: float, refused: bool) -> None:
    decided(open_request(policy, OLD, boot_id="another"), ago_s=-9_000_000, wall_ago_s=wall_ago_s)

    assert bool(of_rejected(open_request(policy, NEW), RULE)) is refused


CORRUPT = {
    "half a request": ("request.json", b'{"v": 1, "key": "git.exa'),
    "an empty request": ("request.json", b""),
    "a request of another version": ("request.json", b'{"v": 2, "key": "git.example-42-1000"}'),
    "a request of another job": ("request.json", b'{"v": 1, "key": "git.example-42-7"}'),
    "a list": ("request.json", b"[]"),
    "half a decision": ("decision.json", b'{"decision": "rej'),
    "an empty decision": ("decision.json", b""),
    "a decision that is a list": ("decision.json", b"[]"),
    "a decision without a word": ("decision.json", b"{}"),
}


@pytest.mark.parametrize("case", CORRUPT)
def test_a_corrupt_neighbour_holds_up_nobody(policy: Any, case: str) -> None:
    name, content = CORRUPT[case]
    neighbour = decided(open_request(policy, "git.example-42-1000"))
    os.unlink(os.path.join(neighbour.directory, name))
    with open(os.path.join(neighbour.directory, name), "wb") as target:
        target.write(content)
    decided(open_request(policy, OLD))
    newer = open_request(policy, NEW)

    assert "as #1001" in of_rejected(newer, RULE)
    if name == "request.json":
        os.unlink(os.path.join(neighbour.directory, "decision.json"))
    supersede_older(newer, RULE, "c" * 64)
    assert neighbour.has("decision.json") is (name == "decision.json")


@pytest.mark.parametrize("name", ["git.example-42-1000", "git.example-42-", "x", "git.example-42-1000.tmp"])
@pytest.mark.parametrize("kind", ["file", "fifo", "empty directory", "dangling link"])
def test_what_is_no_request_holds_up_nobody(policy: Any, kind: str, name: str) -> None:
    path = os.path.join(layout.jobs(policy["state_dir"]), name)
    make = {
        "file": lambda: open(path, "wb").close(),
        "fifo": lambda: os.mkfifo(path),
        "empty directory": lambda: os.mkdir(path),
        "dangling link": lambda: os.symlink("/nowhere", path),
    }
    make[kind]()
    older, newer = open_request(policy, OLD, opened_boottime_ms=5), open_request(policy, NEW)

    assert of_rejected(newer, RULE) == ""
    supersede_older(newer, RULE, "c" * 64)
    assert decision_of(older) == "superseded"


# One job, and another one that has just come: is the first one ended?

OTHERS: dict[str, tuple[str, Any, Any, bool]] = {
    "the same": (OLD, {}, {}, True),
    "another sha of it": (OLD, {"sha": "f" * 40}, {}, True),
    "another environment": (OLD, {"environment": "staging", "environments": ["staging"]}, {}, True),
    "another name": (OLD, {"name": "deploy2"}, {}, False),
    "another ref": (OLD, {"ref": "main2"}, {}, False),
    "another project": ("git.example-43-1001", {"project_id": 43}, {}, False),
    "another instance": ("other.example-42-1001", {"instance": "other.example"}, {}, False),
    "a newer one": (OLD, {}, {"opened_boottime_ms": boottime_ms() + 10_000_000}, False),
    "one of another boot": (OLD, {}, {"boot_id": "another"}, False),
    "a greater number, but asked before": ("git.example-42-9999", {"job_id": 9999}, {}, True),
}


@pytest.mark.parametrize("case", OTHERS)
def test_which_requests_a_newer_one_ends(policy: Any, case: str) -> None:
    key, facts, opened, superseded = OTHERS[case]
    opened = {"opened_boottime_ms": 5, "facts": facts_of(**facts), **opened}
    older = open_request(policy, key, **opened)

    supersede_older(open_request(policy, NEW), RULE, "c" * 64)
    assert decision_of(older) == ("superseded" if superseded else None)


def test_nothing_is_ended_where_the_rule_does_not_say_so(policy: Any) -> None:
    older = open_request(policy, OLD, opened_boottime_ms=5)

    supersede_older(open_request(policy, NEW), rule_of(supersede=False), "c" * 64)
    assert decision_of(older) is None


def test_a_superseded_request_is_told_by_whom_and_stays_under_its_own_rule(policy: Any) -> None:
    older = open_request(policy, OLD, opened_boottime_ms=5, rule="strict")

    supersede_older(open_request(policy, NEW), RULE, "c" * 64)
    found = same_json(os.path.join(older.directory, "decision.json"))
    assert found["why"] == "superseded by job #1002, a newer one of the same name and ref"
    assert (found["rule"], found["config"], found["by"]) == ("strict", "c" * 64, None)


def test_of_many_each_older_one_is_ended_and_the_newest_waits(policy: Any) -> None:
    requests = [open_request(policy, f"git.example-42-{n}", opened_boottime_ms=n) for n in range(1001, 1005)]

    for request in requests:
        supersede_older(request, RULE, "c" * 64)
    assert [decision_of(request) for request in requests] == ["superseded"] * 3 + [None]


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_in_the_same_moment_one_is_left(policy: Any, order: int) -> None:
    both = [open_request(policy, key, opened_boottime_ms=5) for key in (OLD, NEW)]

    for request in both[::order]:
        supersede_older(request, RULE, "c" * 64)
    assert [decision_of(request) for request in both] == ["superseded", None]


@pytest.mark.parametrize("word", ["approved", "rejected", "expired", "canceled"])
def test_a_request_that_is_decided_is_left_alone(policy: Any, word: str) -> None:
    older = decided(open_request(policy, OLD, opened_boottime_ms=5), word)

    supersede_older(open_request(policy, NEW), RULE, "c" * 64)
    assert decision_of(older) == word


def test_a_request_that_has_ended_is_left_alone(policy: Any) -> None:
    older = open_request(policy, OLD, opened_boottime_ms=5)
    write_json_once(older.directory, "ended.json", {})

    supersede_older(open_request(policy, NEW), RULE, "c" * 64)
    assert decision_of(older) is None


def test_a_decision_made_in_between_stands(policy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    older, newer = open_request(policy, OLD, opened_boottime_ms=5), open_request(policy, NEW)

    def as_late_as_can_be(request: Request, *words: Any, **named: Any) -> Any:
        decide(request, "rejected", "rejected by alice", rule="all", config="", votes=[part(VOTE)])
        return decide(request, *words, **named)

    monkeypatch.setattr(related, "decide", as_late_as_can_be)
    supersede_older(newer, RULE, "c" * 64)
    assert decision_of(older) == "rejected"


def test_of_a_vote_and_a_newer_job_at_once_the_first_stands_and_both_are_told(policy: Any, tmp_path: Path) -> None:
    older, newer = open_request(policy, OLD, opened_boottime_ms=5), open_request(policy, NEW)

    def work(n: int) -> bool:
        if n % 2:
            supersede_older(newer, RULE, "c" * 64)
            told: Any = older.file("decision.json") or {}
        else:
            told = decide(older, "approved", "1 of 1", rule="all", config="", votes=[part(VOTE)], backend=part({}))
        (tmp_path / f"told.{n}").write_text(told["decision"])
        return True

    assert all(in_children(6, work))
    assert {(tmp_path / f"told.{n}").read_text() for n in range(6)} == {decision_of(older)}


def test_few_requests_are_opened_of_many(policy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(2001, 2021):
        decided(open_request(policy, f"git.example-42-{n}"), ago_s=9999)
        open_request(policy, f"git.example-7-{n}")
    opened: list[str] = []
    newer = open_request(policy, NEW)
    monkeypatch.setattr(related, "load", lambda _state_dir, key: opened.append(key))

    assert of_rejected(newer, RULE) == ""
    supersede_older(newer, RULE, "c" * 64)
    assert opened == []


KINDS = [(False, True), (True, False)]


@pytest.mark.parametrize(("old_is", "new_is"), KINDS)
def test_a_rehearsal_and_a_real_job_do_not_touch(policy: Any, old_is: bool, new_is: bool) -> None:
    """Each by the key and the facts that config makes of it; nothing else differs."""
    old, new = [
        open_request(policy, key_of(facts), facts=facts)
        for number, is_rehearsal in ((1001, old_is), (1002, new_is))
        for facts in [facts_of(job_id=number, rehearsal=is_rehearsal)]
    ]
    supersede_older(new, RULE, "c")
    assert decision_of(old) is None
    decided(old)
    assert of_rejected(new, RULE) == ""


def test_rehearsals_touch_one_another_as_jobs_do(policy: Any) -> None:
    facts = [facts_of(job_id=number, rehearsal=True) for number in (1001, 1002)]
    old, new = [open_request(policy, key_of(each), facts=each) for each in facts]
    supersede_older(new, RULE, "c")
    assert decision_of(old) == "superseded"
