"""Is the audit log what was written? The rules of docs/reference/audit-log.md, held against every byte of it.

Reads as a stream and takes no lock: the lock is for the gate's own user, the log also for those who may only read it.
So a line that a writer is in the middle of may be met: an unfinished end is told, and is no fault.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

from audit import chain, segments
from audit.chain import Head
from audit.record import FIRST_SEQ, AuditError, UnsoundError, decode

if TYPE_CHECKING:
    from collections.abc import Iterable

PROBLEMS_MAX = 100


@dataclass(frozen=True)
class Problem:
    """One place where the log is not what was written; line 0 is the file as a whole."""

    file: str
    line: int
    expected: str
    found: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: expected {self.expected}, found {self.found}"


@dataclass(frozen=True)
class Report:
    """What verify() saw.

    Attributes:
        records: sound records read.
        log_id: the log's own random name, by its first record.
        head: the last record's number and hash.
        problems: the first PROBLEMS_MAX of them.
        further: how many problems there are beyond these.
        mended: torn places that the next record names, as it should.
        unfinished: where the log ends in a line that is being written, or was torn and is mended by the next append.
    """

    records: int
    log_id: str | None
    head: Head | None
    problems: tuple[Problem, ...]
    further: int
    mended: int
    unfinished: str | None

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong; an unfinished end is not."""
        return not self.problems


def verify(directory: str, anchors: Iterable[tuple[int, str]] = ()) -> Report:
    """Check the whole log in `directory`, and that it goes through every anchor.

    Args:
        directory: where the log lies.
        anchors: heads kept elsewhere, as (seq, SHA-256 in hex).

    Raises:
        AuditError: the log cannot be read.
    """
    reading = _Reading(anchors)
    try:
        numbers = segments.numbers(directory)
        for number in numbers:
            with segments.open_to_read(directory, number) as source:
                reading.segment(number, source, last=number == numbers[-1])
    except OSError as error:
        where = error.filename or directory
        raise AuditError(f"cannot read the audit log {where}: {error.strerror or error}") from error
    return reading.report(directory)


@dataclass
class _Torn:
    """Lines that are no records, one after the other, which the next record has to name."""

    line: int
    offset: int
    fault: str
    length: int = 0
    all_marked: bool = True
    _digest: Any = field(default_factory=hashlib.sha256)
    _held_back: bytes = b""
    _last: bytes = b""

    def add(self, piece: bytes) -> None:
        self._digest.update(self._held_back)
        self._held_back = piece[-1:] if piece.endswith(b"\n") else b""
        self._digest.update(piece[: len(piece) - len(self._held_back)])
        self.length += len(piece)
        # A long line comes in pieces, so its mark may have come with the one before.
        if self._held_back and (self._last + piece)[-2:] != chain.TORN_MARK + b"\n":
            self.all_marked = False
        self._last = piece[-1:]

    @property
    def named(self) -> dict[str, Any]:
        length = self.length - len(self._held_back)
        return {"offset": self.offset, "length": length, "sha256": self._digest.hexdigest()}


class _Reading:
    """How far the log has been read, and what was found."""

    def __init__(self, anchors: Iterable[tuple[int, str]]) -> None:
        self._anchors: dict[int, set[str]] = {}
        for seq, sha256 in anchors:
            self._anchors.setdefault(seq, set()).add(sha256.lower())
        self._records = self._mended = self._further = 0
        self._log_id: str | None = None
        self._head: Head | None = None
        self._problems: list[Problem] = []
        self._unfinished: str | None = None
        self._number, self._line = segments.FIRST_SEGMENT - 1, 0
        self._torn: _Torn | None = None

    def segment(self, number: int, source: BinaryIO, *, last: bool) -> None:
        self._line = 0
        if number != self._number + 1:
            self._number += 1
            self._problem("this segment", f"only {segments.name(number)} after it")
        self._number = number
        first = True
        for offset, piece, begins in segments.pieces(source):
            self._line += begins
            try:
                record = decode(piece if begins else b"")
            except UnsoundError as error:
                self._tear(offset, piece, str(error))
                continue
            self._record(record, piece, first=first)
            first = False
        self._end_of_segment(last=last)

    def report(self, directory: str) -> Report:
        self._line = 0
        if not self._records:
            self._problem("an audit log", f"no record in {directory}: nothing was logged yet, or it was taken away")
        for seq in sorted(self._anchors):
            ends = self._head.seq if self._head else 0
            self._problem(f"a record {seq}, which an anchor names", f"an end at record {ends}: the log was cut")
        return Report(
            records=self._records,
            log_id=self._log_id,
            head=self._head,
            problems=tuple(self._problems),
            further=self._further,
            mended=self._mended,
            unfinished=self._unfinished,
        )

    def _tear(self, offset: int, piece: bytes, fault: str) -> None:
        if self._torn is None:
            self._torn = _Torn(self._line, offset, fault)
        self._torn.add(piece)

    def _record(self, record: dict[str, Any], line: bytes, *, first: bool) -> None:
        torn, self._torn = self._torn, None
        unnamed = torn is not None and record.get("torn") != torn.named
        if torn and unnamed:
            self._problem("a record, or torn bytes that the next record names", f"a line that {torn.fault}", torn.line)
        elif torn:
            self._mended += 1
        elif "torn" in record:
            self._problem("torn bytes before this record, as it says", "none")
        self._link(record, first=first, follows=not unnamed)
        self._records += 1
        self._head = chain.head_of(line, record)
        for sha256 in self._anchors.pop(self._head.seq, ()):
            if sha256 != self._head.sha256:
                self._problem(
                    f"the record {self._head.seq} of sha256 {sha256}, which an anchor names", self._head.sha256
                )

    def _link(self, record: dict[str, Any], *, first: bool, follows: bool) -> None:
        """Compare a record with the one before it, which it cannot match where lines between them are spoilt."""
        before = self._head or Head(FIRST_SEQ - 1, chain.FIRST_PREV)
        wanted: dict[str, Any] = {"seq": before.seq + 1, "prev": before.sha256} if follows else {}
        self._log_id = self._log_id or record["log_id"]
        wanted["log_id"] = self._log_id
        # The first difference is enough: a line that was taken out changes both seq and prev of the next.
        for key, value in wanted.items():
            if record[key] != value:
                self._problem(f"{key} {value}", f"{record[key]}")
                return
        if first != (record["event"] == "genesis") and follows:
            wanted_event = (
                "a genesis as a segment's first record" if first else "no genesis after a segment's first record"
            )
            self._problem(wanted_event, record["event"])

    def _end_of_segment(self, *, last: bool) -> None:
        torn, self._torn = self._torn, None
        if torn is None:
            return
        if last and torn.all_marked:
            self._unfinished = (
                f"{segments.name(self._number)}:{torn.line}: an unfinished last line of {torn.length} bytes"
            )
            return
        self._problem("a record, or torn bytes that the next record names", f"a line that {torn.fault}", torn.line)

    def _problem(self, expected: str, found: str, line: int | None = None) -> None:
        if len(self._problems) >= PROBLEMS_MAX:
            self._further += 1
            return
        number = max(self._number, segments.FIRST_SEGMENT)
        self._problems.append(Problem(segments.name(number), self._line if line is None else line, expected, found))
