"""Who is let in at a door: not those whom jobs run as, nor more than there is room for (threats T28)."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from gate.page import connection
from gate.page.connection import TOTAL_MAX, Connection, Door
from gate.page.crowd import Crowd
from tests.support.event_loop import run
from tests.support.gate_state import IS_ROOT
from tests.support.peers import OTHER_UID, ended, start_client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BARRED = OTHER_UID if IS_ROOT else os.geteuid()
REQUEST = b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.fixture
def door() -> Iterator[Door]:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        listening.setblocking(False)
        yield Door("listen", listening)


class Served:
    """What came of everybody who had connected before the server began: the paths that were asked for, and its words."""

    def __init__(self, door: Door, barred: set[int]) -> None:
        self.door, self.barred, self.paths = door, barred, list[str]()

    def run(self, until: str) -> list[str]:
        """Serve until that path was asked for."""
        run(self._serve(until))
        return self.paths

    async def _serve(self, until: str) -> None:
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            self.paths.append(request.path)
            if request.path == until:
                done.set()
            return web.Response(text="ok")

        server = web.Server(answer)
        made = partial(Connection, server, self.door, lambda: self.barred, loop=loop)
        listening = await loop.create_server(made, sock=self.door.sock)
        async with asyncio.timeout(60):
            await done.wait()
        listening.close()
        await server.shutdown(1)


def asks(path: bytes, tell: int) -> Callable[[socket.socket], Any]:
    """A client that asks, tells that it has, and reads until it is let go."""

    def ask(client: socket.socket) -> None:
        client.sendall(REQUEST % path)
        os.write(tell, b"x")
        while client.recv(4096):
            pass

    return ask


def asks_and_goes(client: socket.socket) -> None:
    client.sendall(REQUEST % b"/blind")


def test_whom_jobs_run_as_is_not_even_heard(door: Door, capsys: pytest.CaptureFixture[str]) -> None:
    if not IS_ROOT:
        pytest.skip("another user needs root")
    ready, tell = os.pipe()
    job = start_client(door.sock, asks(b"/job", tell), BARRED)
    assert os.read(ready, 1) == b"x"
    os.close(ready)
    os.close(tell)
    with socket.create_connection(door.sock.getsockname()) as first, first.makefile("rb"):
        first.sendall(REQUEST % b"/ours")
        assert Served(door, {BARRED}).run("/ours") == ["/ours"]
    ended(job)
    assert f"uid {BARRED}, which jobs run as, may not connect" in capsys.readouterr().err


def test_a_job_that_is_gone_before_it_is_asked_about_is_not_heard(
    door: Door, capsys: pytest.CaptureFixture[str]
) -> None:
    job = start_client(door.sock, asks_and_goes, BARRED)
    assert ended(job)
    with socket.create_connection(door.sock.getsockname()) as ours:
        ours.sendall(REQUEST % b"/ours")
        assert Served(door, {BARRED if IS_ROOT else 1}).run("/ours") == ["/ours"]
    assert "is unknown" in capsys.readouterr().err


def test_where_nobody_is_barred_anybody_is_heard(door: Door) -> None:
    assert ended(start_client(door.sock, asks_and_goes, BARRED))
    with socket.create_connection(door.sock.getsockname()) as ours:
        ours.sendall(REQUEST % b"/ours")
        assert set(Served(door, set()).run("/ours")) == {"/blind", "/ours"}


def test_of_a_crowd_the_oldest_are_closed_and_it_is_told_once(
    door: Door, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    door.crowd = Crowd(3, 100)
    address = door.sock.getsockname()
    crowd = [socket.create_connection(address) for _ in range(6)]
    crowd[2].sendall(REQUEST % b"/third")
    crowd[5].sendall(REQUEST % b"/sixth")
    assert "/sixth" in Served(door, set()).run("/sixth")
    assert capsys.readouterr().err.count("127.0.0.1 has 3 connections") == 1
    assert len(door.crowd) == 0
    for each in crowd:
        each.close()


@pytest.mark.parametrize(
    ("limit", "room"), [(1024, 206), (8192, TOTAL_MAX), (100, 10), (resource.RLIM_INFINITY, TOTAL_MAX)]
)
def test_a_door_takes_what_there_are_files_for(monkeypatch: pytest.MonkeyPatch, limit: int, room: int) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (limit, limit))
    assert connection._room() == room


@pytest.mark.parametrize(("soft", "hard", "expected"), [(1024, 1 << 19, 6200), (1024, 2048, 2048), (9000, 9000, None)])
def test_room_is_made_as_far_as_the_host_allows(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, expected: int | None
) -> None:
    made: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _which, limits: made.append(limits))
    connection.make_room()
    assert made == ([] if expected is None else [(expected, hard)])


def test_a_door_is_named_by_its_address(door: Door) -> None:
    host, port = door.sock.getsockname()
    assert door.name == f"{host}:{port}"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(f"/tmp/gate-door-{os.urandom(8).hex()}")
        os.unlink(other.getsockname())
        assert Door("socket", other).name == other.getsockname()
