"""What the tests of the page's threats have in common: votes that it left, and connections that are no browser's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.ports import free_port
from tests.support.site import IS_ROOT

if TYPE_CHECKING:
    import socket

    from tests.browser.conftest import Shown
    from tests.support.page import Client

NEEDS_USERS = pytest.mark.skipif(not IS_ROOT, reason="not root: only root can act as a second Unix user")


def left(start: Shown, key: str) -> list[dict[str, Any]]:
    """The votes that the page has left for a request that nobody weighs."""
    directory = start.site.state / "jobs" / key / "votes"
    return [json.loads(path.read_text()) for path in sorted(directory.iterdir())]


def tcp(**page: Any) -> dict[str, Any]:
    return {"listen": f"127.0.0.1:{free_port()}", **page}


def start_connection(client: Client) -> socket.socket:
    connection = client.connect()
    connection.settimeout(60)
    return connection


def read_all(connection: socket.socket) -> bytes:
    """Everything until the other end closes."""
    content = b""
    try:
        while data := connection.recv(65_536):
            content += data
    except ConnectionResetError:
        pass
    return content
