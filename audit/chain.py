"""How one record of the audit log follows from another. Pure: no I/O, no clock.

Each names the SHA-256 of the line before it, so that a line cannot be changed, cut, swapped or doubled without every
later one telling (docs/reference/audit-log.md). Only the newest record and the log's length need a head kept elsewhere.
"""

from __future__ import annotations

from audit.record import FIRST_SEQ, RECORD_VERSION, UnsoundError, decode, encode
from audit.sha256 import sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from audit.record import Record

FIRST_PREV = "0" * 64
# Put after torn bytes, before the line feed that ends them, so that no torn line can ever read as a record: not even
# a whole one that lacked only its line feed, and whose writer got an error.
TORN_MARK = b"#"


class Head(tuple[int, str]):
    """The last record's number, and the SHA-256 (hex) of its line's bytes, line feed included."""

    __slots__ = ()

    def __new__(cls, seq: int, sha256: str) -> Self:
        """Make a head of its two parts."""
        return super().__new__(cls, (seq, sha256))

    @property
    def seq(self) -> int:
        """The record's number; the log's first has 1."""
        return self[0]

    @property
    def sha256(self) -> str:
        """The hash that the next record's `prev` holds."""
        return self[1]

    def __repr__(self) -> str:
        return f"Head(seq={self.seq}, sha256={self.sha256!r})"


def head_of(line: bytes, record: Record) -> Head:
    """The head of a log that ends with this line."""
    return Head(record["seq"], sha256(line).hexdigest())


def last_sound(data: bytes, *, whole: bool) -> tuple[int, int, Record] | None:
    """Where the last sound line in `data` starts and ends, and its record; None where there is none.

    Args:
        data: the end of a segment.
        whole: `data` is all of it; otherwise its first line may have lost its beginning, and is not looked at.
    """
    end = data.rfind(b"\n") + 1
    while end:
        start = data.rfind(b"\n", 0, end - 1) + 1
        if not start and not whole:
            return None
        try:
            return start, end, decode(data[start:end])
        except UnsoundError:
            end = start
    return None


def ending(torn_bytes: bytes) -> bytes:
    """What has to follow torn bytes, if there are any, so that they are lines, and none of them a record."""
    return b"" if not torn_bytes or torn_bytes.endswith(b"\n") else TORN_MARK + b"\n"


def torn_field(offset: int, torn_bytes: bytes) -> Record:
    """How the next record names the torn bytes at `offset`, with their ending but without the last line feed."""
    named = (torn_bytes + ending(torn_bytes))[:-1]
    return {"offset": offset, "length": len(named), "sha256": sha256(named).hexdigest()}


def links(
    before: tuple[Head, str] | None,
    new: list[Record],
    stamp: Record,
    new_log_id: str,
) -> tuple[list[bytes], Head]:
    """The lines that add `new` to the log, and its head then.

    Args:
        before: the last head and the log_id; None where the log is new, which is called `new_log_id` then.
        new: at least one record, without the log's own keys.
        stamp: time, boottime, host and version.
        new_log_id: 128 random bits, in hex.

    Raises:
        AuditError: as encode.
    """
    last, log_id = before or (Head(FIRST_SEQ - 1, FIRST_PREV), new_log_id)
    lines = []
    for fields in new:
        own = {"v": RECORD_VERSION, "log_id": log_id, "seq": last.seq + 1, "prev": last.sha256}
        lines.append(encode({**fields, **stamp, **own}))
        last = Head(last.seq + 1, sha256(lines[-1]).hexdigest())
    return lines, last
