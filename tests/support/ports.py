"""Loopback ports."""

from __future__ import annotations

import socket
from collections import deque

KEPT = 64  # more than one test uses at once
_kept: deque[socket.socket] = deque()


def free_port() -> int:
    """A loopback port that nobody uses now, and that the kernel gives to nobody else before it is listened at.

    It is bound, and not listened at: with SO_REUSEADDR, as servers have it, it can be bound once more (socket(7)).
    """
    kept = socket.socket()
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    kept.bind(("127.0.0.1", 0))
    _kept.append(kept)
    if len(_kept) > KEPT:
        _kept.popleft().close()
    port: int = kept.getsockname()[1]
    return port
