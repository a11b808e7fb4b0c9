"""Who is at the other end of a connection, by what the kernel says."""

from __future__ import annotations

import socket
import struct

_TCP_TABLES: dict[int, str] = {socket.AF_INET: "/proc/net/tcp", socket.AF_INET6: "/proc/net/tcp6"}


def uid_of_unix_peer(sock: socket.socket) -> int:
    """The uid that connected to a Unix socket; a client cannot say another (unix(7), SO_PEERCRED)."""
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    uid: int = struct.unpack("3i", credentials)[1]
    return uid


def uid_of_tcp_peer(family: int, client: tuple[str, int], server: tuple[str, int]) -> int | None:
    """The uid of the process on this host that connected from `client` to `server`; None where that is unknown.

    By the client's own socket in /proc/net/tcp (proc(5)), which is not there where it is another network namespace's.
    One that no process holds any more has inode 0, and stands there as root's until it is gone.
    """
    wanted = [_as_in_table(family, client), _as_in_table(family, server)]
    try:
        with open(_TCP_TABLES[family], encoding="ascii") as table:
            row = next((row for row in map(str.split, table) if row[1:3] == wanted), None)
    except OSError:
        return None
    return int(row[7]) if row and row[9] != "0" else None


def _as_in_table(family: int, address: tuple[str, int]) -> str:
    # Each 32-bit word of the address as the host's own byte order shows it, in hex.
    packed = socket.inet_pton(family, address[0])
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    return f"{''.join(f'{word:08X}' for word in words)}:{address[1]:04X}"
