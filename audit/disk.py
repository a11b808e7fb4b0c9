"""What the disk has of a segment, whatever the page cache shows.

After a failed fsync the kernel takes the pages for clean: what the disk never took can still be read, and the next
fsync succeeds (Rebello et al., ATC '20). The process that got the error may have been killed since. To drop the pages
is not enough, since posix_fadvise(2) passes over those that somebody reads just then. So the disk is read past the
cache (O_DIRECT, open(2)).
"""

from __future__ import annotations

import errno
import mmap
import os
import time

from audit.descriptor import Held
from audit.errors import AuditError
from audit.record import RECORD_MAX_BYTES

# What one append writes at most (the line feed and the record of a repair, and one record more), and room for where it
# begins.
CHECKED_BYTES = 3 * RECORD_MAX_BYTES
_ALIGNED_BYTES = 4096  # enough for every file system and disk that Linux has on this hardware
_PAUSES_S = (0, 0.001, 0.01, 0.1)


def has(log: int, offset: int, content: bytes) -> bool:
    """Whether the disk has these bytes there; the page cache shows only what the disk has, afterwards, if it can.

    Raises:
        OSError: it cannot be read.
    """
    found = _past_the_cache(log, offset, offset + len(content))
    if found == content:
        return True
    os.posix_fadvise(log, offset - offset % _ALIGNED_BYTES, 0, os.POSIX_FADV_DONTNEED)
    return found is None and os.pread(log, len(content), offset) == content


def make_end_true(log: int, path: str) -> None:
    """Have a segment's end read as the disk has it, so that a record goes on from there, and its block does not differ.

    A record that the disk never took is torn then, and is repaired like any other. What is not synced yet is kept: to
    read past the cache writes it first.

    Raises:
        AuditError: the page cache cannot be brought to show it.
        OSError: it cannot be read.
    """
    size = os.fstat(log).st_size
    start = max(size - CHECKED_BYTES, 0)
    for pause_s in _PAUSES_S:
        time.sleep(pause_s)
        if has(log, start, os.pread(log, size - start, start)):
            return
    raise AuditError(f"{path} cannot be read as the disk has it; check the disk")


def _past_the_cache(log: int, start: int, end: int) -> bytes | None:
    """The disk's own bytes; None where the file system cannot tell (O_DIRECT is refused with EINVAL, open(2))."""
    if start == end:
        return b""
    skipped = start % _ALIGNED_BYTES
    wanted = end - start + skipped
    try:
        with (
            Held(os.open(f"/proc/self/fd/{log}", os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)) as direct,
            mmap.mmap(-1, wanted + -wanted % _ALIGNED_BYTES) as buffer,  # aligned, unlike any bytearray
        ):
            found = os.preadv(direct, [buffer], start - skipped)
            return buffer[skipped : min(found, wanted)]
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return None
