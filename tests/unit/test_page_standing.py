"""How far a request is, a line for each list of its rule; and why somebody cannot approve it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gate.page.standing import needed_words, places, why_cannot
from tests.support.gate_state import facts_of, policy_of, rule_of

POLICY = policy_of(Path("/nowhere"))


def entry(count: int, of: str, *people: str) -> Any:
    return {"count": count, "of": [of], "people": list(people or (of,))}


MANAGERS, CAROL = entry(1, "managers", "alice", "bob"), entry(1, "carol")
STANDING: dict[str, tuple[list[Any], list[str], list[tuple[bool, str, str]]]] = {
    "nobody yet": ([MANAGERS], [], [(False, "0 of 1 from managers", "1 more needed: alice or bob")]),
    "the first of two lists": (
        [MANAGERS, CAROL],
        ["alice"],
        [(True, "1 of 1 from managers: alice", ""), (False, "0 of 1 from carol", "1 more needed: carol")],
    ),
    "a person of their own": ([CAROL], ["carol"], [(True, "1 of 1: carol", "")]),
    "all of them": (
        [entry(2, "managers", "alice", "bob")],
        [],
        [(False, "0 of 2 from managers", "2 more needed: alice and bob")],
    ),
    "more than there are": (
        [entry(2, "managers", "alice", "dev")],
        [],
        [(False, "0 of 2 from managers", "2 more needed, and only alice can give it")],
    ),
    "who triggered it": ([entry(1, "dev")], [], [(False, "0 of 1 from dev", "1 more needed, and nobody can give it")]),
}


@pytest.mark.parametrize("case", STANDING)
def test_each_list_has_its_line(case: str) -> None:
    approvals, approved, expected = STANDING[case]
    votes: list[Any] = [{"person": each, "answer": "approve", "comment": ""} for each in approved]
    assert places(rule_of(approvals=approvals), POLICY, facts_of(), votes) == expected


def test_many_who_could_are_not_named() -> None:
    policy = policy_of(Path("/nowhere"))
    policy["people"] |= {f"p{n}": policy["people"]["alice"] | {"unix": f"p{n}", "gitlab_names": []} for n in range(5)}
    rule = rule_of(approvals=[entry(1, "managers", *(f"p{n}" for n in range(5)))])
    assert places(rule, policy, facts_of(), [])[0].needed == "1 more needed, of managers"


def test_rejections_that_do_not_end_it_have_a_line() -> None:
    votes: list[Any] = [{"person": "bob", "answer": "reject", "comment": ""}]
    found = places(rule_of(rejections=2), POLICY, facts_of(), votes)
    assert found[-1].words == "1 of 2 rejections: bob"
    assert needed_words(found) == "1 more needed: alice or bob."
    assert needed_words([]) == ""


WHY: dict[str, tuple[str, Any, str, str]] = {
    "may": ("alice", {}, "", ""),
    "not on the list": (
        "carol",
        {},
        "is not on the list of rule 'all'",
        "you are not on the list of rule 'all'",
    ),
    "triggered it": ("bob", {"names": ["bob"]}, "triggered this job", "you triggered this job"),
    "nothing tells": (
        "bob",
        {"names": [], "ids": [], "emails": []},
        "GitLab does not say whether they triggered this job; add their GitLab id to gate.yaml",
        "GitLab does not say whether you triggered this job; add your GitLab id to gate.yaml",
    ),
}


@pytest.mark.parametrize("case", WHY)
def test_why_somebody_cannot_approve_is_said_of_them_and_to_them(case: str) -> None:
    person, by, of_them, to_them = WHY[case]
    facts = facts_of(triggered_by={"names": ["dev"], "ids": [], "emails": []} | by)
    assert why_cannot(person, rule_of(), POLICY, facts) == of_them
    assert why_cannot(person, rule_of(), POLICY, facts, to=person) == to_them
