"""Which records are sound, where not all of a log is. Pure.

A record is sound if its own bytes are vouched for: the next record names their hash, or an anchor does, or it is the log's
last, and no anchor that holds says otherwise. So one line that was changed takes itself out, and one that was cut out
takes the one before it along, which nothing names any more. Records that follow each other, each naming the one before,
are a run. An anchor that is met vouches for all of its run up to there; one that is not met, for as long as none further
on in the run is, takes away what is not vouched for otherwise.
"""

from __future__ import annotations

RANGES_MAX = 100


class Runs:
    """The sound ranges of a log that is read from its beginning."""

    def __init__(self) -> None:
        """Nothing is read yet."""
        self.ranges: list[tuple[int, int]] = []
        self.further = 0
        self._first: int | None = None
        self._met: int | None = None
        self._denied = False

    def begin(self, seq: int) -> None:
        """This record does not follow from the one before it, or is the first."""
        self._first, self._met, self._denied = seq, None, False

    def close(self, last: int, *, named: bool) -> None:
        """The run ends with the record `last`; `named` says whether anything vouches for that one itself."""
        if self._first is None:
            return
        vouched = self._met or 0
        end = vouched if self._denied else last if named else max(last - 1, vouched)
        if end >= self._first:
            self._add(self._first, end)
        self._first = None

    def meet(self, seq: int) -> None:
        """An anchor has the very hash of this record, the last of the run so far."""
        self._met, self._denied = seq, False

    def deny(self) -> None:
        """An anchor has another hash for the last record of the run so far."""
        self._denied = True

    def _add(self, first: int, last: int) -> None:
        if len(self.ranges) < RANGES_MAX:
            self.ranges.append((first, last))
        else:
            self.further += 1
