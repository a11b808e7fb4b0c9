"""What was decided, as CSV or JSON: all that a filter finds, however much."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
import time
from typing import TYPE_CHECKING, Any

from aiohttp import web

from gate.page import history
from gate.page.render import message_page
from gate.page.state import PAGE

if TYPE_CHECKING:
    from collections.abc import Callable

COLUMNS = {
    "request": "key",
    "decided": "decided_ms",
    "decision": "decision",
    "person": "person",
    "via": "via",
    "comment": "comment",
    "why": "why",
    "rule": "rule",
    "project": "job_path",
    "job": "job_name",
    "stage": "job_stage",
    "environment": "job_environment",
    "ref": "job_ref",
    "sha": "job_sha",
    "triggered_by": "job_user",
    "requested": "requested_ms",
    "waited_s": "waited_ms",
    "released": "released_ms",
    "ended": "ended_ms",
    "digest": "digest",
}
# What a spreadsheet takes for a formula, also behind blanks, and as some read it: full-width signs (CWE-1236, threats T30).
_FORMULA = re.compile(r"[\s'\"]*[=+\-@|%\uff1d\uff0b\uff0d\uff20]|[ '\"]*[\t\r\n]")


async def as_csv(request: web.Request) -> web.StreamResponse:
    """GET /history.csv: RFC 4180, each value quoted, none a formula."""
    return await _export(request, "csv", "text/csv", _csv_lines([list(COLUMNS)]), _csv_of, "")


async def as_json(request: web.Request) -> web.StreamResponse:
    """GET /history.json: one array."""
    return await _export(request, "json", "application/json", "[\n", _json_of, "\n]\n")


def safe(value: object) -> str:
    """A value that no spreadsheet runs: a quote before what would be a formula, as they show none themselves."""
    text = "" if value is None else str(value)
    return f"'{text}" if _FORMULA.match(text) else text


async def _export(
    request: web.Request, kind: str, content_type: str, head: str, piece: Callable[[list[Any], bool], str], foot: str
) -> web.StreamResponse:
    try:
        wanted = history.filter_of(request.query)
    except history.FilterError as error:
        return message_page(request, 400, f"That filter cannot be: {error}.", link="/history")
    answer = web.StreamResponse()
    answer.content_type, answer.charset = content_type, "utf-8"
    answer.headers["Content-Disposition"] = f'attachment; filename="gate-history.{kind}"'
    await answer.prepare(request)
    await answer.write(head.encode())
    found, is_first = history.search_all(request.app[PAGE].index, wanted), True
    while rows := await asyncio.to_thread(next, found, None):
        await answer.write(piece([_values(row) for row in rows], is_first).encode())
        is_first = False
    await answer.write(foot.encode())
    return answer


def _values(row: dict[str, Any]) -> dict[str, Any]:
    found = {name: row[column] for name, column in COLUMNS.items()}
    for name in ("requested", "decided", "released", "ended"):
        found[name] = _utc(found[name])
    found["waited_s"] = None if found["waited_s"] is None else found["waited_s"] // 1000
    return found


def _utc(wall_ms: int | None) -> str | None:
    return None if wall_ms is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(wall_ms / 1000))


def _csv_of(rows: list[dict[str, Any]], _is_first: bool) -> str:
    return _csv_lines([[safe(value) for value in row.values()] for row in rows])


def _csv_lines(rows: list[list[str]]) -> str:
    target = io.StringIO()
    csv.writer(target, quoting=csv.QUOTE_ALL).writerows(rows)
    return target.getvalue()


def _json_of(rows: list[dict[str, Any]], is_first: bool) -> str:
    lines = ",\n".join(json.dumps(row) for row in rows)
    return lines if is_first else f",\n{lines}"
