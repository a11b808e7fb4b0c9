"""Who is at the other end of a connection: by the kernel's word, with real sockets and real users."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from gate.page.auth import peers
from gate.page.auth.peers import uid_of_tcp_peer, uid_of_unix_peer
from tests.support.gate_state import IS_ROOT
from tests.support.peers import OTHER_UID, accepted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

R = os.geteuid()


@pytest.fixture(params=["127.0.0.1", "::1", "127.0.0.2"])
def server(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    try:
        made = socket.create_server((request.param, 0), family=family)
    except OSError as error:
        pytest.skip(f"no {request.param} on this host: {error}")
    with made:
        yield made


def nothing(_client: socket.socket) -> None:
    """Only be connected."""


def peer_of(connection: socket.socket) -> int | None:
    """As the page asks, with the addresses of a connection that it accepted."""
    return uid_of_tcp_peer(connection.family, connection.getpeername()[:2], connection.getsockname()[:2])


@pytest.mark.parametrize("uid", [OTHER_UID, R])
def test_whoever_connects_to_a_unix_socket_is_told_by_the_kernel(uid: int) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"\0gate-test-{os.urandom(8).hex()}")  # no directory that the other user would need to enter
        listening.listen()
        with accepted(listening, nothing, uid) as connection:
            assert uid_of_unix_peer(connection) == uid


@pytest.mark.parametrize("uid", [OTHER_UID, R])
def test_whoever_connects_by_tcp_is_told_by_the_kernel(server: socket.socket, uid: int) -> None:
    with accepted(server, nothing, uid) as connection:
        assert peer_of(connection) == uid


def test_who_made_the_socket_counts_and_not_who_has_it_now(server: socket.socket) -> None:
    if not IS_ROOT:
        pytest.skip("another user needs root")

    def turn(_client: socket.socket) -> None:
        os.setresuid(20_002, 20_002, 20_002)

    with accepted(server, turn, 0) as connection:
        assert peer_of(connection) == 0


def test_whoever_has_said_all_and_listens_is_still_told(server: socket.socket) -> None:
    with accepted(server, lambda client: client.shutdown(socket.SHUT_WR)) as connection:
        assert peer_of(connection) == OTHER_UID


def test_whoever_has_gone_is_not_taken_for_root(server: socket.socket) -> None:
    """A socket that nobody holds any more stands in the table as uid 0."""

    def say_and_go(client: socket.socket) -> None:
        client.sendall(b"GET / HTTP/1.1\r\n")
        client.close()

    with accepted(server, say_and_go) as connection:
        assert peer_of(connection) is None


def test_many_connections_are_told_apart(server: socket.socket) -> None:
    with accepted(server, nothing, R) as ours, accepted(server, nothing) as theirs:
        assert (peer_of(ours), peer_of(theirs)) == (R, OTHER_UID)


def test_an_address_that_nobody_has_is_nobody_s(server: socket.socket) -> None:
    with accepted(server, nothing) as connection:
        peer, own = connection.getpeername()[:2], connection.getsockname()[:2]
        elsewhere = "::1" if server.family == socket.AF_INET6 else "127.0.0.9"
        unknown = [(peer, (own[0], 1)), ((peer[0], 1), own), ((elsewhere, 1), own), (own, own)]
        assert [uid_of_tcp_peer(server.family, *addresses) for addresses in unknown] == [None] * 4


TABLE = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:20E4 00000000:0000 0A 00000000:00000000 00:00000000 00000000   998        0 11 1 0000000000000000 100 0
   1: 0100007F:C001 0100007F:20E4 01 00000000:00000000 00:00000000 00000000  1000        0 12 1 0000000000000000 20 4
   2: 0100007F:C002 0100007F:20E4 06 00000000:00000000 03:00001756 00000000     0        0 0 3 0000000000000000
   3: 0100007F:C003 0100007F:20E5 01 00000000:00000000 00:00000000 00000000  1001        0 13 1 0000000000000000 20 4
"""


@pytest.mark.parametrize(("port", "expected"), [(0xC001, 1000), (0xC002, None), (0xC003, None), (0xC004, None)])
def test_the_table_is_read_as_proc_5_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, port: int, expected: int | None
) -> None:
    (tmp_path / "tcp").write_text(TABLE)
    monkeypatch.setattr(peers, "_TCP_TABLES", {socket.AF_INET: str(tmp_path / "tcp")})
    assert uid_of_tcp_peer(socket.AF_INET, ("127.0.0.1", port), ("127.0.0.1", 0x20E4)) == expected


BROKEN = {"no table": None, "an empty table": "", "a table of another form": "header\nx\n\n 1: 2\n"}


@pytest.mark.parametrize("case", BROKEN)
def test_without_a_table_nobody_can_be_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    if BROKEN[case] is not None:
        (tmp_path / "tcp").write_text(str(BROKEN[case]))
    monkeypatch.setattr(peers, "_TCP_TABLES", {socket.AF_INET: str(tmp_path / "tcp")})
    assert uid_of_tcp_peer(socket.AF_INET, ("127.0.0.1", 0xC001), ("127.0.0.1", 0x20E4)) is None
