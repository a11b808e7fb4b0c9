"""Whether a rule's approvals can be had at all: one person fills one place, and each entry needs so many."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import NamedTuple

    class Entry(NamedTuple):
        """So many approvals, of these people, each named once."""

        wanted: int
        people: Sequence[str]

    class Shortage(NamedTuple):
        """Entries (by number, from 0) that together ask for more people than they have."""

        entries: list[int]
        people: list[str]

else:
    from collections import namedtuple

    Entry = namedtuple("Entry", "wanted people")  # noqa: PYI024
    Shortage = namedtuple("Shortage", "entries people")  # noqa: PYI024


def shortage(entries: Sequence[Entry]) -> Shortage | None:
    """Return entries that cannot all be filled by different people, None where all entries can.

    Seats people one by one, moving others on where that helps. When that fails, all people of the entries that were
    tried are seated at these, and still one place there is empty: so they are the entries to name (Hall's theorem).
    """
    seats: dict[str, int] = {}
    for number, entry in enumerate(entries):
        for _ in range(entry.wanted):
            tried = _seat(number, entries, seats)
            if tried:
                return Shortage(sorted(tried), sorted({name for each in tried for name in entries[each].people}))
    return None


def _seat(number: int, entries: Sequence[Entry], seats: dict[str, int]) -> set[int]:
    """Fill one more place of entry `number` in `seats`; return the entries that were tried where that is impossible."""
    todo = [number]
    seen: dict[str, int] = {}  # whom some entry would like to have, and which
    leaving: dict[int, str] = {number: ""}  # who would leave an entry, so that another can sit there
    for entry in todo:
        for name in entries[entry].people:
            if name in seen:
                continue
            seen[name] = entry
            if name not in seats:
                seats.update(_moves(name, number, seen, leaving))
                return set()
            if seats[name] not in leaving:
                leaving[seats[name]] = name
                todo.append(seats[name])
    return set(todo)


def _moves(name: str, number: int, seen: dict[str, int], leaving: dict[int, str]) -> Iterator[tuple[str, int]]:
    while seen[name] != number:
        yield name, seen[name]
        name = leaving[seen[name]]
    yield name, number
