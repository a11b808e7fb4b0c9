"""Appending to the audit log, so that a record that append() returned from is on disk.

Under an exclusive lock: read the log's last line, repair a torn one, write the record with one write(2), fsync. Nothing
is ever cut or rewritten, so all of it works on a file under `chattr +a`. After any error nothing may be taken as
logged; bytes that reached the file all the same are found to be the record, or repaired, by the next append.
"""

from __future__ import annotations

import os
import time

from audit import chain, copies, disk, segments
from audit.chain import Head
from audit.descriptor import Held, held_directory
from audit.errors import AuditError
from audit.lock import Locked
from audit.reading import (
    first_segment,
    goes_on_from,
    head,
    lines_from,
    mark,
    newest,
    placed_records,
    position,
    record_at,
    records,
    unusable,
)
from audit.record import OWN_EVENTS, OWN_KEYS, UnsoundError, decode, is_newer, parts
from audit.segments import FIRST_SEGMENT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from audit.record import Record

__all__ = [
    "FIRST_SEGMENT",
    "AuditError",
    "Head",
    "append",
    "append_once",
    "find_all",
    "first_segment",
    "goes_on_from",
    "head",
    "mark",
    "newest",
    "placed_records",
    "position",
    "record_at",
    "records",
]

LOG_ID_BYTES = 16


def append(directory: str, fields: Record, *, version: str) -> Head:
    """Add one record to the log in `directory`; once this returns, it is on disk.

    Args:
        directory: where the log lies; must exist.
        fields: `event`, and what else the record says; text, integers below 2^53, booleans, None, lists and dicts.
        version: of the program that writes.

    Raises:
        AuditError: it is not certain that the record is on disk.
    """
    _check_fields(fields)
    try:
        with Locked(directory) as folder:
            return extend(directory, folder, [fields], version)
    except OSError as error:
        raise unusable(directory, error) from error


def append_once(
    directory: str,
    fields: Record,
    *,
    same: tuple[str, ...],
    since: tuple[int, int],
    version: str,
) -> Head:
    """As append, unless a record since then already says the same: then its head, once that one is certainly on disk.

    Args:
        directory: where the log lies.
        fields: as for append.
        same: the keys in which a record must equal `fields` to count as this one.
        since: a position() from before it can have been written.
        version: of the program that writes.

    Raises:
        AuditError: it is not certain that such a record is on disk.
    """
    _check_fields(fields)
    wanted = parts(fields, same)
    try:
        with Locked(directory) as folder:
            return _find(directory, folder, wanted, since) or extend(directory, folder, [fields], version)
    except OSError as error:
        raise unusable(directory, error) from error


def find_all(directory: str, event: str, requests: set[str], *, since: tuple[int, int]) -> set[str]:
    """Those of `requests` that the log has a record of this event about, certainly on disk.

    Args:
        directory: where the log lies.
        event: the records' event.
        requests: the keys that are looked for; at most a few.
        since: a position() from before any of them can have been written.

    Raises:
        AuditError: it is not certain that a record that was found is on disk, or the log cannot be read.
    """
    left, wanted = set(requests), parts({"event": event}, ("event",))
    try:
        with held_directory(directory) as folder:
            for number, offset, line, record in _having(directory, wanted, since) if left else ():
                if record.get("request") in left:
                    make_sure(directory, folder, number, offset, line)
                    left.remove(record["request"])
                if not left:
                    break
    except OSError as error:
        raise unusable(directory, error) from error
    return requests - left


def extend(
    directory: str,
    folder: int,
    fields: list[Record],
    version: str,
    *,
    number: int = 0,
    genesis: Record | None = None,
) -> Head:
    """Add records to the last segment, or to segment `number`, which may be new; the caller holds the lock.

    Before them goes what the segment lacks: its genesis, which says `genesis` as well, or a record of what is torn at
    its end.

    Raises:
        AuditError: as append.
        OSError: as append, which makes an AuditError of it.
    """
    number = number or max(segments.numbers(folder), default=segments.FIRST_SEGMENT)
    path = os.path.join(directory, segments.name(number))
    with Held(segments.open_to_append(folder, number, path, make=True)) as log:
        disk.make_end_true(log, path)
        last, end, torn_bytes = segments.tail(log)
        if any(map(is_newer, torn_bytes.splitlines(keepends=True))):
            raise AuditError(f"{path} ends with a record of a newer version of the gate: install that one")
        before = last or _end_of_segment_before(directory, folder, number)
        new = [*fields]
        if torn_bytes or not last:
            torn = {"torn": chain.torn_field(end, torn_bytes)} if torn_bytes else {}
            new.insert(0, {"event": "recovered", **torn} if last else {"event": "genesis", **torn, **(genesis or {})})
        lines, new_head = chain.links(before, new, _stamp(version), os.urandom(LOG_ID_BYTES).hex())
        for line in [chain.ending(torn_bytes) + lines[0], *lines[1:]]:
            _write(log, line, path)
        os.fsync(log)
        copies.send(folder, lines)
        return new_head


