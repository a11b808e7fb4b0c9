"""The lock that one appender at a time holds: flock(2) on `audit.lock`, beside the log."""

from __future__ import annotations

import fcntl
import os

from audit.segments import refuse_strange

LOCK = "audit.lock"


class Locked:
    """`with Locked(directory) as folder`: a descriptor on the log's directory, while nobody else appends.

    Raises:
        AuditError: the lock is not a file of ours.
        OSError: the directory or the lock cannot be opened.
    """

    def __init__(self, directory: str) -> None:
        """Name the directory; nothing is opened yet."""
        self._directory = directory

    def __enter__(self) -> int:
        """Wait for the lock, for as long as another holds it; the kernel frees that of a process which is killed."""
        self._folder = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._lock = _take(self._folder, self._directory)
        except BaseException:
            os.close(self._folder)
            raise
        return self._folder

    def __exit__(self, *_: object) -> None:
        """Let the next one in."""
        # Not left to close(): a child forked meanwhile would go on holding the lock through its copy of the descriptor.
        fcntl.flock(self._lock, fcntl.LOCK_UN)
        os.close(self._lock)
        os.close(self._folder)


def _take(folder: int, directory: str) -> int:
    # A file of its own, since lock libraries truncate or delete what they lock. Never unlinked: one who waits on the
    # old inode and one who makes a new file would both hold "the" lock, and the chain would fork.
    lock = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600, dir_fd=folder)
    try:
        refuse_strange(lock, os.path.join(directory, LOCK))
        fcntl.flock(lock, fcntl.LOCK_EX)
    except BaseException:
        os.close(lock)
        raise
    return lock
