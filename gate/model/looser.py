"""Rules that ask for less, below stricter ones, for what are the same jobs but for one word of their author's. Pure.

A job gets the first rule that matches. So where production's rule asks two people of protected refs, and one below it
asks one person of all, the same script on a branch of its author's runs by the word of one. That is meant where the
rules' jobs run as different users, of whom only one has the keys; otherwise it is a hole.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

from gate.model.globs import meet
from gate.model.matching import criteria, glob
from gate.model.rules import backend_of, people_of, wanted_words
from gate.model.seating import fill

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gate.shapes import Criterion, Entry, Facts, Policy, Rule

# What a job's author chooses: a branch to push to, and what .gitlab-ci.yml has.
CHOSEN = ("ref", "protected", "job", "stage", "environment")
_MAX_ENTRIES = 8  # of these, each combination is looked at


class Looser(NamedTuple):
    """`loose` gets the jobs of `strict` for which only one of `criteria` is false, and asks for less: `how`."""

    strict: Rule
    loose: Rule
    criteria: list[str]
    how: list[str]


def looser(policy: Policy) -> Iterator[Looser]:
    """Yield each such pair of rules whose jobs run as the same user."""
    rules = policy["rules"]
    for (n, strict), (m, loose) in combinations(enumerate(rules), 2):
        others = [*rules[:n], *rules[n + 1 : m]]
        names = [name for name in CHOSEN if name in strict["match"] and _gets(strict, loose, name, others)]
        how = asks_less(loose, strict) if names and _one_user(policy, strict, loose) else []
        if how:
            yield Looser(strict, loose, names, how)


def missed(policy: Policy, facts: Facts, rule: Rule) -> Iterator[Rule]:
    """Yield the stricter rules above a job's own that only one criterion, of its author's to choose, keeps it from."""
    for pair in looser(policy):
        false = [name for name, holds in criteria(pair.strict, facts).items() if holds is False]
        if pair.loose == rule and len(false) == 1 and false[0] in pair.criteria:
            yield pair.strict


def asks_less(loose: Rule, strict: Rule) -> list[str]:
    """What the one rule lets pass and the other does not, in words."""
    ways = {
        f"{wanted_words(loose)}, and not {wanted_words(strict)}": _fewer(loose["approvals"], strict),
        "who triggered a job may approve it": loose["self_approval"] and not strict["self_approval"],
        "an approval may come before its job": loose["early"] and not strict["early"],
        "an approval needs no comment": "required" in strict["comment"]["approve"]
        and loose["comment"]["approve"] == "optional",
    }
    return [words for words, holds in ways.items() if holds]


def _one_user(policy: Policy, strict: Rule, loose: Rule) -> bool:
    return bool(backend_of(policy, strict)["uid"] == backend_of(policy, loose)["uid"])


def _fewer(loose: list[Entry], strict: Rule) -> bool:
    """Whether people who are enough for `loose` can be too few for `strict`.

    They are too few where some of its lists together have too few people (Hall's theorem). So: as few as can be of
    these lists' people, and all others, fill the places of `loose`.
    """
    places = sum(entry["count"] for entry in loose)
    for lists in _combinations(strict["approvals"]):
        theirs = {person for entry in lists for person in entry["people"]}
        others = [person for person in people_of({"approvals": loose}) if person not in theirs]
        needed = places - sum(map(len, fill(loose, others)))
        if needed < sum(entry["count"] for entry in lists):
            return True
    return False


def _combinations(entries: list[Entry]) -> Iterator[tuple[Entry, ...]]:
    sizes = range(1, len(entries) + 1) if len(entries) <= _MAX_ENTRIES else (1, len(entries))
    return (each for size in sizes for each in combinations(entries, size))


def _gets(strict: Rule, loose: Rule, but: str, others: list[Rule]) -> bool:
    """Whether `loose` gets a job that meets all of `strict` but one criterion, past the other rules above it."""
    mine, theirs = strict["match"], loose["match"]
    if not all(_overlap(mine[name], theirs[name]) for name in mine if name in theirs and name != but):
        return False
    if but in theirs and _within(theirs[but], mine[but]):
        return False
    opposite = {but: not mine[but]} if but == "protected" else {}
    known = {name: wanted for name, wanted in mine.items() if name != but} | opposite | theirs
    return not any(_takes_all(rule["match"], known) for rule in others)


def _takes_all(match: dict[str, Criterion], known: dict[str, Criterion]) -> bool:
    """Whether a rule surely is for each job of which this is known."""
    return all(name in known and _within(known[name], wanted) for name, wanted in match.items())


def _overlap(one: Criterion, other: Criterion) -> bool:
    if isinstance(one, bool):
        return bool(one == other)
    return any(_alike(a, b) for a in one for b in other)


def _alike(one: Criterion, other: Criterion) -> bool:
    return meet(one.casefold(), other.casefold()) if isinstance(one, str) else bool(one == other)


def _within(inner: Criterion, outer: Criterion) -> bool:
    """Whether all that is of `inner` is of `outer`, as far as one pattern tells it of another."""
    if isinstance(inner, bool):
        return bool(inner == outer)
    return all(any(_is_part(each, wide) for wide in outer) for each in inner)


def _is_part(one: Criterion, wide: Criterion) -> bool:
    if one == wide or not isinstance(wide, str):
        return bool(one == wide)
    return bool(glob(wide).fullmatch(one)) and ("**" in wide or "**" not in one)
