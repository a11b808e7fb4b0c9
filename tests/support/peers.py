"""Clients on this host that connect as somebody else, where the tests run as root."""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.support.gate_state import IS_ROOT, fork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OTHER_UID = 20_001 if IS_ROOT else os.geteuid()
Client = socket.socket


def start_client(server: socket.socket, do: Callable[[Client], Any], uid: int = OTHER_UID) -> int:
    """A process of that user that connects to a listening socket and does something there; its pid."""
    family, address = server.family, server.getsockname()

    def connect() -> bool:
        server.close()
        if uid != os.geteuid():
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
        with socket.socket(family) as client:
            client.settimeout(60)
            client.connect(address)
            do(client)
        return True

    return fork(connect)


def ended(pid: int) -> bool:
    """Wait for a client; whether all went well in it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 33


@contextmanager
def accepted(server: socket.socket, do: Callable[[Client], Any], uid: int = OTHER_UID) -> Iterator[socket.socket]:
    """Our end of a client's connection, once it has done what it does; it waits then, until we are through."""
    ready, tell = os.pipe()

    def wait(client: Client) -> None:
        do(client)
        os.write(tell, b"x")
        if client.fileno() >= 0:
            client.recv(1)

    child = start_client(server, wait, uid)
    connection, _address = server.accept()
    with connection:
        os.close(tell)
        assert os.read(ready, 1) == b"x"
        os.close(ready)
        yield connection
    ended(child)
