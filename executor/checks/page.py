"""The approval page: its doors are there, open only to those they are for, and a page answers behind them."""

from __future__ import annotations

import http.client
import os
import shlex
import socket
import stat
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from config.host import reason, weaknesses
from executor.checks.editor import owns, weak
from executor.checks.finding import Finding, fail, ok, warn
from executor.checks.runner_unit import is_live, text_of
from gate import DEFAULT_CONFIG
from gate.page import SOCKET_MODE
from gate.store import layout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from executor.checks.context import Context
    from gate.shapes import PageSettings

ANSWERS_WITHIN_S = 10
READY_WITHIN_S, LOOK_EVERY_S = 5, 0.2  # one that was just started has still to read the log
_UNIT = "gate-page.service"


def find(context: Context) -> Iterator[Finding]:
    """See the module."""
    page = context.policy["page"]
    if page is None:
        yield ok("there is no page: people answer by drop and on the command line")
        return
    groups = ((page["socket"], context.policy["approvers_gid"]), (page["proxy_socket"], page["proxy_gid"]))
    faults = [fault for path, gid in groups if path for fault in _socket(path, gid, page["uid"], context)]
    faults += [fault for fault in _links(page, context) if fault not in faults]  # the directory is the same
    yield from faults or [_answer(context, page, door) for door in _doors(page)]
    yield from _accounts(context)


def _doors(page: PageSettings) -> list[str | tuple[str, int]]:
    sockets = [path for path in (page["socket"], page["proxy_socket"]) if path]
    return [*sockets, *([(page["listen"][0], page["listen"][1])] if page["listen"] else [])]


def _links(page: PageSettings, context: Context) -> Iterator[Finding]:
    """Yield what is wrong with the socket of `gate page link`, without which no one gets in by `socket`."""
    path = page["link_socket"]
    if not page["login_link"] or not path or not os.path.lexists(page["socket"] or ""):
        return
    if os.path.lexists(path):
        yield from _socket(path, context.policy["approvers_gid"], page["uid"], context)
    else:
        yield fail(
            f"{path} is not there, so `gate page link` lets nobody in at {page['socket']}: put this version's "
            "gate-page.socket"
            " in its place (see docs/how-to/page.md), or write login_link: false under page"
        )


def _socket(path: str, gid: int | None, uid: int, context: Context) -> Iterator[Finding]:
    """Yield who could connect, or put another socket in its place, that should not; and who should and cannot."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        yield warn(f"{path} is not there: the page does not run", _start(context))
        return
    yield from (weak(context, each) for each in weaknesses(os.path.dirname(path), uid))
    place, mode = shlex.quote(path), stat.S_IMODE(found.st_mode)
    if not stat.S_ISSOCK(found.st_mode):
        yield fail(f"{path} is no socket: look who put it there, and move it away", f"mv {place} {place}.odd")
    elif found.st_uid not in (0, uid):
        user = context.name_of(uid)
        yield fail(f"{path} belongs to {context.name_of(found.st_uid)}, not to {user}", f"chown {user} {place}")
    elif gid is not None and found.st_gid != gid:
        yield fail(f"{path} is for group {found.st_gid}, and should be for group {gid}", f"chgrp {gid} {place}")
    elif gid is not None and mode != SOCKET_MODE:
        yield fail(f"{path} has mode {mode:04o}, and should have {SOCKET_MODE:04o}", f"chmod {SOCKET_MODE:04o} {place}")


def _answer(context: Context, page: PageSettings, door: str | tuple[str, int]) -> Finding:
    name = door if isinstance(door, str) else f"{door[0]}:{door[1]}"
    try:
        status = _settled_status(door, urlsplit(page["url"]).netloc)
    except (TimeoutError, BlockingIOError):
        return warn(f"the page does not answer at {name} within {ANSWERS_WITHIN_S} s: it hangs", _restart(context))
    except (OSError, http.client.HTTPException) as error:
        why = reason(error) if isinstance(error, OSError) else str(error)
        return warn(f"nobody answers at {name} ({why}): the page does not run", _start(context))
    if status == http.HTTPStatus.OK:
        return ok(f"the page answers at {name}, for {page['url']}/")
    if status == http.HTTPStatus.SERVICE_UNAVAILABLE:
        return fail(
            f"the page answers at {name}, and is not well: it reads no gate.yaml or no audit log; its log says more"
        )
    return fail(f"what answers at {name} is not this page: it says {status} for {page['url']}/healthz")


def _settled_status(door: str | tuple[str, int], host: str) -> int:
    until_s = time.monotonic() + READY_WITHIN_S
    while (status := _status(door, host)) == http.HTTPStatus.SERVICE_UNAVAILABLE and time.monotonic() < until_s:
        time.sleep(LOOK_EVERY_S)
    return status


def _status(door: str | tuple[str, int], host: str) -> int:
    connection = http.client.HTTPConnection(host, timeout=ANSWERS_WITHIN_S)
    try:
        if isinstance(door, str):
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(ANSWERS_WITHIN_S)
            connection.sock.connect(door)
        else:
            connection.sock = socket.create_connection(door, ANSWERS_WITHIN_S)
        connection.request("GET", "/healthz", headers={"Host": host})
        return connection.getresponse().status
    finally:
        connection.close()


def _accounts(context: Context) -> Iterator[Finding]:
    """Behind `listen` people log in; `page/` is its user's alone, so only they and root can tell."""
    policy = context.policy
    if not layout.page_settings(policy)["listen"]:
        return
    try:
        found = os.listdir(layout.accounts(layout.page(policy["state_dir"])))
    except FileNotFoundError:
        found = []
    except PermissionError:
        return
    if not any(name.endswith(".json") for name in found):
        add = f"{context.with_config(context.gate_yaml.path)} user add {shlex.quote(next(iter(policy['people'])))}"
        yield warn("page in gate.yaml has `listen`, and nobody has a password: no one can log in there", add)


def _has_unit(context: Context) -> bool:
    is_default = context.gate_yaml.path == DEFAULT_CONFIG  # another gate's page has a unit of another name
    return is_default and bool(text_of(_UNIT, context.system, live=is_live(context.system)))


def _restart(context: Context) -> str:
    """Nothing where it was started by hand, and has to be ended first."""
    return f"systemctl restart {_UNIT}" if _has_unit(context) else ""


def _start(context: Context) -> str:
    if _has_unit(context):
        return f"systemctl enable --now gate-page.socket {_UNIT}"
    page = layout.page_settings(context.policy)
    user, places = shlex.quote(page["user"]), [path for path in (page["socket"], page["proxy_socket"]) if path]
    # Of a directory that is there, install(1) would change owner and mode: /run is not the page's.
    directories = [
        place for place in map(os.path.dirname, places) if owns(context, place) or not os.path.lexists(place)
    ]
    made = [f"install -d -o {user} -m 0755 {shlex.quote(place)}" for place in directories]
    return " && ".join(
        [*dict.fromkeys(made), f"runuser -u {user} -- {context.with_config(context.gate_yaml.path)} page"]
    )
