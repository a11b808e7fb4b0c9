"""Is the audit log what was written? The rules of docs/reference/audit-log.md, held against every byte of it.

Reads as a stream and takes no lock: the lock is for the gate's own user, the log also for those who may only read it.
So a line that a writer is in the middle of may be met: an unfinished end is reported, and is no fault.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, BinaryIO

from audit import chain, segments
from audit.anchors import Anchor
from audit.chain import Head
from audit.errors import AuditError
from audit.log_start import Start
from audit.record import FIRST_SEQ, UnsoundError, decode
from audit.report import PROBLEMS_MAX, Problem, Report
from audit.runs import Runs
from audit.torn_lines import Torn

if TYPE_CHECKING:
    from collections.abc import Iterable

    from audit.record import Record

__all__ = ["PROBLEMS_MAX", "Problem", "Report", "verify"]


def verify(directory: str, anchors: Iterable[tuple[int, str] | Anchor] = ()) -> Report:
    """Check the whole log in `directory`, and that it goes through every anchor.

    Args:
        directory: where the log lies.
        anchors: heads kept elsewhere, as Anchor, or only (seq, SHA-256 in hex).

    Raises:
        AuditError: the log cannot be read.
    """
    kept = [Anchor(*anchor) for anchor in anchors]
    reading, number = _Reading(kept), segments.FIRST_SEGMENT
    try:
        numbers = segments.numbers(directory)
        for number in numbers:
            with segments.open_to_read(directory, number) as source:
                reading.segment(number, source, last=number == numbers[-1])
    except OSError as error:
        if isinstance(error, FileNotFoundError) and segments.is_let_go(directory, number):
            return verify(directory, kept)  # begin again: whether it may have gone, a genesis says by now
        where = error.filename or directory
        raise AuditError(f"cannot read the audit log {where}: {error.strerror or error}") from error
    return reading.report(directory)


class _Reading:
    """How far the log has been read, and what was found."""

    def __init__(self, anchors: Iterable[Anchor]) -> None:
        self._anchors: dict[int, list[Anchor]] = {}
        for anchor in anchors:
            self._anchors.setdefault(anchor.seq, []).append(anchor)
        self._records = self._mended = self._further = 0
        self._seq, self._sha256, self._log_id = FIRST_SEQ - 1, chain.FIRST_PREV, ""
        self._named = ""  # the log_id of the last record, which may be another log's
        self._problems: list[Problem] = []
        self._runs = Runs()
        self._met: list[Anchor] = []
        self._unfinished: str | None = None
        self._number, self._line = segments.FIRST_SEGMENT - 1, 0
        self._torn: Torn | None = None
        self._start = Start()

    def segment(self, number: int, source: BinaryIO, *, last: bool) -> None:
        self._line = 0
        if not self._number:
            self._number = self._start.segment = number
        elif number != self._number + 1:
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
            if not self._records:
                self._begin(record)
            if first or self._torn or "torn" in record or record["event"] == "genesis" or not self._follows(record):
                self._look_closely(record, first=first)
            self._take(record, hashlib.sha256(piece).hexdigest())
            first = False
        self._end_of_segment(last=last)

    def report(self, directory: str) -> Report:
        self._line = 0
        if not self._records:
            self._problem("an audit log", f"no record in {directory}: nothing was logged yet, or it was taken away")
        elif not self._start.is_right:
            self._number = self._start.stated_segment
            self._problem("this segment, or a genesis that says it need not be kept", self._start.found)
        unknown = [
            anchor for _, anchors in sorted(self._anchors.items()) for anchor in anchors if self._is_unknown(anchor)
        ]
        for seq, anchors in sorted(self._anchors.items()):
            found = "none: it was taken out" if seq < self._seq else f"an end at record {self._seq}: the log was cut"
            for anchor in anchors:
                if anchor not in unknown:
                    self._problem(f"a record {seq}, which {anchor.source} names", found)
        self._runs.close(self._seq, named=True)
        return Report(
            records=self._records,
            first=self._start.seq,
            kept_from=self._start.stated,
            unknown=tuple(unknown),
            log_id=self._log_id or None,
            head=Head(self._seq, self._sha256) if self._records else None,
            problems=tuple(self._problems),
            further=self._further,
            sound=tuple(self._runs.sound),
            further_sound=self._runs.further,
            vouched=tuple(self._runs.vouched),
            met=tuple(self._met),
            mended=self._mended,
            unfinished=self._unfinished,
        )

    def _begin(self, record: Record) -> None:
        """Take the first record there is; what was before its segment may have been let go."""
        if self._number == self._start.segment > segments.FIRST_SEGMENT:
            self._start.seq, self._log_id = record["seq"], record["log_id"]
            self._seq, self._sha256, self._named = record["seq"] - 1, record["prev"], record["log_id"]
            for anchor in self._anchors.pop(self._seq, ()):  # the one record before it whose hash it still holds
                self._hold_against(anchor)

    def _is_unknown(self, anchor: Anchor) -> bool:
        """Whether a log that was let go up to its first record cannot say anything of an anchor."""
        if not self._start.is_right or not FIRST_SEQ <= anchor.seq < self._start.seq:
            return False
        return not anchor.log_id or anchor.log_id == self._log_id

    def _tear(self, offset: int, piece: bytes, fault: str) -> None:
        if self._torn is None:
            self._torn = Torn(self._line, offset, fault)
        self._torn.add(piece)

    def _follows(self, record: Record) -> bool:
        return bool(
            record["prev"] == self._sha256 and record["seq"] == self._seq + 1 and record["log_id"] == self._named
        )

    def _look_closely(self, record: Record, *, first: bool) -> None:
        """At a record that is not simply one more in its segment."""
        if record["event"] == "genesis":
            self._start.take(self._number, record)
        self._log_id = self._log_id or record["log_id"]
        torn, self._torn = self._torn, None
        unnamed = torn is not None and record.get("torn") != torn.named
        if torn and unnamed:
            self._problem("a record, or torn bytes that the next record names", f"a line that {torn.fault}", torn.line)
        elif torn:
            self._mended += 1
        elif "torn" in record:
            self._problem("torn bytes before this record, as it says", "none")
        if not self._follows(record) or not self._records:
            self._runs.close(self._seq, named=False)
            self._runs.begin(record["seq"])
            if record["log_id"] != self._log_id:
                self._runs.deny()
        self._link(record, first=first, spoilt_before=unnamed)

    def _link(self, record: Record, *, first: bool, spoilt_before: bool) -> None:
        """Compare a record with the one before it, which it cannot match where lines between them are spoilt."""
        # Another log's records are reported where they begin, then by what is wrong among themselves.
        alien = record["log_id"] == self._named != self._log_id
        wanted: Record = {} if alien else {"log_id": self._log_id}
        if not spoilt_before:
            wanted |= {"seq": self._seq + 1, "prev": self._sha256}
        # The first difference is enough: a line that was taken out changes both seq and prev of the next.
        for key, value in wanted.items():
            if record[key] != value:
                self._problem(f"{key} {value}", f"{record[key]}")
                return
        if first != (record["event"] == "genesis") and not spoilt_before:
            wanted_event = (
                "a genesis as a segment's first record" if first else "no genesis after a segment's first record"
            )
            self._problem(wanted_event, record["event"])

    def _take(self, record: Record, sha256: str) -> None:
        self._records += 1
        self._seq, self._sha256, self._named = record["seq"], sha256, record["log_id"]
        for anchor in self._anchors.pop(self._seq, ()):
            self._hold_against(anchor)

    def _hold_against(self, anchor: Anchor) -> None:
        if anchor.log_id and anchor.log_id != self._named:
            self._problem(f"a record of log {anchor.log_id}, which {anchor.source} names", f"log {self._named}")
        elif anchor.sha256.lower() != self._sha256:
            named = f"the record {anchor.seq} of sha256 {anchor.sha256}, which {anchor.source} names"
            self._problem(named, self._sha256)
        else:
            self._met.append(anchor)
            self._runs.meet(self._seq)
            return
        self._runs.deny()

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
