"""Which records are sound, where not all of a log is, and which of them anchors vouch for. Pure.

Records that follow each other, each naming the one before, are a run. A record is sound if nothing speaks against it:
the next record of its run names its hash, or an anchor does, or it is the log's last. So one line that was changed
takes itself out, and one that was cut out takes the one before it along, which nothing names any more. An anchor that
is not met speaks against its whole run, up to the next in it that is met.

A chain vouches backwards only. An attacker who breaks it may have rewritten all that stands before the break, so of a
sound record it is certain only with an anchor that it is the one that was written: of those in the anchor's run, up to
it.
"""

from __future__ import annotations

RANGES_MAX = 100


class Runs:
    """The sound ranges of a log that is read from its beginning, and the vouched ones among them."""

    def __init__(self) -> None:
        """Nothing is read yet."""
        self.sound: list[tuple[int, int]] = []
        self.vouched: list[tuple[int, int]] = []
        self.further = 0
        self._first: int | None = None
        self._met = 0
        self._denied = False

    def begin(self, seq: int) -> None:
        """This record does not follow from the one before it, or is the first."""
        self._first, self._met, self._denied = seq, 0, False

    def close(self, last: int, *, named: bool) -> None:
        """The run ends with the record `last`; `named` says whether that one itself is, or ends the log."""
        if self._first is None:
            return
        end = self._met if self._denied else last if named else max(last - 1, self._met)
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
        if len(self.sound) >= RANGES_MAX:
            self.further += 1
            return
        self.sound.append((first, last))
        if self._met:
            self.vouched.append((first, self._met))
