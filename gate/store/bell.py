"""The bell of a waiting job, `jobs/<key>/bell`: a FIFO, by which others tell it to look.

A ring says nothing and proves nothing: it only makes the waiting process look for the names that could be an answer.
Without one it looks by itself every 10 s. A FIFO, and not a file in a watched directory: of inotify instances a user
has 128 unless the host has another limit, and a thousand jobs may wait (docs/adr/0037-lookouts.md).

Who may ring: R, and the page's user. No one else can write to it.
"""

from __future__ import annotations

import os
import stat

from gate.store.files import StateError

RING_MAX_BYTES = 65_536  # what a pipe holds, pipe(7)
MISSING = "cannot be woken by answers (no bell): looking once a second instead"


def make(job_dir: str, gid: int = -1) -> None:
    """Make a request's bell, or bring the one that is there to this group, which may ring it; -1 for R alone.

    Raises:
        StateError: it cannot be made.
    """
    path, mode = _path(job_dir), 0o600 if gid == -1 else 0o620
    try:
        _make(path)
        if gid not in (-1, os.lstat(path).st_gid):
            os.chown(path, -1, gid)
        os.chmod(path, mode)
    except OSError as error:
        raise StateError(f"cannot make {path}: {error.strerror}") from error


def hang_up(job_dir: str) -> int:
    """A descriptor on one's own bell, to be waited on.

    -1 where it cannot be used, so that one has to look more often.
    """
    try:
        # For both: a reader alone would find it ready for ever, once the first who rang has let go (pipe(7), POLLHUP).
        return _open(job_dir, os.O_RDWR)
    except OSError:
        return -1


def ring(job_dir: str) -> bool:
    """Have the job of that request look; False where no job waits there."""
    try:
        bell = _open(job_dir, os.O_WRONLY)
    except OSError:  # ENXIO: no process has it open
        return False
    try:
        os.write(bell, b"\n")
    except BlockingIOError:  # rung often enough
        return True
    except OSError:
        return False
    finally:
        os.close(bell)
    return True


def was_rung(bell: int) -> bool:
    """Whether somebody has rung since it was last asked. Reads once: the page's user may ring without an end."""
    try:
        return bell >= 0 and bool(os.read(bell, RING_MAX_BYTES))
    except OSError:
        return False


def _path(job_dir: str) -> str:
    return os.path.join(job_dir, "bell")


def _make(path: str) -> None:
    try:
        os.mkfifo(path, 0o600)
    except FileExistsError:
        if not stat.S_ISFIFO(os.lstat(path).st_mode):  # of a backup that knows no FIFOs
            os.unlink(path)
            os.mkfifo(path, 0o600)


def _open(job_dir: str, how: int) -> int:
    bell = os.open(_path(job_dir), how | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    if not stat.S_ISFIFO(os.fstat(bell).st_mode):
        os.close(bell)
        raise FileNotFoundError
    return bell
