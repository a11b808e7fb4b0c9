"""One connection to the page, and the door that it came in by.

Slow clients hold nothing up (threats T28): the head of a request must be there within HEAD_WITHIN_S, its body within
BODY_WITHIN_S after that; a connection that says nothing is closed as soon. Nor do many: gate/page/crowd.py counts, for
each door by itself, whose they are, by the uid or address that they come from, and from the first request on by its
person.
"""

from __future__ import annotations

import resource
import socket
import sys
import time
import traceback
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import web

from gate.page.auth.peers import uid_of_tcp_peer, uid_of_unix_peer
from gate.page.crowd import Crowd
from gate.page.headers import HEADERS

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

HEAD_WITHIN_S = 5
BODY_WITHIN_S = 5
EACH_MAX = 100  # a browser holds six, a few tools of the same person some more
TOTAL_MAX = 1500  # at one door; some 20 KiB each
_OTHER_FILES, _DOORS = 200, 4
_SAY_AGAIN_S = 60


@dataclass(eq=False)
class Door:
    """One listening socket; `kind` is socket, listen or proxy_socket, as in gate.yaml's `page`, or link_socket."""

    kind: str
    sock: socket.socket
    crowd: Crowd[Connection] = field(default_factory=lambda: Crowd(EACH_MAX, _room()), repr=False)
    said_s: float = 0.0

    @property
    def name(self) -> str:
        """The door's address, for people."""
        address = self.sock.getsockname()
        return address if isinstance(address, str) else f"{address[0]}:{address[1]}"


class Connection(web.RequestHandler):
    """An HTTP connection that knows its door."""

    def __init__(self, server: web.Server, door: Door, barred: Callable[[], set[int]], **options: Any) -> None:
        """`barred` are the uids that may not come in by TCP: those that jobs run as."""
        options |= {"keepalive_timeout": HEAD_WITHIN_S, "lingering_time": 1, "access_log": None}
        super().__init__(server, **options)
        self.door = door
        self._barred = barred

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or end it at once."""
        sock = transport.get_extra_info("socket")
        if sock.family == socket.AF_UNIX:
            owner, why = f"uid {uid_of_unix_peer(sock)}", None
        else:
            owner, why = self._tcp_peer(transport, sock)
        super().connection_made(transport)
        if why:
            self._say(why)
            self.force_close()
        else:
            self.belong_to(owner)

    def belong_to(self, owner: str) -> None:
        """Count this connection as that owner's from now on, who may lose their oldest by it."""
        gone = self.door.crowd.enter(self, owner)
        if gone is not None:
            self._say(
                f"{owner} has {self.door.crowd.each_max} connections, or all have too many: the oldest are closed"
            )
            gone.abort()

    def abort(self) -> None:
        """End the connection now, whatever is still to be sent: who does not read would keep it for ever."""
        transport = self.transport
        self.force_close()
        if transport is not None:
            transport.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Give its place to the next."""
        self.door.crowd.leave(self)
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002  it may quote the request
    ) -> web.StreamResponse:
        """The answer to what is no HTTP, or to a fault of ours: nothing of either is repeated in it.

        Raises:
            ConnectionError: an answer has begun already, so that none can be given.
        """
        if request.writer.output_size:
            raise ConnectionError("part of an answer was sent already")
        ours = status >= HTTPStatus.INTERNAL_SERVER_ERROR
        if ours and exc:
            traceback.print_exception(exc)
        reason = "a fault of the page; its log says more" if ours else "this is no request that the page understands"
        answer = web.Response(status=status, text=f"{status}: {reason}\n", headers=HEADERS)
        answer.force_close()
        return answer

    def _tcp_peer(self, transport: asyncio.BaseTransport, sock: socket.socket) -> tuple[str, str | None]:
        """Whose a connection by TCP is, and why it is not taken."""
        peer, own = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        barred = self._barred()
        if not barred:
            return str(peer[0]) if peer else "nobody", None
        uid = uid_of_tcp_peer(sock.family, peer[:2], own[:2]) if peer else None
        if uid is None:  # a job could otherwise send something and be gone before it is asked about
            return "nobody", "the owner of a connection is unknown, so it is closed"
        return f"uid {uid}", f"uid {uid}, which jobs run as, may not connect" if uid in barred else None

    def _say(self, why: str) -> None:
        """Once a minute: who floods connections shall not flood the journal."""
        if time.monotonic() - self.door.said_s > _SAY_AGAIN_S:
            self.door.said_s = time.monotonic()
            print(f"page: {self.door.name}: {why}", file=sys.stderr, flush=True)


def make_room() -> None:
    """Let this process have as many files as all doors can take, as far as the host allows it (getrlimit(2))."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DOORS * TOTAL_MAX + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _room() -> int:
    """How many connections one door can take; with fewer files than wished for, fewer."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return TOTAL_MAX if soft == resource.RLIM_INFINITY else max(min(TOTAL_MAX, (soft - _OTHER_FILES) // _DOORS), 10)