def _find(directory: str, folder: int, wanted: dict[str, bytes], since: tuple[int, int]) -> Head | None:
    for number, offset, line, record in _having(directory, wanted, since):
        make_sure(directory, folder, number, offset, line)
        return chain.head_of(line, record)
    return None


def _having(
    directory: str, wanted: dict[str, bytes], since: tuple[int, int]
) -> Iterator[tuple[int, int, bytes, Record]]:
    """The records since then that have these parts, each with its segment, offset and line."""
    for number, offset, line in lines_from(directory, since):
        # Parsing is what costs; the canonical form lets the bytes tell which few lines are worth it.
        if not all(part in line for part in wanted.values()):
            continue
        try:
            record = decode(line)
        except UnsoundError:
            continue
        if record.keys() >= wanted.keys() and parts(record, tuple(wanted)) == wanted:
            yield number, offset, line, record


def make_sure(directory: str, folder: int, number: int, offset: int, line: bytes) -> None:
    """Have a record on disk whose writer may have been killed before its fsync, or told that the fsync failed.

    Raises:
        AuditError: the disk does not have it.
        OSError: as append, which makes an AuditError of it.
    """
    path = os.path.join(directory, segments.name(number))
    with Held(segments.open_own(folder, number, path)) as log:
        os.fsync(log)
        if not disk.has(log, offset, line):
            raise AuditError(
                f"{path} lost a record at byte {offset} which could not be written to disk; check the disk"
            )


def sure_end(directory: str, folder: int, number: int) -> tuple[tuple[Head, str] | None, int, bytes]:
    """As segments.tail() of a segment, whose last record is certainly on disk then; the caller holds the lock.

    Raises:
        AuditError: the disk does not have it.
        OSError: as append, which makes an AuditError of it.
    """
    with Held(segments.open_own(folder, number, os.path.join(directory, segments.name(number)))) as log:
        last, end, torn_bytes = segments.tail(log)
        line = segments.last_line(log, end)
    if last:
        make_sure(directory, folder, number, end - len(line), line)
    return last, end, torn_bytes


def _end_of_segment_before(directory: str, folder: int, number: int) -> tuple[Head, str] | None:
    if number == segments.FIRST_SEGMENT:
        return None
    path = os.path.join(directory, segments.name(number - 1))
    with Held(segments.open_own(folder, number - 1, path)) as log:
        last, _, torn_bytes = segments.tail(log)
        if not last or torn_bytes:
            raise AuditError(f"{path} does not end in a sound record, so the next segment cannot go on from it")
        os.fsync(log)
        return last


def _write(log: int, line: bytes, path: str) -> None:
    written = os.write(log, line)
    # A disk that fills up shows as a short write first, and as an error only at the next one.
    if written != len(line):
        raise AuditError(
            f"only {written} of {len(line)} bytes went into {path}: no space left, or a limit on file size"
        )


def _stamp(version: str) -> Record:
    wall_ms = time.time_ns() // 1_000_000
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(wall_ms // 1000))
    return {
        "time": f"{seconds}.{wall_ms % 1000:03}Z",
        "boottime": time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000,
        "host": os.uname().nodename,
        "version": version,
    }


def _check_fields(fields: Record) -> None:
    taken = sorted(OWN_KEYS & fields.keys())
    if taken:
        raise AuditError(f"{taken[0]!r} is the audit log's own key; call it otherwise")
    if fields.get("event") in OWN_EVENTS:
        raise AuditError(f"only the audit log itself writes {fields['event']!r}")
