"""Searching what was decided, newest first, in pages; and the figures over all of it."""

from __future__ import annotations

import calendar
import time
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from gate.errors import GateError
from gate.flow.decide import DECISIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gate.page.history.index import Index, Row

PAGE_ROWS = 50
EXPORT_ROWS = 1000  # read at once; an export goes on until there are no more
TEXT_MAX_CHARACTERS = 200
REHEARSALS = {"": "", "no": "NOT rehearsal", "only": "rehearsal"}  # a filter's word and its condition
BUCKETS_S = (10, 30, 60, 300, 900, 3600, 14_400, 86_400)
_DAY_MS = 86_400_000


class FilterError(GateError):
    """A filter that cannot be; the message says what to write."""


@dataclass(frozen=True)
class Filter:
    """What is searched for; an empty text is no condition. Dates are UTC days, `until` included."""

    project: str = ""
    person: str = ""
    environment: str = ""
    outcome: str = ""
    since: str = ""
    until: str = ""
    rehearsals: str = ""

    def __post_init__(self) -> None:
        """Check what only some texts can be.

        Raises:
            FilterError: the outcome is none, a date is not one, or rehearsals are neither left out nor all that is
                wanted.
        """
        if self.rehearsals not in REHEARSALS:
            raise FilterError("rehearsals is no or only")
        if self.outcome and self.outcome not in DECISIONS:
            raise FilterError(f"outcome is one of {', '.join(DECISIONS)}")
        for name in ("since", "until"):
            _day_ms(name, getattr(self, name))

    @property
    def given(self) -> dict[str, str]:
        """What is not empty, for a link that searches again."""
        return {name: value for name, value in vars(self).items() if value}


def filter_of(query: Mapping[str, str]) -> Filter:
    """The filter in an address's query.

    Raises:
        FilterError: as Filter.
    """
    return Filter(**{each.name: query.get(each.name, "").strip()[:TEXT_MAX_CHARACTERS] for each in fields(Filter)})


def search(index: Index, wanted: Filter, limit: int, before: tuple[int, int] | None = None) -> list[Row]:
    """Decided requests, newest first, at most `limit`, of those before (decided_ms, number)."""
    where, values = _where(wanted)
    if before:
        where += " AND (decided_ms, number) < (?, ?)"
        values += before
    query = f"SELECT * FROM requests WHERE {where} ORDER BY decided_ms DESC, number DESC LIMIT ?"  # noqa: S608
    return [dict(row) for row in index.db.execute(query, (*values, limit))]


def search_all(index: Index, wanted: Filter) -> Iterator[list[Row]]:
    """All that fits the filter, in pieces."""
    before = None
    while rows := search(index, wanted, EXPORT_ROWS, before):
        yield rows
        before = (rows[-1]["decided_ms"], rows[-1]["number"])


def count(index: Index, wanted: Filter) -> int:
    """How many requests fit the filter."""
    where, values = _where(wanted)
    found: int = index.db.execute(f"SELECT count(*) FROM requests WHERE {where}", values).fetchone()[0]  # noqa: S608
    return found


def by_outcome(index: Index) -> dict[str, int]:
    """How many requests were decided how, each outcome named; rehearsals do not count."""
    query = "SELECT decision, count(*) FROM requests WHERE decided_ms IS NOT NULL AND NOT rehearsal GROUP BY decision"
    return dict.fromkeys(DECISIONS, 0) | {row[0]: row[1] for row in index.db.execute(query)}


def times_to_decide(index: Index) -> tuple[list[int], int, float]:
    """How many requests that people approved or rejected took at most BUCKETS_S[n]; how many in all; seconds in all.

    Rehearsals do not count.
    """
    sums = ", ".join(f"sum(waited_ms <= {bucket * 1000})" for bucket in BUCKETS_S)
    where = "decision IN ('approved', 'rejected') AND waited_ms IS NOT NULL AND NOT rehearsal"
    row = index.db.execute(f"SELECT {sums}, count(*), sum(waited_ms) FROM requests WHERE {where}").fetchone()  # noqa: S608
    *buckets, number, total_ms = [each or 0 for each in row]
    return buckets, number, total_ms / 1000


def _where(wanted: Filter) -> tuple[str, tuple[Any, ...]]:
    conditions: list[tuple[str, tuple[Any, ...]]] = [("decided_ms IS NOT NULL", ())]
    if wanted.project:
        conditions.append((_contains("job_path"), (wanted.project,)))
    if wanted.person:
        names = (f" {wanted.person.lower()} ", wanted.person, wanted.person)
        conditions.append((f"(instr(voters, ?) OR person = ? OR {_contains('job_user')})", names))
    if wanted.environment:
        conditions.append((_contains("job_environment"), (wanted.environment,)))
    if wanted.outcome:
        conditions.append(("decision = ?", (wanted.outcome,)))
    if wanted.since:
        conditions.append(("decided_ms >= ?", (_day_ms("since", wanted.since),)))
    if wanted.until:
        conditions.append(("decided_ms < ?", (_day_ms("until", wanted.until) + _DAY_MS,)))
    if wanted.rehearsals:
        conditions.append((REHEARSALS[wanted.rehearsals], ()))
    where = " AND ".join(condition for condition, _values in conditions)
    return where, tuple(value for _condition, values in conditions for value in values)


def _contains(column: str) -> str:
    return f"instr(lower({column}), lower(?)) > 0"


def _day_ms(name: str, text: str) -> int:
    if not text:
        return 0
    try:
        return calendar.timegm(time.strptime(text, "%Y-%m-%d")) * 1000
    except ValueError:
        raise FilterError(f"{name} is a day, such as 2026-11-24") from None
