"""Logging in by a link: a one-time address, by which a browser gets a session at the Unix socket.

With `ssh -L` the kernel tells whose `ssh` it is that connects, and not who on that person's machine connects to the
forwarded port. So who comes by the socket needs a session too, and gets one by an address that `gate page link` prints
on this host: it asks at a socket of its own, which must not be forwarded, and which knows by the peer's uid for whom it
is. The address is good for that uid, once, and not for long. Opening it does nothing yet, since a preview may do that;
its button does.
"""

from __future__ import annotations

from aiohttp import web

from gate.page import render
from gate.page.auth.peers import uid_of_unix_peer
from gate.page.auth.visitor import set_session, visitor_by_uid
from gate.page.guard import door_kind
from gate.page.links import WITHIN_S
from gate.page.state import PAGE, say
from gate.store.layout import page_settings


async def hand_out(request: web.Request) -> web.StreamResponse:
    """POST /link at the socket for it: a new address, for the user who asks."""
    page = request.app[PAGE]
    if door_kind(request) != "link_socket":
        raise web.HTTPNotFound
    uid = _uid(request)
    say(f"{visitor_by_uid(uid, page.policy).name} (uid {uid}) gets a login link")
    url = page_settings(page.policy)["url"]
    return web.json_response({"address": f"{url}/link/{page.links.make(uid)}", "within_s": WITHIN_S})


async def show(request: web.Request) -> web.StreamResponse:
    """GET /link/<token>: a button; the link is as good afterwards as before."""
    page, token = request.app[PAGE], _token(request)
    if not page.links.is_good(token, _uid(request)):
        return _no_good(request)
    name = visitor_by_uid(_uid(request), page.policy).name
    return render.page(request, "link.html", name=name, action=f"/link/{token}")


async def use(request: web.Request) -> web.StreamResponse:
    """POST /link/<token>: a session, for the browser that sends it."""
    page, uid = request.app[PAGE], _uid(request)
    if not page.links.take(_token(request), uid):
        return _no_good(request)
    say(f"{visitor_by_uid(uid, page.policy).name} (uid {uid}) logged in by a link")
    answer = web.HTTPSeeOther("/")
    set_session(answer, page.policy, page.sessions.begin_by_link(uid))
    raise answer


def _no_good(request: web.Request) -> web.Response:
    return render.page(
        request, "link_wanted.html", status=403, is_old=True, command=render.gate_command(request, "page link")
    )


def _token(request: web.Request) -> str:
    if door_kind(request) != "socket":
        raise web.HTTPNotFound
    return request.match_info["token"]


def _uid(request: web.Request) -> int:
    return uid_of_unix_peer(request.transport.get_extra_info("socket"))  # type: ignore[union-attr]
