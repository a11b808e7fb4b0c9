"""What a request still lacks, and who could give it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.model.missing import missing, missing_words
from gate.model.rules import weigh
from tests.support.gate_state import PEOPLE, facts_of, policy_of, rule_of

TWO_LISTS = [
    {"count": 1, "of": ["alice", "bob"], "people": ["alice", "bob"]},
    {"count": 1, "of": ["alice", "carol"], "people": ["alice", "carol"]},
]


def votes_of(*people: str) -> list[Any]:
    return [{"person": each, "answer": "approve", "comment": "", "via": "drop"} for each in people]


def lacking(approvals: list[Any], given_by: list[str], **facts: Any) -> Any:
    rule, policy = rule_of(approvals=approvals), policy_of(Path("/nowhere"))
    return missing(rule, policy, facts_of(**facts), votes_of(*given_by))


@pytest.mark.parametrize(
    ("given_by", "words"),
    [
        ([], "2 more needed, from alice, bob or carol"),
        (["alice"], "1 more needed: bob or carol"),
        (["bob"], "1 more needed: alice or carol"),
        (["carol"], "1 more needed: alice or bob"),
        (["bob", "carol"], ""),
    ],
)
def test_who_could_help_is_named(given_by: list[str], words: str) -> None:
    assert missing_words(lacking(TWO_LISTS, given_by)) == words


@pytest.mark.parametrize(
    ("approvals", "given_by", "words"),
    [
        (
            [{"count": 2, "of": ["alice", "bob"], "people": ["alice", "bob"]}],
            [],
            "2 more needed, and only 1 can come: bob",
        ),
        ([{"count": 1, "of": ["alice"], "people": ["alice"]}], [], "1 more needed, and no one is left who may approve"),
        ([{"count": 2, "of": ["bob", "carol"], "people": ["bob", "carol"]}], [], "2 more needed: bob and carol"),
    ],
)
def test_the_person_who_triggered_the_job_is_not_waited_for(
    approvals: list[Any], given_by: list[str], words: str
) -> None:
    by = {"names": ["alice-gl"], "ids": [], "emails": []}
    assert missing_words(lacking(approvals, given_by, triggered_by=by)) == words


def test_who_rejected_can_still_be_the_one_who_is_missing() -> None:
    rule = rule_of(rejections=2, approvals=TWO_LISTS[:1])
    no: list[Any] = [{**votes_of("alice")[0], "answer": "reject"}]
    assert missing(rule, policy_of(Path("/nowhere")), facts_of(), no)["people"] == ["alice", "bob"]


SOME = st.lists(st.sampled_from(PEOPLE), unique=True, min_size=1)
ENTRY = SOME.flatmap(lambda who: st.integers(1, len(who)).map(lambda n: {"count": n, "of": who, "people": who}))


@given(st.lists(ENTRY, min_size=1, max_size=3), st.lists(st.sampled_from(PEOPLE), unique=True))
def test_what_is_missing_is_what_weighing_waits_for(approvals: list[Any], given_by: list[str]) -> None:
    rule, policy, facts = rule_of(approvals=approvals), policy_of(Path("/nowhere")), facts_of()

    def is_approved(people: list[str]) -> bool:
        return weigh(rule, policy, facts, votes_of(*people), 0, 1).state == "approved"

    lacks = missing(rule, policy, facts, votes_of(*given_by))
    assert (lacks["count"] == 0) == is_approved(given_by)
    assert (lacks["count"] <= lacks["possible"]) == is_approved([*given_by, *lacks["people"]])
    assert is_approved(list(PEOPLE)) == (lacks["count"] <= lacks["possible"])
    for each in {*PEOPLE} - {*given_by}:
        now = missing(rule, policy, facts, votes_of(*given_by, each))["count"]
        assert now == lacks["count"] - (each in lacks["people"])
