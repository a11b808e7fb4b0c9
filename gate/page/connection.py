"""One connection to the page, and the door that it came in by.

Slow clients hold nothing up (threats T28): the head of a request must be there within HEAD_WITHIN_S, its body within
BODY_WITHIN_S after that; a connection that says nothing is closed as soon, and each door has its own limit of
connections, so that a crowd at one does not keep people out at another.
"""

from __future__ import annotations

import socket
import sys
import time
import traceback
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import web

from gate.page.headers import HEADERS
from gate.page.peers import uid_of_tcp_peer

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

HEAD_WITHIN_S = 5
BODY_WITHIN_S = 5
CONNECTIONS_MAX = 600
_SAY_AGAIN_S = 60


@dataclass(eq=False)
class Door:
    """One listening socket; `kind` is socket, listen or proxy_socket, as in gate.yaml's `page`."""

    kind: str
    sock: socket.socket
    connections: set[Connection] = field(default_factory=set, repr=False)
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
        why = self._why_not(transport)
        super().connection_made(transport)
        self.door.connections.add(self)
        if why:
            self._say(why)
            self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Give its place to the next."""
        self.door.connections.discard(self)
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

    def _why_not(self, transport: asyncio.BaseTransport) -> str | None:
        if len(self.door.connections) >= CONNECTIONS_MAX:
            return f"{CONNECTIONS_MAX} connections are open already: more are closed"
        sock = transport.get_extra_info("socket")
        if sock.family not in (socket.AF_INET, socket.AF_INET6):
            return None
        barred = self._barred()
        if not barred:
            return None
        peer, own = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        uid = uid_of_tcp_peer(sock.family, peer[:2], own[:2]) if peer else None
        if uid is None:  # a job could else send something and be gone before it is asked about
            return "whose a connection is cannot be told, so it is closed"
        return f"uid {uid}, which jobs run as, may not connect" if uid in barred else None

    def _say(self, why: str) -> None:
        """Once a minute: who floods connections shall not flood the journal."""
        if time.monotonic() - self.door.said_s > _SAY_AGAIN_S:
            self.door.said_s = time.monotonic()
            print(f"page: {self.door.name}: {why}", file=sys.stderr, flush=True)
