"""Records as rows of a table, for spreadsheets: RFC 4180, all values quoted, no formulas, no control characters."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING

from audit.record import OWN_KEYS, canonical

if TYPE_CHECKING:
    from collections.abc import Iterable

    from audit.chain import Head
    from audit.record import Record

_JOB = {
    "instance": "instance",
    "project": "path",
    "project_id": "project_id",
    "pipeline": "pipeline_id",
    "job": "id",
    "job_name": "name",
    "stage": "stage",
    "environment": "environment",
    "ref": "ref",
    "sha": "sha",
    "triggered_by": "user",
}
_BY = {"person": "person", "via": "via"}
_OWN = ("request", "decision", "comment", "why", "rule", "digest", "rehearsal")
COLUMNS = ("seq", "time", "event", "request", "decision", *_BY, *_OWN[2:], *_JOB, "more", "sha256")
# What a spreadsheet takes for a formula, also behind blanks, and as some read it: full-width signs (CWE-1236, threats
# T30).
_FORMULA = re.compile(r"[\s'\"]*[=+\-@|%\uff1d\uff0b\uff0d\uff20]|[ '\"]*[\t\r\n]")


def safe(value: object) -> str:
    """A value that no spreadsheet runs: a quote before what would be a formula, as they show none themselves.

    True and false are as in the JSON of the same rows.
    """
    text = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return f"'{text}" if _FORMULA.match(text) else text


def lines(rows: Iterable[Iterable[str]]) -> str:
    """Rows as CSV, each ended by CR LF."""
    target = io.StringIO()
    csv.writer(target, quoting=csv.QUOTE_ALL).writerows(rows)
    return target.getvalue()


def row_of(head: Head, record: Record) -> list[str]:
    """A record as a row under COLUMNS. `more` is JSON of what has no column; what is the chain's own is left out."""
    job, by = _part(record, "job"), _part(record, "by")
    values = {"seq": record["seq"], "time": record["time"], "event": record["event"], "sha256": head.sha256}
    values |= {column: job.get(key) for column, key in _JOB.items()}
    values |= {column: by.get(key) for column, key in _BY.items()}
    values |= {key: record.get(key) for key in _OWN}
    values["more"] = canonical(_more(record)) if _more(record) else ""
    return [safe(_shown(values[column])) for column in COLUMNS]


def _part(record: Record, key: str) -> Record:
    found = record.get(key)
    return found if isinstance(found, dict) else {}


def _more(record: Record) -> Record:
    known = {"event", *_OWN, *(OWN_KEYS - {"torn"})}
    rest = {key: value for key, value in record.items() if key not in known}
    for name, columns in (("job", _JOB), ("by", _BY)):
        left = {key: value for key, value in _part(record, name).items() if key not in columns.values()}
        if isinstance(rest.get(name), dict):
            rest[name] = left
        if not rest.get(name):
            rest.pop(name, None)
    return rest


def _shown(value: object) -> str:
    """Text as it is; what would move a terminal's cursor, turn its text around or split a row stands as in JSON."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else canonical(value)
    return text if text.isprintable() else "".join(c if c.isprintable() else canonical(c)[1:-1] for c in text)
