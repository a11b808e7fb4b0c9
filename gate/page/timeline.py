"""What happened to a request, a sentence for each record of the audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gate.page.history.index import wall_ms

if TYPE_CHECKING:
    from collections.abc import Callable

    from gate.shapes import Record

_VIA = {"page": "on the page", "drop": "by a drop", "signed": "by a signed drop"}
_DID = {"approve": "approved", "reject": "rejected"}


class Moment(NamedTuple):
    """One thing that happened: when, in milliseconds since 1970; what, as plain text; and what was said to it."""

    wall_ms: int
    words: str
    comment: str


def moments(records: list[Record]) -> list[Moment]:
    """The records of one request, oldest first, in words."""
    return [Moment(wall_ms(each["time"]), _words(each), _comment(each)) for each in records]


def _comment(record: Record) -> str:
    """What was said with an answer; a decision's record has the same again."""
    return str(record.get("comment") or "") if record["event"] == "vote" else ""


def _words(record: Record) -> str:
    said = _SAID.get(record["event"])
    return said(record) if said else f"{record['event']}, of a newer version of the gate"


def _requested(record: Record) -> str:
    return f"{record['job']['user']} requested it; rule {record['rule']} asks for {record['why']}"


def _vote(record: Record) -> str:
    ahead = ", before it waited" if record.get("early") else ""
    return f"{_person(record)} {_DID.get(record['decision'], record['decision'])} it {_via(record)}{ahead}".rstrip()


def _turned_away(record: Record) -> str:
    return f"An answer of {_person(record)} {_via(record)} did not count: {record['why']}"


def _decided(record: Record) -> str:
    return f"It was {record['decision']}: {record['why']}"


def _person(record: Record) -> str:
    return str((record.get("by") or {}).get("person") or "somebody")


def _via(record: Record) -> str:
    via = str((record.get("by") or {}).get("via", ""))
    return _VIA.get(via, via)


_SAID: dict[str, Callable[[Record], str]] = {
    "requested": _requested,
    "vote": _vote,
    "drop-turned-away": _turned_away,
    "decided": _decided,
    "released": lambda _record: "The job was let through to run",
    "ended": lambda record: f"It is over: {record['why']}",
    "notice-failed": lambda record: f"The notice {record['notice']!r} failed: {record['why']}",
}
