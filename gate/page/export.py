"""What was decided, as CSV or JSON: all that a filter finds, however much."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from aiohttp import web

from audit.table import lines, safe
from gate.clock import utc_iso
from gate.page.history import search
from gate.page.render import message_page
from gate.page.state import PAGE

if TYPE_CHECKING:
    from collections.abc import Callable

    from gate.page.history.index import Row

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
    "rehearsal": "rehearsal",
}


async def as_csv(request: web.Request) -> web.StreamResponse:
    """GET /history.csv: RFC 4180, each value quoted, none a formula."""
    return await _export(request, "csv", "text/csv", lines([list(COLUMNS)]), _csv_of, "")


async def as_json(request: web.Request) -> web.StreamResponse:
    """GET /history.json: one array."""
    return await _export(request, "json", "application/json", "[\n", _json_of, "\n]\n")


async def _export(
    request: web.Request, kind: str, content_type: str, head: str, piece: Callable[[list[Row], bool], str], foot: str
) -> web.StreamResponse:
    try:
        wanted = search.filter_of(request.query)
    except search.FilterError as error:
        return message_page(request, 400, f"That filter cannot be: {error}.", link="/history")
    answer = web.StreamResponse()
    answer.content_type, answer.charset = content_type, "utf-8"
    answer.headers["Content-Disposition"] = f'attachment; filename="gate-history.{kind}"'
    await answer.prepare(request)
    await answer.write(head.encode())
    found, is_first = search.search_all(request.app[PAGE].index, wanted), True
    while rows := await asyncio.to_thread(next, found, None):
        await answer.write(piece([_values(row) for row in rows], is_first).encode())
        is_first = False
    await answer.write(foot.encode())
    return answer


def _values(row: Row) -> Row:
    found = {name: row[column] for name, column in COLUMNS.items()}
    for name in ("requested", "decided", "released", "ended"):
        found[name] = None if found[name] is None else utc_iso(found[name] / 1000)
    found["rehearsal"] = bool(found["rehearsal"])
    found["waited_s"] = None if found["waited_s"] is None else found["waited_s"] // 1000
    return found


def _csv_of(rows: list[Row], _is_first: bool) -> str:
    return lines([[safe(value) for value in row.values()] for row in rows])


def _json_of(rows: list[Row], is_first: bool) -> str:
    found = ",\n".join(json.dumps(row) for row in rows)
    return found if is_first else f",\n{found}"
