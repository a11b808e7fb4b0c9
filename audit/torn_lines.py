"""Lines that are no records, which the next record has to name (docs/reference/audit-log.md, "Torn lines")."""

from __future__ import annotations

import hashlib

from audit import chain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Torn:
    """Such lines, one after the other; `line` and `offset` are those of the first, `fault` is what is wrong with it."""

    def __init__(self, line: int, offset: int, fault: str) -> None:
        """Begin with none of their bytes."""
        self.line, self.offset, self.fault = line, offset, fault
        self.length = 0
        self.all_marked = True
        self._digest = hashlib.sha256()
        self._held_back = b""
        self._last = b""

    def add(self, piece: bytes) -> None:
        """Take in the next bytes: a line, or a piece of one that is too long to be a record."""
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
        """The `torn` that the next record must have."""
        length = self.length - len(self._held_back)
        return {"offset": self.offset, "length": length, "sha256": self._digest.hexdigest()}
