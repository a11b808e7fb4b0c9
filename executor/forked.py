"""Waiting for a forked child, but not for one that hangs.

A process that a file system does not answer cannot be ended (state D, ps(1)): SIGKILL waits, too. So a child that takes
too long is sent one, and left behind. It holds neither the job log nor the heartbeat (`let_go`), so nobody waits for it.
"""

from __future__ import annotations

import os
import select

from gate.clock import boottime_ms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_SIGKILL = 9
_EXIT_WITHIN_MS = 1000
NOTHING_BESIDE = (-1, lambda: None)
_left_behind: list[int] = []


def let_go(*descriptors: int) -> None:
    """In the child: hold neither what the runner reads nor these descriptors."""
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for descriptor in (1, 2):
        os.dup2(null, descriptor)
    for descriptor in descriptors:
        os.close(descriptor)


def read_all(
    reader: int, child: int, within_ms: int, beside: tuple[int, Callable[[], None]] = NOTHING_BESIDE
) -> tuple[bytes, bool]:
    """What the child writes until it ends, and whether it did; one that did not within that time is killed.

    `beside`: what is called meanwhile whenever a descriptor is ready (-1 for none), since others may wait for that.
    """
    until_ms, content = boottime_ms() + within_ms, b""
    descriptor, work = beside
    poller = select.poll()
    poller.register(reader, select.POLLIN)
    if descriptor >= 0:
        poller.register(descriptor, select.POLLIN)
    while (left_ms := until_ms - boottime_ms()) > 0:
        ready = {each for each, _event in poller.poll(left_ms)}
        if descriptor in ready:
            work()
        if reader not in ready:
            continue
        piece = os.read(reader, 65_536)
        if not piece:
            _wait_for(child)
            return content, True
        content += piece
    os.kill(child, _SIGKILL)
    _left_behind.append(child)
    return content, False


def reap() -> None:
    """Have the kernel forget those that were left behind and have ended since."""
    _left_behind[:] = [child for child in _left_behind if not _has_ended(child)]


def _wait_for(child: int) -> None:
    """It has closed the pipe, so it is about to end; even that can hang."""
    try:
        handle = os.pidfd_open(child)
    except OSError:
        os.waitpid(child, 0)
        return
    poller = select.poll()
    poller.register(handle, select.POLLIN)
    poller.poll(_EXIT_WITHIN_MS)
    os.close(handle)
    if not _has_ended(child):
        _left_behind.append(child)


def _has_ended(child: int) -> bool:
    try:
        return os.waitpid(child, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return True
