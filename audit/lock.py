"""The lock that one appender at a time holds: flock(2) on `audit.lock`, beside the log."""

from __future__ import annotations

import fcntl
import os
import time

from audit.errors import AuditError
from audit.segments import refuse_strange

LOCK = "audit.lock"
# An append takes as long as an fsync. Who holds the lock longer was stopped, or its disk hangs: that is said, and tried
# again later, but the lock is never broken. What was stopped may go on, and write where it had read the end.
WAIT_S = 10
_PAUSES_S = (0.001, 0.016)  # the first, and the longest


class Locked:
    """`with Locked(directory) as folder`: a descriptor on the log's directory, while no other process appends.

    Raises:
        AuditError: the lock is not a file of ours, or another holds it for longer than WAIT_S.
        OSError: the directory or the lock cannot be opened.
    """

    def __init__(self, directory: str) -> None:
        """Name the directory; nothing is opened yet."""
        self._directory = directory

    def __enter__(self) -> int:
        """Wait for the lock; the kernel frees that of a process which is killed."""
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
        _wait(lock, os.path.join(directory, LOCK))
    except BaseException:
        os.close(lock)
        raise
    return lock


def _wait(lock: int, path: str) -> None:
    give_up_s, pause_s = time.monotonic() + WAIT_S, _PAUSES_S[0]
    while not _locked(lock):
        if time.monotonic() >= give_up_s:
            raise AuditError(f"{path} was held for over {WAIT_S} s, {_holder(lock)}")
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, _PAUSES_S[1])


def _locked(lock: int) -> bool:
    # flock(2) has no timeout, and an alarm would be the whole process's.
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(lock: int) -> str:
    """Who holds it, by /proc/locks (proc_locks(5)): `1: FLOCK ADVISORY WRITE <pid> <major>:<minor>:<inode> 0 EOF`."""
    found = os.fstat(lock)
    file = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    try:
        with open("/proc/locks", encoding="ascii") as source:
            held = [words for words in map(str.split, source) if words[1] == "FLOCK" and words[5] == file]
    except OSError:
        held = []
    if not held:
        return "by whom /proc/locks does not tell"
    pid = held[0][4]
    return f"by process {pid}: see what it waits for (ps -o pid,stat,wchan,args {pid}); kill -CONT it if it is stopped"
