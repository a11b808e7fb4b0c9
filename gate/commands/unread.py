"""What goes on until Ctrl-C also ends when its reader has gone: a write says so, but the next may be long in coming."""

from __future__ import annotations

import errno
import os
import select


def end_if_unread() -> None:
    """Do as a write to stdout would do.

    Raises:
        BrokenPipeError: the reader has gone, as poll(2) says of a pipe, a socket and a terminal.
    """
    watched = select.poll()
    watched.register(1, 0)
    if watched.poll(0):
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
