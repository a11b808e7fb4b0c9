"""How far a request is and what this visitor can do about it, in the words of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gate.model import rules
from gate.model.seating import fill
from gate.model.words import listed

if TYPE_CHECKING:
    from gate.shapes import Entry, Facts, Policy, Rule, Vote

NAMED_MAX = 3  # of those who could still answer


class Place(NamedTuple):
    """One list of a rule: whether it has all its approvals, and how far it is in words."""

    is_full: bool
    words: str
    needed: str


def places(rule: Rule, policy: Policy, facts: Facts, votes: list[Vote]) -> list[Place]:
    """A rule's lists, and its rejections where there are some. `votes` are the counting ones, one for each person."""
    approving = [vote["person"] for vote in votes if vote["answer"] == "approve"]
    able = [each for each in rules.people_of(rule) if rules.may_approve(each, rule, policy, facts) is None]
    others = [each for each in able if each not in approving]
    filled = zip(rule["approvals"], fill(rule["approvals"], approving), strict=True)
    found = [_place(entry, people, others) for entry, people in filled]
    against = [vote["person"] for vote in votes if vote["answer"] == "reject"]
    if against:
        words = f"{len(against)} of {rule['rejections']} rejections: {listed(against, 'and')}"
        found.append(Place(is_full=False, words=words, needed=""))
    return found


def _place(entry: Entry, people: list[str], others: list[str]) -> Place:
    names = f": {listed(people, 'and')}" if people else ""
    source = "" if entry["of"] == entry["people"] and people else f" from {listed(entry['of'])}"
    words = f"{len(people)} of {entry['count']}{source}{names}"
    missing = entry["count"] - len(people)
    return Place(missing == 0, words, _needed(missing, entry, [each for each in others if each in entry["people"]]))


def _needed(missing: int, entry: Entry, able: list[str]) -> str:
    """`1 more needed: carol`, or "" where nothing is missing."""
    if not missing:
        return ""
    if len(able) < missing:
        who = f"only {listed(able, 'and')}" if able else "nobody"
        return f"{missing} more needed, and {who} can give it"
    if len(able) > NAMED_MAX:
        return f"{missing} more needed, of {listed(entry['of'])}"
    return f"{missing} more needed: {listed(able, 'and' if len(able) == missing else 'or')}"


def needed_words(found: list[Place]) -> str:
    """What is still needed, as a sentence, or ""."""
    missing = [place.needed for place in found if place.needed]
    return f"{'; '.join(missing)}." if missing else ""


def why_cannot(person: str, rule: Rule, policy: Policy, facts: Facts, *, to: str = "") -> str:
    """Why somebody's approval would not count, or "" where it would; said to them where they are named in `to`."""
    why = rules.may_approve(person, rule, policy, facts)
    if why is None:
        return ""
    you, are = ("you", "are") if to == person else ("", "is")
    if person not in rules.people_of(rule):
        return f"{you} {are} not on the list of rule {rule['name']!r}".strip()
    if rules.triggered(person, policy, facts):
        return f"{you} triggered this job".strip()
    whose = "your" if to == person else "their"
    return f"GitLab does not say whether {you or 'they'} triggered this job; add {whose} GitLab id to gate.yaml"
