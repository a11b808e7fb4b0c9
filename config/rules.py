"""The rules of gate.yaml: names once each, approvals and rejections that can be had, and no rule hidden by another."""

from __future__ import annotations

from config import people
from config.faults import quoted
from config.seating import Entry, shortage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from config.document import Document, Path, Yaml
    from config.faults import Fault
    from config.seating import Shortage

    Match = dict[str, frozenset[Any]]  # per criterion, the values that it is true for

_CASELESS = ("project", "instance")


def check(document: Document, value: Yaml) -> Iterator[Fault]:
    """Yield the faults of meaning in the section `rules`, but those of `run_as`."""
    yield from _names(document, value)
    for i, rule in enumerate(value.get("rules", [])):
        yield from _numbers(document, value, ("rules", i), rule or {})
    yield from _hidden(document, value)


def alternatives(criterion: Any) -> Any:
    """Return what `match` has for a criterion as the list that it stands for, each value once.

    True or false as it is.
    """
    if isinstance(criterion, bool):
        return criterion
    return list(dict.fromkeys(criterion if isinstance(criterion, list) else [criterion]))


def approvers(value: Yaml, rule: Yaml) -> list[str]:
    """Return everybody on any list of a rule, once."""
    entries = rule.get("approvals", [])
    return people.members(value, [name for entry in entries for name in (entry or {}).get("of", [])])


def _names(document: Document, value: Yaml) -> Iterator[Fault]:
    seen: set[str] = set()
    for i, rule in enumerate(value.get("rules", [])):
        name = (rule or {}).get("name")
        if name in seen:
            yield document.fault(("rules", i, "name"), f"another rule is called {quoted(name)}: rename one")
        seen.update([name] if name else [])


def _numbers(document: Document, value: Yaml, path: Path, rule: Yaml) -> Iterator[Fault]:
    """Yield the approvals and rejections that a rule's people cannot give, the most telling one of each."""
    entries = rule.get("approvals", [])
    strangers = list(_strangers(document, entries, path))
    yield from strangers
    whole = all(entry and entry.get("count") and entry.get("of") and None not in entry["of"] for entry in entries)
    if strangers or not entries or not whole or not people.all_usable(document, value):
        return
    yield from _too_few(document, value, path, entries)
    reachable = len(approvers(value, rule))
    if rule.get("rejections", 1) > reachable:
        message = f"{rule['rejections']} rejections are asked for, of {reachable} at most: lower it, or add people"
        yield document.fault((*path, "rejections"), message)


def _strangers(document: Document, entries: list[Yaml], path: Path) -> Iterator[Fault]:
    known = [*people.names(document, "people"), *people.names(document, "groups")]
    for j, entry in enumerate(entries):
        for i, name in enumerate((entry or {}).get("of", [])):
            if name is not None and name not in known:
                message = people.unknown("person or group", name, known)
                yield document.fault((*path, "approvals", j, "of", i), message)


def _too_few(document: Document, value: Yaml, path: Path, entries: list[Yaml]) -> Iterator[Fault]:
    wanted = [Entry(entry["count"], people.members(value, entry["of"])) for entry in entries]
    alone = [j for j, entry in enumerate(wanted) if entry.wanted > len(entry.people)]
    for j in alone:
        count, reachable = wanted[j].wanted, len(wanted[j].people)
        message = f"{count} approvals are asked for, of {reachable} at most: lower the count, or add people"
        yield document.fault((*path, "approvals", j, "count"), message)
    short = None if alone else shortage(wanted)
    if short:
        yield document.fault((*path, "approvals"), _shortage_words(entries, short))


def _shortage_words(entries: list[Yaml], short: Shortage) -> str:
    asked = [f"{entries[j]['count']} of {', '.join(entries[j]['of'])}" for j in short.entries]
    count = sum(entries[j]["count"] for j in short.entries)
    return (
        f"{' and '.join(asked)} need {count} different people, and have {len(short.people)} "
        f"({', '.join(short.people)}): lower a count, or add people"
    )


def _hidden(document: Document, value: Yaml) -> Iterator[Fault]:
    """Yield a fault for each rule that an earlier one leaves no job, not even one of which too little is known."""
    earlier: list[tuple[int, Match]] = []
    for i in range(len(value.get("rules", []))):
        match = _match(document, value, i)
        if match is None:
            continue
        hider = next((j for j, other in earlier if _covers(other, match)), None)
        if hider is not None:
            line = document.line_of(("rules", hider))
            message = f"no job ever gets to this rule, the one in line {line} takes them all: move it up, or remove one"
            yield document.fault(("rules", i), message)
        earlier.append((i, match))


def _match(document: Document, value: Yaml, i: int) -> Match | None:
    """Return the criteria of a rule, None where one has a fault, so that it is not taken for wider than it is."""
    match = (value["rules"][i] or {}).get("match")
    if match is None or match != document.value["rules"][i]["match"] or [] in match.values():
        return None
    return {key: _values(key, alternatives(criterion)) for key, criterion in match.items()}


def _values(key: str, criterion: Any) -> frozenset[Any]:
    if isinstance(criterion, bool):
        return frozenset([criterion])
    return frozenset(each.casefold() if key in _CASELESS else each for each in criterion)


def _covers(match: Match, later: Match) -> bool:
    return all(key in later and later[key] <= values for key, values in match.items())
