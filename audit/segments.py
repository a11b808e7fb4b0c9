"""The files that the audit log consists of: `audit.<n>.jsonl`, n from 1, of which only the highest is appended to."""

from __future__ import annotations

import errno
import os
import stat

from audit import chain
from audit.errors import AuditError
from audit.record import RECORD_MAX_BYTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from audit.chain import Head

FIRST_SEGMENT = 1
READ_ONLY_MODE = 0o440
TAIL_BYTES = 2 * RECORD_MAX_BYTES  # holds the last record whole, unless much is torn behind it
_BEFORE, _AFTER = "audit.", ".jsonl"
# O_NOFOLLOW: a link planted in place of the log must not make us write, or believe, another file.
_OPEN = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def name(number: int) -> str:
    """The file name of a segment."""
    return f"{_BEFORE}{number}{_AFTER}"


def numbers(directory: str | int) -> list[int]:
    """The numbers of the segments there are, ascending.

    Raises:
        OSError: the directory (a path, or a descriptor on it) cannot be read.
    """
    # An archived audit.1.jsonl.gz or a copy called audit.01.jsonl is not part of the log.
    digits = [
        n[len(_BEFORE) : -len(_AFTER)] for n in os.listdir(directory) if n.startswith(_BEFORE) and n.endswith(_AFTER)
    ]
    return sorted(int(n) for n in digits if n.isascii() and n.isdigit() and n[0] != "0")


def open_to_read(directory: str, number: int) -> BinaryIO:
    """A segment's bytes, for anybody who may read them.

    Raises:
        AuditError: it is not a regular file.
        OSError: it cannot be opened.
    """
    path = os.path.join(directory, name(number))
    strange = f"{path} is not a regular file; only the gate may put anything there"
    try:
        descriptor = os.open(path, os.O_RDONLY | _OPEN)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise AuditError(strange) from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise AuditError(strange)
    return open(descriptor, "rb")


def is_let_go(directory: str, number: int) -> bool:
    """Whether a segment has gone since the directory was read, as the oldest do (audit/retention.py).

    Raises:
        OSError: the directory cannot be read.
    """
    return os.path.isdir(directory) and number < min(numbers(directory), default=FIRST_SEGMENT)


def open_to_append(folder: int, number: int, path: str, *, make: bool = False) -> int:
    """A descriptor that can only add to a segment, which is made, if `make` says so, where it is missing.

    Raises:
        AuditError: what is there is not a file of ours alone.
        OSError: it cannot be opened, or its name cannot be made durable.
    """
    flags = os.O_RDWR | os.O_APPEND | _OPEN | (os.O_CREAT if make else 0)
    log = os.open(name(number), flags, 0o640, dir_fd=folder)
    try:
        refuse_strange(log, path)
        if not os.fstat(log).st_size:
            _make_name_durable(log, folder)
    except BaseException:
        os.close(log)
        raise
    return log


def open_own(folder: int, number: int, path: str) -> int:
    """A descriptor to read and to fsync a segment of ours, also one that was made read-only.

    Raises:
        AuditError: what is there is not a file of ours alone.
        OSError: it cannot be opened.
    """
    log = os.open(name(number), os.O_RDONLY | _OPEN, dir_fd=folder)
    try:
        refuse_strange(log, path)
    except BaseException:
        os.close(log)
        raise
    return log


def make_read_only(folder: int, number: int) -> None:
    """Make a full segment read-only, where that is allowed: chmod(2) is not under `chattr +a`."""
    try:
        log = os.open(name(number), os.O_RDONLY | _OPEN, dir_fd=folder)
    except OSError:
        return
    try:
        os.fchmod(log, READ_ONLY_MODE)
    except OSError:
        return  # nothing rests on it: an old segment is never opened for writing
    finally:
        os.close(log)


def refuse_strange(descriptor: int, path: str) -> None:
    """Make sure that an opened file is ours alone.

    A second name of it elsewhere is no reason to stop: it gives its maker no more right to write than before, and `gate
    check` reports it. To one without any name, writing would be in vain.

    Raises:
        AuditError: it is not a regular file of this uid that has a name.
    """
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and found.st_nlink:
        return
    raise AuditError(f"{path} is not a regular file of uid {os.geteuid()}; move it away, look who made it")


def pieces(source: BinaryIO) -> Iterator[tuple[int, bytes, bool]]:
    """The offset and bytes of each line from where `source` stands, and whether they begin a line.

    A line too long to be a record comes in several pieces, so that no file can fill the memory. Ends at the first end
    of file: what a writer adds meanwhile belongs to the next reading.
    """
    offset, begins = source.tell(), True
    while piece := source.readline(RECORD_MAX_BYTES + 1):
        yield offset, piece, begins
        begins = piece.endswith(b"\n")
        if not begins and len(piece) <= RECORD_MAX_BYTES:
            return
        offset += len(piece)


def tail(log: int) -> tuple[tuple[Head, str] | None, int, bytes]:
    """A segment's last head with its log_id, where that record ends, and the bytes after it: torn, if there are any."""
    size, window = os.fstat(log).st_size, TAIL_BYTES
    while True:
        offset = max(size - window, 0)
        data = _read(log, offset, size)
        last = chain.last_sound(data, whole=not offset)
        if last:
            start, end, record = last
            return (chain.head_of(data[start:end], record), record["log_id"]), offset + end, data[end:]
        if not offset:
            return None, 0, data
        window *= 4


def last_line(log: int, end: int) -> bytes:
    """The bytes of the line, no longer than a record may be, that ends at `end`."""
    data = _read(log, max(end - RECORD_MAX_BYTES, 0), end)
    return data[data.rfind(b"\n", 0, -1) + 1 :]


def _make_name_durable(log: int, folder: int) -> None:
    # Before the first byte goes in: a segment that holds anything has a durable name and the right mode, no matter who
    # was killed when, and appending to it needs no fsync of the directory (fsync(2): that of the file does not cover
    # it).
    os.fchmod(log, 0o640)
    os.fsync(folder)


def _read(log: int, start: int, end: int) -> bytes:
    data = b""
    while len(data) < end - start:
        more = os.pread(log, end - start - len(data), start + len(data))
        if not more:
            break
        data += more
    return data
