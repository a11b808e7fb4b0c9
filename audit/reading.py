"""Reading the audit log: as it stands, without a lock, by anybody who may. Checks no chain; audit/verify.py does.

What is torn is passed over. What a writer adds meanwhile belongs to the next reading, in whatever segment it is.
"""

from __future__ import annotations

import itertools
import os

from audit import chain, segments
from audit.errors import AuditError
from audit.record import UnsoundError, decode
from audit.sha256 import sha256

TYPE_CHECKING = False
MARKED_BYTES = 4096

if TYPE_CHECKING:
    from collections.abc import Iterator

    from audit.chain import Head
    from audit.record import Record


def position(directory: str) -> tuple[int, int]:
    """Where the log ends: the number of its last segment and that one's size in bytes; (1, 0) where there is none yet.

    Raises:
        AuditError: it cannot be read.
    """
    try:
        numbers = segments.numbers(directory)
    except OSError as error:
        raise unusable(directory, error) from error
    return (numbers[-1], _size(directory, numbers[-1])) if numbers else (segments.FIRST_SEGMENT, 0)


def mark(directory: str, end: tuple[int, int]) -> str:
    """What tells the log up to that position() from any other: SHA-256 of the last bytes before it, in hex.

    Raises:
        AuditError: it cannot be read.
    """
    number, offset = end
    try:
        with segments.open_to_read(directory, number) as source:
            source.seek(max(offset - MARKED_BYTES, 0))
            content = source.read(min(offset, MARKED_BYTES))
    except FileNotFoundError:
        content = b""
    except OSError as error:
        raise unusable(directory, error) from error
    return sha256(content).hexdigest()


def goes_on_from(directory: str, end: tuple[int, int], marked: str | None) -> bool:
    """Whether the log is as long as at that position() and has that mark() there; without a mark, its length counts.

    What the log has let go since (audit/retention.py) counts as there.

    Raises:
        AuditError: it cannot be read.
    """
    if end[0] < first_segment(directory):
        return True
    if position(directory) < end:
        return False
    if end[1] == 0:
        return True
    if _size(directory, end[0]) < end[1]:
        return False
    return marked is None or mark(directory, end) == marked


def first_segment(directory: str) -> int:
    """The number of the first segment there is, 1 where there is none yet; what was before it has been let go.

    Raises:
        AuditError: it cannot be read.
    """
    try:
        return min(segments.numbers(directory), default=segments.FIRST_SEGMENT)
    except OSError as error:
        raise unusable(directory, error) from error


def head(directory: str) -> Head | None:
    """The head of the log as it stands, or None where it holds no record; takes no lock, so any reader can ask.

    Raises:
        AuditError: it cannot be read.
    """
    try:
        for number in reversed(segments.numbers(directory)):
            with segments.open_to_read(directory, number) as source:
                last, _, _ = segments.tail(source.fileno())
            if last:
                return last[0]
    except OSError as error:
        raise unusable(directory, error) from error
    return None


def records(
    directory: str,
    since: tuple[int, int] = (segments.FIRST_SEGMENT, 0),
) -> Iterator[tuple[Head, Record]]:
    """Every sound record from a position() on, in order; what is torn is passed over. Takes no lock, checks no chain.

    Raises:
        AuditError: the log cannot be read.
    """
    for _place, head, record in placed_records(directory, since):
        yield head, record


def placed_records(
    directory: str,
    since: tuple[int, int] = (segments.FIRST_SEGMENT, 0),
) -> Iterator[tuple[tuple[int, int, int], Head, Record]]:
    """As records, each with its place: segment, offset, and length in bytes. The next one begins behind it, or later.

    Raises:
        AuditError: the log cannot be read.
    """
    try:
        for number, offset, line in lines_from(directory, since):
            try:
                record = decode(line)
            except UnsoundError:
                continue
            yield (number, offset, len(line)), chain.head_of(line, record), record
    except OSError as error:
        raise unusable(directory, error) from error


def newest(directory: str, count: int) -> list[tuple[tuple[int, int, int], Head, Record]]:
    """The last `count` sound records, as placed_records() tells them, without reading much of what is before them.

    Raises:
        AuditError: the log cannot be read.
    """
    found: list[tuple[tuple[int, int, int], Head, Record]] = []
    try:
        numbers = segments.numbers(directory)
    except OSError as error:
        raise unusable(directory, error) from error
    for number in reversed(numbers):
        if len(found) >= count:
            break
        found = _newest_of(directory, number, count - len(found)) + found
    return found[len(found) - min(count, len(found)) :]


def _newest_of(directory: str, number: int, count: int) -> list[tuple[tuple[int, int, int], Head, Record]]:
    size, window = _size(directory, number), count * 1024
    while True:
        start = max(size - window, 0)  # in the midst of a line, mostly: the rest of that is no record
        placed = placed_records(directory, (number, start))
        found = list(itertools.takewhile(lambda each: each[0][0] == number, placed))
        if len(found) >= count or not start:
            return found
        window *= 4


def record_at(directory: str, place: tuple[int, int, int]) -> tuple[Head, Record]:
    """The record at a place that placed_records() gave.

    Raises:
        AuditError: no sound record is there now, or the log cannot be read.
    """
    number, offset, length = place
    try:
        with segments.open_to_read(directory, number) as source:
            source.seek(offset)
            line = source.read(length)
        record = decode(line)
    except UnsoundError as error:
        raise AuditError(f"{segments.name(number)}, byte {offset}: what stands there {error}") from error
    except OSError as error:
        raise unusable(directory, error) from error
    return chain.head_of(line, record), record


def _size(directory: str, number: int) -> int:
    try:
        return os.stat(os.path.join(directory, segments.name(number)), follow_symlinks=False).st_size
    except OSError as error:
        if isinstance(error, FileNotFoundError) and segments.is_let_go(directory, number):
            return 0
        raise unusable(directory, error) from error


def lines_from(directory: str, since: tuple[int, int]) -> Iterator[tuple[int, int, bytes]]:
    """The segment, offset and bytes of each line from a position() on, whatever it holds; long ones only in part.

    Raises:
        AuditError: a segment is not a regular file.
        OSError: one cannot be read.
    """
    for number in segments.numbers(directory):
        if number < since[0]:
            continue
        try:
            opened = segments.open_to_read(directory, number)
        except FileNotFoundError:
            if segments.is_let_go(directory, number):
                continue
            raise
        with opened as source:
            if number == since[0]:
                source.seek(since[1])
            for offset, piece, begins in segments.pieces(source):
                if begins:
                    yield number, offset, piece


def unusable(directory: str, error: OSError) -> AuditError:
    """What to tell people of an error that the log in `directory` gave."""
    path = os.path.join(directory, error.filename) if isinstance(error.filename, str) else directory
    if isinstance(error, FileNotFoundError | NotADirectoryError) and path == directory:
        return AuditError(
            f"there is no directory {directory} for the audit log; the config stage makes it when the first job comes"
        )
    return AuditError(f"cannot use the audit log {path}: {error.strerror or error}")
