"""What every request passes before a page is shown, in the order given here (threats T21 to T24, T27, T28).

- Its Host is the one address that gate.yaml has for the page: no other name that was made to lead here is answered.
- Its body is there in time, and small.
- A form is accepted by POST only, from this page's own origin: `Sec-Fetch-Site: same-origin`, or, from a browser that
  does not send that, exactly our Origin. `same-site` is not enough: another port of this host may be a job's own web
  server.
- Its visitor is known, or is sent to log in; what comes by the socket of the login links can ask for one, and for
  nothing else.
- Whatever comes of it, an error too, has the same headers, and an error is a page of ours that repeats nothing, but
  for the comment of a form from here that came when its session had ended.
"""

from __future__ import annotations

import asyncio
import traceback
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from aiohttp import web

from gate.page import render
from gate.page.auth.visitor import StrangerError, Visitor, visitor_of
from gate.page.connection import BODY_WITHIN_S
from gate.page.headers import HEADERS, OVER_TLS
from gate.page.render import VERSION, message_page
from gate.page.state import PAGE, say
from gate.store.files import StateError
from gate.store.layout import page_settings

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler
    from multidict import MultiDictProxy

    from gate.page.state import Page

BODY_MAX_BYTES = 16 * 1024
VISITOR = "visitor"
OPEN_TO_ALL = ("/login", "/healthz")
_FORM = "application/x-www-form-urlencoded"
_WORDS = {
    404: "There is no such page here.",
    405: "That cannot be done in this way.",
    413: "That is more than this page takes: at most 16 KiB.",
}


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The one middleware; see the module."""
    page = request.app[PAGE]
    request[VERSION] = page.changes.version  # before anything is looked at
    try:
        await page.rulebook.refresh()
        refusal = await _refusal(request, page)
        answer = refusal or await handler(request)
    except (web.HTTPRedirection, ConnectionError):
        raise
    except web.HTTPException as error:
        words = _WORDS.get(error.status, "This page cannot do that.")
        answer = message_page(request, error.status, words)
        if "Allow" in error.headers:
            answer.headers["Allow"] = error.headers["Allow"]
    except StateError as error:
        say(str(error))
        told = f" {error}." if VISITOR in request else ""
        answer = message_page(request, 500, f"Something on the host cannot be read, and nothing was done.{told}")
    except Exception as error:  # noqa: BLE001
        traceback.print_exception(error)
        answer = message_page(request, 500, "The page has a fault, and did nothing. Its log says more.")
    return answer


async def add_headers(request: web.Request, answer: web.StreamResponse) -> None:
    """Put the headers on an answer that is about to go; only how long it may be kept, it can say by itself."""
    over_tls = OVER_TLS if page_settings(request.app[PAGE].policy)["url"].startswith("https:") else {}
    kept = {"Cache-Control": answer.headers["Cache-Control"]} if "Cache-Control" in answer.headers else {}
    answer.headers.update({**HEADERS, **over_tls, **kept})


async def _refusal(request: web.Request, page: Page) -> web.StreamResponse | None:
    """Why this request is not let through, as an answer; None where it is, with its visitor in it."""
    url = page_settings(page.policy)["url"]
    if request.headers.getall("Host", []) != [urlsplit(url).netloc]:
        return render.page(request, "elsewhere.html", status=421, url=url)  # alone: nothing else is answered there
    if request.method not in ("GET", "HEAD"):
        why = _not_ours(request, url)
        if why:
            return message_page(request, 403, f"{why} Nothing was done.")
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            await request.read()
    except TimeoutError:
        return message_page(request, 408, "The request did not arrive in time. Nothing was done.")
    return await _without_visitor(request, page)


def _not_ours(request: web.Request, url: str) -> str:
    site = request.headers.get("Sec-Fetch-Site")
    ours = site == "same-origin" if site is not None else request.headers.get("Origin") == url
    if not ours:
        return "That form was not sent from this page."
    return "" if request.content_type == _FORM else "This page takes forms only."


async def _without_visitor(request: web.Request, page: Page) -> web.StreamResponse | None:
    kind = door_kind(request)
    if request.path in OPEN_TO_ALL or request.path.startswith("/static/"):
        return None
    if kind == "link_socket":
        return (
            None if request.path == "/link" else message_page(request, 404, "This socket hands out login links only.")
        )
    if kind == "socket" and request.path.startswith("/link/"):
        return None
    try:
        visitor = visitor_of(request, page.policy, page.accounts, page.sessions)
    except StrangerError as error:
        return message_page(request, 403, f"You may not look at this page: {error}.")
    if visitor is None:
        return await _to_login(request)
    request[VISITOR] = visitor
    request.protocol.belong_to(visitor.counts_as)  # type: ignore[attr-defined]  # gate.page.connection.Connection
    if visitor.session and request.headers.get("Sec-Fetch-Dest") != "empty":  # what the page's script fetches is no use
        page.sessions.use(visitor.session)
    return None


async def _to_login(request: web.Request) -> web.StreamResponse | None:
    if request.path == "/metrics":
        return None  # which looks for a password itself, as Prometheus sends it, or has figures only
    if request.method != "GET" or request.path == "/live":
        written = str((await form_of(request)).get("comment", "")) if request.method == "POST" else ""
        login = f"/login?{urlencode({'next': request.path})}"
        return message_page(
            request, 401, "You are not logged in any more. Nothing was done.", link=login, written=written
        )
    elsewhere = request.headers.get("Sec-Fetch-Site") == "cross-site"
    if elsewhere and request.headers.get("Sec-Fetch-Mode") == "navigate" and "here" not in request.query:
        # From a link elsewhere a SameSite=Strict cookie does not come along; from here it does, if there is one.
        return message_page(request, 200, "One moment.", onward=f"{request.path}?here=1")
    if door_kind(request) == "socket":
        command = render.gate_command(request, "page link")
        return render.page(request, "link_wanted.html", status=401, is_old=False, command=command)
    raise web.HTTPSeeOther(f"/login?{urlencode({'next': request.path})}")


def door_kind(request: web.BaseRequest) -> str:
    """The door that a request came in by, as gate.page.connection.Door has it."""
    kind: str = request.protocol.door.kind  # type: ignore[attr-defined]
    return kind


def visitor(request: web.Request) -> Visitor:
    """Who makes this request."""
    found: Visitor = request[VISITOR]
    return found


async def form_of(request: web.Request) -> MultiDictProxy[Any]:
    """The form that was sent.

    Raises:
        HTTPBadRequest: it is none, or is not in UTF-8, as browsers send it: what others spell may be no text at all.
    """
    if (request.charset or "utf-8").lower() != "utf-8":
        raise web.HTTPBadRequest
    try:
        return await request.post()
    except (ValueError, LookupError) as error:
        raise web.HTTPBadRequest from error
