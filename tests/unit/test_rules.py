"""The decision, as tables and against an independent account of the same rules (architecture, invariant 6, threats T20)."""

from __future__ import annotations

import functools
import itertools
from pathlib import Path
from typing import Any

import pytest

from gate.model.rules import (
    deadline,
    may_answer,
    may_approve,
    may_reject,
    named,
    people_of,
    reserve,
    triggered,
    wanted_words,
    weigh,
)
from tests.support.effort import some_of
from tests.support.gate_state import facts_of, policy_of, rule_of
from tests.support.parts import part

POLICY = policy_of(Path("/nowhere"))
FACTS = facts_of()
DEADLINE_MS = 1_000_000
A, B, C = ("alice", "approve"), ("bob", "approve"), ("carol", "approve")
NOT_A, NOT_B, NOT_C = ("alice", "reject"), ("bob", "reject"), ("carol", "reject")


def votes_of(*answers: tuple[str, str], bare: tuple[int, ...] = ()) -> list[Any]:
    """Votes in that order, each with a comment but those at the places in `bare`."""
    return [
        {"person": person, "answer": answer, "comment": "" if n in bare else "because", "at": n}
        for n, (person, answer) in enumerate(answers)
    ]


def by_of(*names: str, ids: tuple[int, ...] = (), emails: tuple[str, ...] = ()) -> Any:
    return facts_of(triggered_by={"names": list(names), "ids": list(ids), "emails": list(emails)})


def of(*people: str, count: int = 1) -> list[Any]:
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


BOTH = [
    {"count": 1, "of": ["release-managers"], "people": ["alice", "bob"]},
    {"count": 1, "of": ["security"], "people": ["alice", "carol"]},
]


@pytest.mark.parametrize(
    ("votes", "state", "why"),
    [
        ((), "open", "0 of 1 from release-managers; 0 of 1 from security"),
        ((A,), "open", "1 of 1 from release-managers: alice; 0 of 1 from security"),
        ((A, A), "open", "1 of 1 from release-managers: alice; 0 of 1 from security"),
        ((A, B), "approved", "1 of 1 from release-managers: bob; 1 of 1 from security: alice"),
        ((A, C), "approved", "1 of 1 from release-managers: alice; 1 of 1 from security: carol"),
        ((B, C), "approved", "1 of 1 from release-managers: bob; 1 of 1 from security: carol"),
        ((A, B, C), "approved", "1 of 1 from release-managers: bob; 1 of 1 from security: alice"),
        ((A, B, NOT_B, NOT_C), "rejected", "rejected by bob and carol"),
        (
            (A, B, NOT_B),
            "open",
            "1 of 1 from release-managers: alice; 0 of 1 from security; 1 of 2 rejections: bob",
        ),
    ],
)
def test_every_list_must_be_met_and_nobody_counts_twice(
    votes: tuple[tuple[str, str], ...], state: str, why: str
) -> None:
    verdict = weigh(rule_of(approvals=BOTH, rejections=2), POLICY, FACTS, votes_of(*votes), 0, DEADLINE_MS)

    assert (verdict.state, verdict.why) == (state, why)


def test_the_votes_that_made_it_so_are_named_and_none_that_came_after() -> None:
    votes = votes_of(C, A, B)
    verdict = weigh(rule_of(approvals=BOTH), POLICY, FACTS, votes, 0, DEADLINE_MS)

    assert verdict.counted == votes[:2]


def test_votes_of_somebody_unknown_count_for_nothing() -> None:
    votes = votes_of(("stranger", "approve"), ("stranger", "reject"), ("", "reject"))

    assert weigh(rule_of(), POLICY, by_of("stranger"), votes, 0, DEADLINE_MS).state == "open"
    assert weigh(rule_of(self_approval=True), POLICY, by_of(), votes, 0, DEADLINE_MS).state == "open"


# The model: every small world, against the rules told in another way. Lists of people are taken up to renaming, since
# all sequences of votes of all three people, and each of them as the one who triggered the job, are played on each.

