"""Server-sent events: one line whenever something has changed, so that an open page can fetch itself again."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import TYPE_CHECKING

from aiohttp import web

from gate.page.auth.visitor import StrangerError, visitor_of
from gate.page.guard import visitor
from gate.page.state import PAGE

if TYPE_CHECKING:
    from gate.page.state import Page

SIGN_OF_LIFE_S = 15.0
NOT_OFTENER_THAN_S = 1.0
WRITTEN_WITHIN_S = 10
EACH_MAX = 50
NONE = -1  # the version of a page that is behind, or of before the last start


async def live(request: web.Request) -> web.StreamResponse:
    """GET /live: `change` events, until the visitor goes, or may not look any more (WHATWG HTML, 9.2).

    `?since=` is the version that a page was made of: what has changed before its script could ask is sent at once. One
    too many of the same person gets 204, which tells a browser not to try again; its page looks by itself now and then.
    """
    page, whose = request.app[PAGE], visitor(request).counts_as
    if page.viewers[whose] >= EACH_MAX:
        return web.Response(status=204)
    page.viewers[whose] += 1
    try:
        return await _follow(request, page)
    finally:
        page.viewers[whose] -= 1
        page.viewers += Counter()  # forgets who has none any more


async def _follow(request: web.Request, page: Page) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
    version = page.changes.version
    if request.query.get("since", str(version)) != str(version):
        version = NONE
    with contextlib.suppress(ConnectionError, asyncio.TimeoutError):
        await _write(answer, request, "retry: 3000\n\n")
        while not page.ending.is_set():
            changed = await page.changes.after(version, SIGN_OF_LIFE_S)
            if page.ending.is_set() or not await _may_look(request, page):
                break
            version = page.changes.version
            await _write(answer, request, f"event: change\ndata: {version}\n\n" if changed else ": still here\n\n")
            await asyncio.sleep(NOT_OFTENER_THAN_S if changed else 0)
    return answer


async def _write(answer: web.StreamResponse, request: web.Request, text: str) -> None:
    """Send something, to somebody who reads; who does not is let go."""
    async with asyncio.timeout(WRITTEN_WITHIN_S):
        if not answer.prepared:
            await answer.prepare(request)
        await answer.write(text.encode())


async def _may_look(request: web.Request, page: Page) -> bool:
    """Whether the visitor is still there, and still the one who came."""
    await page.rulebook.refresh()
    if request.transport is None:
        return False
    try:
        found = visitor_of(request, page.policy, page.accounts, page.sessions)
    except StrangerError:
        return False
    return found is not None and found.name == visitor(request).name
