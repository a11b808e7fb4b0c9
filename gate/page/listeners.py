"""The listening sockets: handed over by systemd (sd_listen_fds(3)), or made here, as gate.yaml's `page` says."""

from __future__ import annotations

import os
import socket
import stat
from functools import partial
from typing import TYPE_CHECKING, Any

from config.host import path_problems
from gate.errors import GateError
from gate.page import SOCKET_MODE
from gate.page.connection import Door
from gate.store.layout import page_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from gate.shapes import PageSettings, Policy

FIRST_FD = 3
BACKLOG = 512


class DoorError(GateError):
    """A socket that cannot be listened on; the message is one line for people."""


def open_doors(policy: Policy) -> list[Door]:
    """All doors of gate.yaml's `page`; those that systemd hands over, and the others made here.

    Raises:
        DoorError: one cannot be made, or systemd hands over one that gate.yaml does not name.
    """
    given, doors = dict(_handed_over(page_settings(policy))), list[Door]()
    try:
        for kind, make in _wanted(policy, given):
            doors.append(Door(kind, given.get(kind) or make()))
    except DoorError:
        for door in doors:
            door.sock.close()
        raise
    return doors


def _wanted(policy: Policy, given: Iterable[str]) -> Iterator[tuple[str, Callable[[], socket.socket]]]:
    """Each door of gate.yaml's `page`, and what makes its socket."""
    page, approvers = page_settings(policy), policy["approvers_gid"]
    if page["socket"]:
        yield "socket", partial(_unix, page["socket"], approvers)
        if page["link_socket"] and (page["login_link"] or "link_socket" in given):
            yield "link_socket", partial(_link, page["link_socket"], approvers)
    if page["proxy_socket"]:
        yield "proxy_socket", partial(_unix, page["proxy_socket"], page["proxy_gid"])
    if page["listen"]:
        yield "listen", partial(_tcp, *page["listen"])


def _handed_over(page: PageSettings) -> Iterator[tuple[str, socket.socket]]:
    """What systemd passes on, told apart by address: (kind, socket)."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return
    for descriptor in range(FIRST_FD, FIRST_FD + int(os.environ.get("LISTEN_FDS", "0"))):
        sock = socket.socket(fileno=descriptor)
        sock.setblocking(False)
        os.set_inheritable(descriptor, False)
        yield _kind(sock.getsockname(), page), sock


def _kind(address: Any, page: PageSettings) -> str:
    if isinstance(address, tuple):
        if page["listen"] and list(address[:2]) == page["listen"]:
            return "listen"
    else:
        for kind in ("socket", "link_socket", "proxy_socket"):
            if page[kind] and page[kind] == address:
                return kind
    raise DoorError(
        f"systemd hands over a socket at {address!r}, which page in gate.yaml does not name; make them alike"
    )


def _link(path: str, gid: int | None) -> socket.socket:
    try:
        return _unix(path, gid)
    except DoorError as error:
        raise DoorError(
            f"{error}. `gate page link` needs this socket: where systemd makes page.socket, copy this version's "
            "gate-page.socket"
            " into place; or write login_link: false under page in gate.yaml"
        ) from error


def _unix(path: str, gid: int | None) -> socket.socket:
    """A Unix socket for its group, in a directory where no one else could put one in its place (threats T11)."""
    directory = os.path.dirname(path)
    try:
        problems = path_problems(directory, os.geteuid())
        if problems:
            raise DoorError(f"{path}: {problems[0]}")
        _remove_dead(path)
        return _bound(path, gid)
    except OSError as error:
        raise DoorError(_unix_words(path, directory, error)) from error


def _bound(path: str, gid: int | None) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    try:
        umask = os.umask(0o777 & ~0o600)
        try:
            sock.bind(path)
        finally:
            os.umask(umask)
        if gid is not None:
            os.chown(path, -1, gid)
            os.chmod(path, SOCKET_MODE)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def _unix_words(path: str, directory: str, error: OSError) -> str:
    if not os.path.isdir(directory):
        return f"{path}: there is no directory {directory}: install -d -o {os.geteuid()} -m 0755 {directory}"
    return (
        f"{path}: {(error.strerror or str(error)).lower()}; the page's user must be able to make it, and be "
        "in its group"
    )


def _remove_dead(path: str) -> None:
    """A socket that a page of before has left; one that still answers is a page that runs."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise DoorError(f"{path} is there and is no socket: move it away")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except BlockingIOError:
            pass  # it has no room for one more that waits to be let in
        except OSError:
            os.unlink(path)
            return
    raise DoorError(f"{path}: another page listens there already; stop that one first")


def _tcp(host: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise DoorError(
            f"{host}:{port}: {(error.strerror or str(error)).lower()}; name another in page.listen"
        ) from error
    sock.setblocking(False)
    return sock
