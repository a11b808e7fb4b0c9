"""What verifying the audit log found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from audit.anchors import Anchor
    from audit.chain import Head

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
        records: lines read that are records.
        first: the first of them: 1, unless what was before it has been let go.
        kept_from: the record that the log need not go back behind, by what it says itself; None where all was kept.
        unknown: anchors of what has been let go: this log cannot show whether it went through them.
        log_id: the log's own random name, by its first record.
        head: the last record's number and hash.
        problems: the first PROBLEMS_MAX of them.
        further: how many problems there are beyond these.
        sound: the first and the last seq of each range of sound records (audit/runs.py), the first RANGES_MAX of them.
        further_sound: how many ranges there are beyond these.
        vouched: of these ranges, what anchors vouch for.
        met: the anchors that the log goes through, in its order.
        mended: torn places that the next record names, as it should (repaired).
        unfinished: where the log ends in a line that is being written, or was torn and is repaired by the next append.
    """

    records: int
    first: int
    kept_from: int | None
    unknown: tuple[Anchor, ...]
    log_id: str | None
    head: Head | None
    problems: tuple[Problem, ...]
    further: int
    sound: tuple[tuple[int, int], ...]
    further_sound: int
    vouched: tuple[tuple[int, int], ...]
    met: tuple[Anchor, ...]
    mended: int
    unfinished: str | None

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong; an unfinished end is not."""
        return not self.problems
