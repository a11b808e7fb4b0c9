"""`gate page`: the routes, and the process."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from functools import partial
from typing import TYPE_CHECKING

from aiohttp import web

from config.page import absence
from gate.errors import GateError
from gate.page import export, guard, link, live, login, metrics, render, together, views, voting
from gate.page.connection import Connection, Door, make_room
from gate.page.listeners import open_doors
from gate.page.rulebook import Rulebook
from gate.page.state import PAGE, Page, say
from gate.store.layout import page_settings

if TYPE_CHECKING:
    from asyncio import Server

_SHUTDOWN_S = 5.0
_KEY = "{key:[A-Za-z0-9._-]+}"


class WrongUserError(GateError):
    """The page was started as somebody else than gate.yaml says."""


def app_of(page: Page) -> web.Application:
    """The routes."""
    app = web.Application(middlewares=[guard.guard], client_max_size=guard.BODY_MAX_BYTES)
    app[PAGE] = page
    app.on_response_prepare.append(guard.add_headers)
    app.router.add_get("/", views.waiting)
    app.router.add_get(f"/requests/{_KEY}", views.one)
    app.router.add_post(f"/requests/{_KEY}", voting.vote)
    app.router.add_post("/decide", together.decide)
    app.router.add_post("/decide/shown", together.approve_shown)
    app.router.add_get("/decided/{nonce:[0-9a-f]{32}}", views.decided)
    app.router.add_get("/history", views.past)
    app.router.add_get("/history.csv", export.as_csv)
    app.router.add_get("/history.json", export.as_json)
    app.router.add_get("/live", live.live, allow_head=False)
    app.router.add_get("/login", login.form)
    app.router.add_post("/login", login.login)
    app.router.add_post("/logout", login.logout)
    app.router.add_post("/link", link.hand_out)
    app.router.add_get("/link/{token:[A-Za-z0-9_-]{1,100}}", link.show)
    app.router.add_post("/link/{token:[A-Za-z0-9_-]{1,100}}", link.use)
    app.router.add_get("/healthz", metrics.healthz)
    app.router.add_get("/metrics", metrics.metrics)
    app.router.add_get("/static/{name}", render.static)
    return app


def run(config_file: str) -> None:
    """Serve the page until SIGTERM or SIGINT.

    Raises:
        ConfigError, WrongUserError, DoorError, StateError: it cannot be served; the message says why.
    """
    asyncio.run(_serve(config_file))


async def _serve(config_file: str) -> None:
    rulebook = Rulebook(config_file)
    _check_user(rulebook)
    os.umask(0o077)
    page = Page(rulebook)
    make_room()
    doors = open_doors(rulebook.policy)
    runner = web.AppRunner(app_of(page), shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    assert runner.server is not None  # noqa: S101
    loop = asyncio.get_running_loop()
    barred = partial(_job_uids, page)
    servers = [await _listen(loop, partial(Connection, runner.server, door, barred, loop=loop), door) for door in doors]
    page.follow()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, page.end)
    say(f"serves {page_settings(rulebook.policy)['url']}/ at {', '.join(door.name for door in doors)}")
    tell_systemd("READY=1")
    await page.ending.wait()
    tell_systemd("STOPPING=1")
    for server in servers:
        server.close()
    await runner.cleanup()
    page.stop()


async def _listen(loop: asyncio.AbstractEventLoop, factory: partial[Connection], door: Door) -> Server:
    if door.sock.family == socket.AF_UNIX:
        return await loop.create_unix_server(factory, sock=door.sock)
    return await loop.create_server(factory, sock=door.sock)


def _check_user(rulebook: Rulebook) -> None:
    page = rulebook.policy["page"]
    if page is None:
        raise WrongUserError(absence(rulebook.policy, rulebook.config_file))
    if os.geteuid() != page["uid"]:
        raise WrongUserError(
            f"the page runs as {page['user']}, and this is uid {os.geteuid()}: start its unit, or runuser -u "
            f"{page['user']} -- gate page"
        )


def _job_uids(page: Page) -> set[int]:
    """Whom jobs run as, who have no business at a TCP door; but for a gate that tries out with one user."""
    backend = page.policy["backend"]
    if backend["allow_same_user"]:
        return set()
    users = [backend, *[rule["run_as"] for rule in page.policy["rules"] if rule["run_as"]]]
    return {user["uid"] for user in users if user["uid"] is not None}


def tell_systemd(state: str) -> None:
    """Notify a service manager that waits for it (sd_notify(3)); without one, do nothing."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.connect(address.replace("@", "\0", 1) if address[0] == "@" else address)
        notify.sendall(state.encode())
