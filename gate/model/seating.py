"""Who fills which place: a maximum matching of people to the places of a rule's lists (Kuhn's algorithm). Pure.

Alice, who is on both lists of "1 of managers and 1 of security", fills one place, not two; but she is put where she
helps most, so that bob, who is a manager only, and she fill both.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gate.shapes import Entry


def fill(entries: list[Entry], people: list[str]) -> list[list[str]]:
    """The people at each entry, at most its `count`, in their order, so that as many places as can be are filled."""
    places = [number for number, entry in enumerate(entries) for _ in range(entry["count"])]
    held: dict[int, str] = {}
    for person in people:
        _seat(person, places, entries, held, set())
    seated = {person: places[place] for place, person in held.items()}
    return [[person for person in people if seated.get(person) == entry] for entry in range(len(entries))]


def _seat(person: str, places: list[int], entries: list[Entry], held: dict[int, str], tried: set[int]) -> bool:
    """Find `person` a place, moving others on where that is needed; no person who has a place loses it."""
    for place, number in enumerate(places):
        if place in tried or person not in entries[number]["people"]:
            continue
        tried.add(place)
        if place not in held or _seat(held[place], places, entries, held, tried):
            held[place] = person
            return True
    return False
