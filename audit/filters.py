"""Which records an export holds.

- Time and event are of each record by itself.
- Person, project and outcome are of whole requests: one that fits comes with all its records, so that no one reads half
  a story. All of them must fit the same request. Its outcome is that of its decision, whenever that was.
- A record that is of no request (a genesis, a drop that the sweep turned away) has no project and no outcome, and fits
  a person if it names them.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from audit.errors import AuditError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from audit.chain import Head
    from audit.record import Record

_SHAPE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)?")


@dataclass(frozen=True)
class Filter:
    """What is wanted; empty is no condition.

    Attributes:
        since: the day or second, as moment() gives it, before which nothing is taken.
        until: the day or second after whose end nothing is taken.
        event: of the record.
        person: who voted, decided or tried to, by the name in gate.yaml; or triggered the job, by their GitLab name.
        project: whether a project's path is wanted.
        outcome: of the request's decision.
        rehearsals: "no" leaves out the records of rehearsals, "only" all others.
    """

    since: str = ""
    until: str = ""
    event: str = ""
    person: str = ""
    project: Callable[[str], object] | None = None
    outcome: str = ""
    rehearsals: str = ""

    @property
    def asks_for_requests(self) -> bool:
        """Whether anything is asked that only a whole request can answer."""
        return bool(self.person or self.project or self.outcome)

    def takes(self, record: Record) -> bool:
        """Whether a record by itself is wanted: its time and event, and whether it is of a rehearsal."""
        when = record["time"]
        after = not self.since or when[: len(self.since)] >= self.since
        before = not self.until or when[: len(self.until)] <= self.until
        of_event = not self.event or record["event"] == self.event
        return bool(after and before and of_event and of_kind(record, self.rehearsals))


def of_kind(record: Record, rehearsals: str) -> bool:
    """Whether a record is wanted by that word: "no" for real jobs, "only" for rehearsals, "" for both."""
    return not rehearsals or ("rehearsal" in record) == (rehearsals == "only")


def moment(option: str, text: str) -> str:
    """The beginning of each record's `time` that is in the UTC day or second that `text` names.

    Raises:
        AuditError: it is neither.
    """
    shape = _SHAPE.fullmatch(text)
    try:
        known = shape and time.strptime(text, "%Y-%m-%dT%H:%M:%SZ" if shape[1] else "%Y-%m-%d")
    except ValueError:
        known = None
    if not known:
        raise AuditError(
            f"{option} {text!r} is neither a UTC day, such as 2026-11-24, nor a time, such as 2026-11-24T14:05:00Z"
        )
    return text.removesuffix("Z")


def selected(read: Callable[[], Iterable[tuple[Head, Record]]], wanted: Filter) -> Iterator[tuple[Head, Record]]:
    """The wanted records of a log that can be read twice: once to find the requests, once for their records."""
    requests = _requests(read(), wanted) if wanted.asks_for_requests else set()
    for head, record in read():
        if not wanted.takes(record):
            continue
        if not wanted.asks_for_requests or record.get("request") in requests or _fits_alone(record, wanted):
            yield head, record


def _requests(records: Iterable[tuple[Head, Record]], wanted: Filter) -> set[str]:
    """The keys of the requests that fit, each by any of its records."""
    by_person, by_project, by_outcome = set(), set(), set()
    for _head, record in records:
        key = record.get("request")
        if not isinstance(key, str):
            continue
        if wanted.person and _names(record, wanted.person):
            by_person.add(key)
        if wanted.project and wanted.project(_text(record.get("job"), "path")):
            by_project.add(key)
        if wanted.outcome and record["event"] == "decided" and record.get("decision") == wanted.outcome:
            by_outcome.add(key)
    found = {"person": by_person, "project": by_project, "outcome": by_outcome}
    return set.intersection(*[keys for name, keys in found.items() if getattr(wanted, name)])


def _fits_alone(record: Record, wanted: Filter) -> bool:
    if "request" in record or wanted.project or wanted.outcome:
        return False
    return _names(record, wanted.person)


def _names(record: Record, person: str) -> bool:
    if _text(record.get("by"), "person") == person:
        return True
    names = _text(record.get("job"), "user").casefold().split(" / ")  # every login that the job response names
    return person.casefold() in names


def _text(part: object, key: str) -> str:
    found = part.get(key) if isinstance(part, dict) else None
    return found if isinstance(found, str) else ""
