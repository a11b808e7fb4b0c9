"""Records of the audit log for people: one line each, whatever was written into them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from audit.filters import of_kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from audit.chain import Head
    from audit.record import Record

_PLAIN = re.compile(r"[A-Za-z0-9_.:/@+-]+")
_CHAIN_KEYS = frozenset({"v", "log_id", "seq", "prev", "time", "boottime", "host", "version"})
_PLACED_KEYS = ("event", "request", "job", "decision", "by", "comment")


def as_line(record: Record, deceives: Callable[[str], bool]) -> str:
    r"""A record as `time #seq event request job decision "by" person (via) comment="…"`, then its other fields.

    Text that could be taken for another field, or is more than plain ASCII, stands in double quotes. Within them line
    ends and each character that `deceives` says could deceive stand as JSON's escapes (`\u202e`, `\n`), so that no
    comment can forge a field, a line, or a terminal's escape sequence; all others stand as they are, of whatever
    script.
    """

    def word(value: object) -> str:
        return value if isinstance(value, str) and _PLAIN.fullmatch(value) else _quoted(value, deceives)

    rest = {key: value for key, value in record.items() if key not in _CHAIN_KEYS and key not in _PLACED_KEYS}
    words = [
        f"{record['time'].replace('T', ' ')} #{record['seq']} {record['event']}",
        *[word(record[key]) for key in ("request",) if key in record],
        *_job(record.get("job"), word),
        *[word(record[key]) for key in ("decision",) if key in record],
        *_by(record.get("by"), word),
        *[f"comment={_quoted(record[key], deceives)}" for key in ("comment",) if record.get(key)],
        *[f"{word(key)}={word(value)}" for key, value in sorted(rest.items())],
    ]
    return " ".join(words)


def select(
    records: Iterable[tuple[Head, Record]],
    *,
    is_wanted: Callable[[str], bool] | None = None,
    event: str | None = None,
    rehearsals: str = "",
) -> Iterator[tuple[Head, Record]]:
    """Those records whose request's key is wanted, of one event, and of that kind (see `of_kind`)."""
    for head, record in records:
        if is_wanted and not is_wanted(str(record.get("request", ""))):
            continue
        if (event is None or record["event"] == event) and of_kind(record, rehearsals):
            yield head, record


def _quoted(value: object, deceives: Callable[[str], bool]) -> str:
    """JSON, of which only what could deceive is escaped.

    Characters beyond the first plane as a pair, as JSON has it.
    """
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return "".join(json.dumps(each)[1:-1] if deceives(each) else each for each in text)


def _job(job: object, word: Callable[[object], str]) -> list[str]:
    if not isinstance(job, dict):
        return []
    return [word(job[key]) for key in ("path", "name") if key in job]


def _by(by: object, word: Callable[[object], str]) -> list[str]:
    if not isinstance(by, dict):
        return []
    via = f" ({word(by['via'])})" if "via" in by else ""
    return [f"by {word(by.get('person'))}{via}"]