WORLD = ("alice", "bob", "carol")
SAYINGS = tuple(itertools.product(WORLD, ("approve", "reject")))
SEQUENCES = [told for length in range(4) for told in itertools.product(SAYINGS, repeat=length)]
SEATS = {size: list(itertools.product((None, 0, 1), repeat=size)) for size in range(4)}
FREE, DEMANDED = "optional", "required"
COMMENTS: tuple[
    tuple[str, str, tuple[int, ...]], ...
] = (  # what approvals and rejections must have, and which votes have none
    (FREE, FREE, (0, 1, 2)),
    (DEMANDED, FREE, (0,)),
    (FREE, DEMANDED, (1,)),
)


def _lists() -> list[tuple[tuple[int, tuple[str, ...]], ...]]:
    """One or two lists of (count, people), one of each kind that is the same but for the people's names."""
    groups = [group for size in (1, 2, 3) for group in itertools.combinations(WORLD, size)]
    entries = list(itertools.product((1, 2), groups))
    kinds: dict[Any, Any] = {}
    for lists in [(entry,) for entry in entries] + list(itertools.product(entries, repeat=2)):
        renamings = [dict(zip(WORLD, names, strict=True)) for names in itertools.permutations(WORLD)]
        same = [tuple((count, tuple(sorted(to[p] for p in group))) for count, group in lists) for to in renamings]
        kinds.setdefault(min(same), lists)
    return list(kinds.values())


LISTS = _lists()
VOTES = {bare: [votes_of(*told, bare=bare) for told in SEQUENCES] for *_, bare in COMMENTS}


@functools.cache
def _met(lists: tuple[tuple[int, tuple[str, ...]], ...], approving: frozenset[str]) -> bool:
    """Whether some way of putting each approver on one list, or on none, gives every list its count."""
    for seats in SEATS[len(approving)]:
        seated = list(zip(sorted(approving), seats, strict=True))
        sitting = [[p for p, seat in seated if seat == n and p in group] for n, (_, group) in enumerate(lists)]
        if all(len(people) >= count for people, (count, _) in zip(sitting, lists, strict=True)):
            return True
    return False


def _oracle(rule: Any, lists: Any, votes: list[Any], triggerer: str) -> tuple[set[str], set[str], str]:
    """Who approves and who rejects in the end, and what that comes to in time."""
    listed = {person for _, group in lists for person in group}
    final = {vote["person"]: vote for vote in votes}
    valid = [v for v in final.values() if v["comment"] or rule["comment"][v["answer"]] != "required"]
    barred = set() if rule["self_approval"] else {triggerer}
    approving = {v["person"] for v in valid if v["answer"] == "approve"} & (listed - barred)
    rejecting = {v["person"] for v in valid if v["answer"] == "reject"} & (listed | {triggerer})
    if len(rejecting) >= rule["rejections"]:
        return approving, rejecting, "rejected"
    return approving, rejecting, "approved" if _met(lists, frozenset(approving)) else "open"


def _is_told_rightly(verdict: Any, votes: list[Any], approving: set[str], rejecting: set[str],
                     places: int) -> bool:  # fmt: skip
    people = [vote["person"] for vote in verdict.counted]
    if verdict.state in ("open", "expired"):
        return not people
    in_order = [vote["at"] for vote in verdict.counted] == sorted(vote["at"] for vote in verdict.counted)
    given = all(vote in votes for vote in verdict.counted)
    if verdict.state == "rejected":
        return in_order and given and set(people) == rejecting
    return in_order and given and set(people) <= approving and len(people) == len(set(people)) == places


@pytest.mark.parametrize("rejections", [1, 2])
@pytest.mark.parametrize("self_approval", [True, False])
@pytest.mark.parametrize("triggerer", ["dev", *WORLD])
def test_weigh_agrees_with_brute_force_in_every_small_world(
    triggerer: str, self_approval: bool, rejections: int
) -> None:
    facts, seen = by_of(triggerer), set()
    for lists, (approve, reject, bare) in itertools.product(LISTS, COMMENTS):
        rule = rule_of(
            approvals=[{"count": count, "of": list(group), "people": list(group)} for count, group in lists],
            comment={"approve": approve, "reject": reject},
            self_approval=self_approval,
            rejections=rejections,
        )
        places = sum(count for count, _ in lists)
        for votes in some_of(VOTES[bare], 64):
            approving, rejecting, state = _oracle(rule, lists, votes, triggerer)
            for late, wanted in ((False, state), (True, "rejected" if state == "rejected" else "expired")):
                verdict = weigh(rule, POLICY, facts, votes, DEADLINE_MS - (not late), DEADLINE_MS)
                assert verdict.state == wanted, (rule, votes, late)
                assert _is_told_rightly(verdict, votes, approving, rejecting, places), (rule, votes, late)
            seen.add(state)
    assert seen == {"open", "approved", "rejected"}


