"""inotify(7), as much of it as a lookout needs (executor/lookout.py)."""

from __future__ import annotations

import ctypes
import os
import struct

from gate.store.beneath import DIRECTORY, open_beneath

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

IN_NONBLOCK = os.O_NONBLOCK
IN_CLOEXEC = os.O_CLOEXEC
NONE = -1  # no instance, no watch; also the watch of an event that says that others were lost (IN_Q_OVERFLOW)
# ATTRIB: a mode that changes; CLOSE_WRITE: a writer is done; the rest: names that come.
_MASK = 0x4 | 0x8 | 0x80 | 0x100  # IN_ATTRIB | IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE
_IN_ONLYDIR = 0x01000000
_HEAD = struct.Struct("iIII")  # struct inotify_event: wd, mask, cookie, len; then the name, filled up with NUL
_READ_BYTES = 65_536


class Inotify:
    """One inotify instance; `descriptor` is NONE where the kernel has none left (fs.inotify.max_user_instances)."""

    def __init__(self) -> None:
        """Never raises: without an instance, one polls."""
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor: int = self._libc.inotify_init1(IN_NONBLOCK | IN_CLOEXEC)

    def watch(self, directory: str) -> int:
        """Watch a directory (again).

        Returns the number of the watch, NONE where that cannot be, as where there is none.
        """
        watch: int = self._libc.inotify_add_watch(self.descriptor, os.fsencode(directory), _MASK | _IN_ONLYDIR)
        return watch

    def watch_beneath(self, root: int, path: str) -> int:
        """Watch a directory that somebody else owns.

        By a descriptor, so that no file system is asked that they mounted.
        """
        try:
            directory = open_beneath(root, path, os.O_PATH | DIRECTORY)
        except OSError:
            return NONE
        try:
            return self.watch(f"/proc/self/fd/{directory}")
        finally:
            os.close(directory)

    def forget(self, watch: int) -> None:
        """Watch that directory no more."""
        self._libc.inotify_rm_watch(self.descriptor, watch)

    def events(self) -> Iterator[tuple[int, str]]:
        """What has come, up to some 2,000 at once: (watch, name); the watch NONE where events were lost."""
        try:
            content = os.read(self.descriptor, _READ_BYTES)
        except OSError:  # nothing has come
            return
        at = 0
        while at < len(content):
            watch, _mask, _cookie, length = _HEAD.unpack_from(content, at)
            at += _HEAD.size + length
            yield watch, os.fsdecode(content[at - length : at].rstrip(b"\0"))

    def close(self) -> None:
        """Let go of the instance, and of all its watches."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
        self.descriptor = NONE
