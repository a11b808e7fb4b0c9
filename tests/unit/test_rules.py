"""The decision, as tables and against an independent account of the same rules (DESIGN rule 6, threats T20)."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from gate.rules import deadline, may_approve, may_reject, pick_rule, reserve, triggered, wanted_words, weigh
from tests.support.gate_state import facts_of, policy_of, rule_of

POLICY = policy_of(Path("/nowhere"))
FACTS = facts_of()
DEADLINE_MS = 1_000_000
A, B, C = ("alice", "approve"), ("bob", "approve"), ("carol", "approve")
NOT_A, NOT_B, NOT_C = ("alice", "reject"), ("bob", "reject"), ("carol", "reject")


def votes_of(*answers: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"person": person, "answer": answer, "at": n} for n, (person, answer) in enumerate(answers)]


def by_of(*names: str, ids: tuple[int, ...] = (), emails: tuple[str, ...] = ()) -> dict[str, Any]:
    return facts_of(triggered_by={"names": list(names), "ids": list(ids), "emails": list(emails)})


def of(*people: str, count: int = 1) -> list[dict[str, Any]]:
    return [{"count": count, "of": ["release-managers"], "people": list(people)}]


@pytest.mark.parametrize(
    ("votes", "count", "late", "state", "why"),
    [
        ((), 1, False, "open", "0 of 1 from release-managers"),
        ((A,), 1, False, "approved", "1 of 1 from release-managers: alice"),
        ((A,), 2, False, "open", "1 of 2 from release-managers: alice"),
        ((A, A), 2, False, "open", "1 of 2 from release-managers: alice"),
        ((A, B), 2, False, "approved", "2 of 2 from release-managers: alice, bob"),
        ((C,), 1, False, "open", "0 of 1 from release-managers"),
        ((NOT_C,), 1, False, "open", "0 of 1 from release-managers"),
        ((NOT_A,), 1, False, "rejected", "rejected by alice"),
        ((A, NOT_A), 1, False, "rejected", "rejected by alice"),
        ((A, NOT_B), 1, False, "rejected", "rejected by bob"),
        ((NOT_B, A), 1, False, "rejected", "rejected by bob"),
        ((), 1, True, "expired", "0 of 1 from release-managers when the time was up"),
        ((A,), 1, True, "expired", "1 of 1 from release-managers: alice when the time was up"),
        ((NOT_A,), 1, True, "rejected", "rejected by alice"),
    ],
)
def test_weigh(votes: tuple[tuple[str, str], ...], count: int, late: bool, state: str, why: str) -> None:
    rule = rule_of(approvals=of("alice", "bob", count=count))

    verdict = weigh(rule, POLICY, FACTS, votes_of(*votes), DEADLINE_MS if late else DEADLINE_MS - 1, DEADLINE_MS)
    assert (verdict.state, verdict.why) == (state, why)


def expected(votes: list[dict[str, Any]], on_list: set[str], selfish: str | None, count: int, late: bool) -> str:
    """The same rules told in another way: by sets of people. `selfish` triggered the job and may not approve it."""
    last_words = {vote["person"]: vote["answer"] for vote in sorted(votes, key=lambda vote: vote["at"])}
    sayers = {answer: {p for p in on_list if last_words.get(p) == answer} for answer in ("approve", "reject")}
    if sayers["reject"]:
        return "rejected"
    if late:
        return "expired"
    return "approved" if len(sayers["approve"] - {selfish}) >= count else "open"


@pytest.mark.parametrize("self_approval", [True, False])
@pytest.mark.parametrize("triggerer", ["alice", "carol", "dev"])
def test_weigh_agrees_with_brute_force_in_a_small_world(self_approval: bool, triggerer: str) -> None:
    on_list = ["alice", "bob", "carol"][: 2 if triggerer == "carol" else 3]
    answers = list(itertools.product(("alice", "bob", "carol", "stranger"), ("approve", "reject")))
    worlds = [itertools.product(answers, repeat=length) for length in range(4)]
    facts, selfish = by_of(triggerer), None if self_approval else triggerer
    seen = set()
    for told in itertools.chain(*worlds):
        votes = votes_of(*told)
        for count, late in itertools.product((1, 2, 3), (False, True)):
            rule = rule_of(approvals=of(*on_list, count=count), self_approval=self_approval)
            verdict = weigh(rule, POLICY, facts, votes, DEADLINE_MS - (not late), DEADLINE_MS)
            assert verdict.state == expected(votes, set(on_list), selfish, count, late), (told, count, late)
            assert _is_named_rightly(verdict, votes, on_list), (told, count, late)
            seen.add(verdict.state)
    assert seen == {"open", "approved", "rejected", "expired"}


def _is_named_rightly(verdict: Any, votes: list[dict[str, Any]], on_list: list[str]) -> bool:
    if verdict.state in ("open", "expired"):
        return verdict.by is None
    answer = {"approved": "approve", "rejected": "reject"}[verdict.state]
    return verdict.by in votes and verdict.by["person"] in on_list and verdict.by["answer"] == answer


KNOWN = {"unix": "al", "uid": 1, "gitlab_names": ["Alice.GL", "ßtrange"], "gitlab_ids": [4711]}


@pytest.mark.parametrize(
    ("facts", "is_hers"),
    [
        (by_of("dev"), False),
        (by_of("alice.gl"), True),
        (by_of("ALICE.GL"), True),
        (by_of("SSTRANGE"), True),
        (by_of("ẞTRANGE"), True),
        (by_of("dev", "alice.gl"), True),
        (by_of("alice.gl", "dev"), True),
        (by_of("Alice"), True),
        (by_of("AL"), True),
        (by_of("alice.gl2"), False),
        (by_of("dev", ids=(5,)), False),
        (by_of("dev", ids=(5, 4711)), True),
        (by_of("4711"), False),
        (by_of("dev", emails=("Alice@elsewhere.example",)), True),
        (by_of("dev", emails=("alice.gl@x@y",)), True),
        (by_of("dev", emails=("al",)), True),
        (by_of("dev", emails=("bob@alice",)), False),
    ],
)
def test_triggered_matches_any_occurrence(facts: dict[str, Any], is_hers: bool) -> None:
    assert triggered("alice", {"people": {"alice": KNOWN}}, facts) is is_hers


def test_somebody_unknown_counts_as_the_one_who_triggered() -> None:
    assert triggered("stranger", POLICY, FACTS)


@pytest.mark.parametrize(
    ("facts", "ids", "may"),
    [
        (by_of(), [4711], False),
        (by_of(emails=("dev@example.com",)), [4711], False),
        (by_of(ids=(5,)), [], False),
        (by_of(ids=(5,)), [4711], True),
        (by_of("dev"), [], True),
    ],
)
def test_an_unknown_triggerer_loosens_nothing(facts: dict[str, Any], ids: list[int], may: bool) -> None:
    policy = {"people": {"alice": KNOWN | {"gitlab_ids": ids}}}
    allowed = weigh(rule_of(), policy, facts, votes_of(A), 0, DEADLINE_MS).state == "approved"

    assert (may_approve("alice", rule_of(), policy, facts) is None) is may
    assert allowed is may
    assert may_approve("alice", rule_of(self_approval=True), policy, facts) is None


@pytest.mark.parametrize(
    ("person", "self_approval", "approve", "reject"),
    [
        ("alice", False, "alice triggered this job, and rule 'all' allows no self-approval", None),
        ("alice", True, None, None),
        ("bob", False, None, None),
        ("carol", True, "carol is not on the list of rule 'all'", "carol is not on the list of rule 'all'"),
    ],
)
def test_why_an_answer_would_not_count(
    person: str, self_approval: bool, approve: str | None, reject: str | None
) -> None:
    rule = rule_of(self_approval=self_approval)

    assert may_approve(person, rule, POLICY, by_of("alice-gl")) == approve
    assert may_reject(person, rule) == reject


@pytest.mark.parametrize(
    ("decide_within_s", "prepare_timeout_s", "job_timeout_s", "reserve_s", "within_s", "set_by", "shortened"),
    [
        (600, 3600, 7200, None, 600, "decide_within of rule 'all'", False),
        (600, 615, 7200, None, 600, "decide_within of rule 'all'", False),
        (600, 614, 7200, None, 599, "--prepare-timeout 614 less 15s", True),
        (14_400, 20, 7200, None, 5, "--prepare-timeout 20 less 15s", True),
        (14_400, 16, 7200, None, 1, "--prepare-timeout 16 less 15s", True),
        (14_400, 86_400, 3600, None, 3000, "the job's timeout of 1h less 10min to run in", True),
        (14_400, 86_400, 600, None, 300, "the job's timeout of 10min less 5min to run in", True),
        (14_400, 86_400, 3600, 0, 3600, "the job's timeout of 1h less 0s to run in", True),
        (14_400, 86_400, 3600, 3600, 0, "the job's timeout of 1h less 1h to run in", True),
        (14_400, 86_400, 3600, 9000, 0, "the job's timeout of 1h less 2h 30min to run in", True),
    ],
)
def test_deadline_is_the_earliest_of_three_clocks(
    decide_within_s: int,
    prepare_timeout_s: int,
    job_timeout_s: int,
    reserve_s: int | None,
    within_s: int,
    set_by: str,
    shortened: bool,
) -> None:
    rule = rule_of(decide_within_s=decide_within_s, reserve_s=reserve_s)

    found = deadline(rule, 5_000_000, prepare_timeout_s, job_timeout_s)
    assert (found.at_ms - 5_000_000, found.set_by, found.shortened) == (within_s * 1000, set_by, shortened)
    assert found.start_by_ms == 5_000_000 + (job_timeout_s - reserve(rule, job_timeout_s)) * 1000


@pytest.mark.parametrize(
    ("reserve_s", "job_timeout_s", "kept"),
    [(None, 7200, 600), (None, 1200, 600), (None, 1199, 599), (None, 1, 0), (0, 7200, 0), (30, 7200, 30)],
)
def test_reserve(reserve_s: int | None, job_timeout_s: int, kept: int) -> None:
    assert reserve(rule_of(reserve_s=reserve_s), job_timeout_s) == kept


@pytest.mark.parametrize(
    ("names", "people", "words"),
    [
        (["release-managers"], ["alice", "bob"], "1 of release-managers (alice, bob)"),
        (["alice", "bob"], ["alice", "bob"], "1 of alice or bob"),
    ],
)
def test_wanted_words(names: list[str], people: list[str], words: str) -> None:
    assert wanted_words(rule_of(approvals=[{"count": 1, "of": names, "people": people}])) == words


def test_no_rule_is_no_rule() -> None:
    assert pick_rule({"rules": []}) is None
    assert pick_rule(POLICY) == POLICY["rules"][0]