def test_the_small_worlds_are_all_there() -> None:
    assert len(SEQUENCES) == 1 + 6 + 36 + 216
    assert len(LISTS) == 6 + 13 * 4


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
def test_triggered_matches_any_occurrence(facts: Any, is_hers: bool) -> None:
    assert triggered("alice", part({"people": {"alice": KNOWN}}), facts) is is_hers


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
def test_an_unknown_triggerer_loosens_nothing(facts: Any, ids: list[int], may: bool) -> None:
    policy = {"people": {"alice": KNOWN | {"gitlab_ids": ids}}}
    allowed = weigh(rule_of(), part(policy), facts, votes_of(A), 0, DEADLINE_MS).state == "approved"

    assert (may_approve("alice", rule_of(), part(policy), facts) is None) is may
    assert allowed is may
    assert may_approve("alice", rule_of(self_approval=True), part(policy), facts) is None


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
    assert may_reject(person, rule, POLICY, by_of("alice-gl")) == reject


@pytest.mark.parametrize(
    ("person", "by", "may"),
    [
        ("carol", by_of("carol"), True),
        ("carol", by_of("dev", "CAROL-GL"), True),
        ("carol", by_of(ids=(4713,)), True),
        ("carol", by_of("dev"), False),
        ("alice", by_of("dev"), True),
        ("stranger", by_of("stranger"), False),
    ],
)
def test_who_triggered_it_may_reject_it_and_nobody_else_off_the_list(person: str, by: Any, may: bool) -> None:
    assert (may_reject(person, rule_of(), POLICY, by) is None) is may
    verdict = weigh(rule_of(), POLICY, by, votes_of((person, "reject")), 0, DEADLINE_MS)
    assert verdict.state == ("rejected" if may else "open")
    assert (may_approve(person, rule_of(), POLICY, by) is None) is (person == "alice")


@pytest.mark.parametrize(
    ("wanted", "answer", "comment", "why"),
    [
        ({"approve": "required", "reject": "optional"}, "approve", "", "rule 'all' wants a comment with each approval"),
        ({"approve": "required", "reject": "optional"}, "approve", "ok", None),
        ({"approve": "required", "reject": "optional"}, "reject", "", None),
        ({"approve": "optional", "reject": "required"}, "reject", "", "rule 'all' wants a comment with each rejection"),
        ({"approve": "optional", "reject": "required"}, "reject", "no", None),
        ({"approve": "optional", "reject": "required"}, "approve", "", None),
    ],
)
def test_a_comment_that_must_be_given(wanted: dict[str, str], answer: Any, comment: str, why: str | None) -> None:
    assert may_answer("alice", answer, comment, rule_of(comment=wanted), POLICY, FACTS) == why


def test_somebody_off_the_list_is_told_that_and_not_to_comment() -> None:
    rule = rule_of(comment={"approve": "required", "reject": "required"})

    assert may_answer("carol", "approve", "", rule, POLICY, FACTS) == "carol is not on the list of rule 'all'"


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


def test_words_for_more_than_one_list() -> None:
    assert wanted_words(rule_of(approvals=BOTH)) == (
        "1 of release-managers (alice, bob) and 1 of security (alice, carol)"
    )


def test_everybody_on_any_list_is_named_once() -> None:
    assert people_of(rule_of(approvals=BOTH)) == ["alice", "bob", "carol"]


def test_a_rule_is_found_by_its_name() -> None:
    policy = {"rules": [rule_of(name="a"), rule_of(name="b", early=True)]}

    assert named(part(policy), "b") == rule_of(name="b", early=True)
    assert named(part(policy), "") is None
