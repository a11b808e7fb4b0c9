"""The heartbeat of a waiting job, `waiting.<n>`, and how others tell whether it still waits.

The file is write-locked (an OFD lock, fcntl_locking(2)) before it gets its name, and new in each attempt: a reader of
it can take a read lock and so keep a writer out, but not on a file that it cannot see yet. Others probe with
F_OFD_GETLK and F_RDLCK, which only a write lock answers. The lock belongs to the open file, so it ends with the
process, however that ends. The content is the boottime of the last beat, fixed width, so that a beat is one pwrite over
the last one.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct

from audit.descriptor import Held
from gate.clock import boottime_ms
from gate.store.files import StateError

BEAT_EVERY_MS = 25_000
STALE_AFTER_MS = 60_000
_BEAT = "{:020d}\n"
_FLOCK = "hhqqi4x"  # struct flock of a 64-bit Linux: l_type, l_whence, l_start, l_len, l_pid


def start_beating(job_dir: str, attempt: int) -> int:
    """Make `waiting.<attempt>`, locked; returns its descriptor, to be kept open while waiting.

    Raises:
        StateError: it cannot be made, or that attempt waits already.
    """
    name = f"waiting.{attempt}"
    try:
        beat = os.open(job_dir, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.fcntl(beat, fcntl.F_OFD_SETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        os.fchmod(beat, 0o640)
        write_beat(beat)
        directory = os.open(job_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        os.link(f"/proc/self/fd/{beat}", name, src_dir_fd=directory, dst_dir_fd=directory)
        os.close(directory)
    except OSError as error:
        raise StateError(f"cannot make {os.path.join(job_dir, name)}: {error.strerror}") from error
    return beat


def write_beat(beat: int) -> None:
    """Rewrite the heartbeat (not durably: after a crash of the host the boot id tells).

    Raises:
        OSError: it could not be written whole.
    """
    content = _BEAT.format(boottime_ms()).encode()
    if os.pwrite(beat, content, 0) != len(content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def is_waiting(job_dir: str) -> bool:
    """Whether a live process holds the lock of any of this request's heartbeats."""
    return any(_locked(os.path.join(job_dir, name)) for name in _names(job_dir))


def last_beat_ms(job_dir: str) -> int:
    """Boottime, in ms, of the youngest heartbeat; 0 where there is none that can be read."""
    return max((_beat_ms(os.path.join(job_dir, name)) for name in _names(job_dir)), default=0)


def _names(job_dir: str) -> list[str]:
    try:
        return [name for name in os.listdir(job_dir) if name.startswith("waiting.")]
    except FileNotFoundError:
        return []


def _locked(path: str) -> bool:
    with Held(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)) as descriptor:
        probe = struct.pack(_FLOCK, fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
        answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, probe)
        return bool(struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK)


def _beat_ms(path: str) -> int:
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as source:
        content = source.read(32).strip()
    return int(content) if content.isdigit() else 0
