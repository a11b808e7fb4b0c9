"""inotify(7), as much of it as waiting needs. The events are not read for what they say: any one means, look."""

from __future__ import annotations

import ctypes
import os

from gate.store.beneath import DIRECTORY, open_beneath

IN_NONBLOCK = os.O_NONBLOCK
IN_CLOEXEC = os.O_CLOEXEC
# ATTRIB: a link count that goes back to one; CLOSE_WRITE: a writer is done; the rest: names that come.
_MASK = 0x4 | 0x8 | 0x80 | 0x100  # IN_ATTRIB | IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE
_IN_ONLYDIR = 0x01000000


class Inotify:
    """One inotify instance; `descriptor` is -1 where the kernel has none left (fs.inotify.max_user_instances)."""

    def __init__(self) -> None:
        """Never raises: without an instance, one polls."""
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor: int = self._libc.inotify_init1(IN_NONBLOCK | IN_CLOEXEC)

    def watch(self, directory: str) -> bool:
        """Watch a directory (again); False where that cannot be, as where it does not exist yet."""
        if self.descriptor < 0:
            return False
        return bool(self._libc.inotify_add_watch(self.descriptor, os.fsencode(directory), _MASK | _IN_ONLYDIR) >= 0)

    def watch_beneath(self, root: int, path: str) -> bool:
        """Watch a directory that somebody else owns.

        By a descriptor, so that no file system is asked that they mounted.
        """
        if self.descriptor < 0:
            return False
        try:
            directory = open_beneath(root, path, os.O_PATH | DIRECTORY)
        except OSError:
            return False
        try:
            return self.watch(f"/proc/self/fd/{directory}")
        finally:
            os.close(directory)

    def drain(self) -> bool:
        """Read away what has come; True where there was anything."""
        seen = False
        while self.descriptor >= 0:
            try:
                seen = bool(os.read(self.descriptor, 65_536)) or seen
            except BlockingIOError:
                break
        return seen
