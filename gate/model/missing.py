"""What a rule still lacks, and who could give it. Pure."""

from __future__ import annotations

from gate.model.rules import may_approve, people_of, those_that_count
from gate.model.seating import fill
from gate.model.words import listed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gate.shapes import AnyVote, Entry, Facts, Missing, Policy, Rule


def missing(rule: Rule, policy: Policy, facts: Facts, votes: list[AnyVote]) -> Missing:
    """How many approvals are still needed, whose next one would help, and how many of them these could give together.

    One person fills one place, where they help most. So somebody of a list that is full can help, where one who sits
    there is of another list, too.
    """
    entries = rule["approvals"]
    counting = those_that_count(rule, policy, facts, votes)
    given = [vote["person"] for vote in counting if vote["answer"] == "approve"]
    filled = _filled(entries, given)
    able = [person for person in people_of(rule) if may_approve(person, rule, policy, facts) is None]
    people = [each for each in able if each not in given and _filled(entries, [*given, each]) > filled]
    needed = sum(entry["count"] for entry in entries) - filled
    return {"count": needed, "people": people, "possible": _filled(entries, [*given, *people]) - filled}


def missing_words(lacks: Missing) -> str:
    """The same for people: `1 more needed: bob or carol`; "" where nothing is missing."""
    needed, people, possible = lacks["count"], lacks["people"], lacks["possible"]
    if needed == 0:
        return ""
    if possible == 0:
        return f"{needed} more needed, and no one is left who may approve"
    if possible < needed:
        return f"{needed} more needed, and only {possible} can come: {listed(people, 'and')}"
    if len(people) == needed:
        return f"{needed} more needed: {listed(people, 'and')}"
    return f"{needed} more needed{':' if needed == 1 else ', from'} {listed(people)}"


def _filled(entries: list[Entry], people: list[str]) -> int:
    return sum(len(seated) for seated in fill(entries, people))
