"""Where a log begins, and whether it may: at segment 1, or where a genesis says that it need not go back further."""

from __future__ import annotations

from audit import retention, segments
from audit.record import FIRST_SEQ

TYPE_CHECKING = False
if TYPE_CHECKING:
    from audit.record import Record


class Start:
    """`segment` and `seq` are what the log begins with.

    `stated_segment` and `stated` are what it need not go back behind.
    """

    def __init__(self) -> None:
        """Nothing is read yet."""
        self.segment, self.seq = segments.FIRST_SEGMENT, FIRST_SEQ
        self.stated: int | None = None  # no genesis says so
        self.stated_segment = segments.FIRST_SEGMENT
        self._fault = ""
        self._begins: dict[int, int] = {}

    def take(self, number: int, genesis: Record) -> None:
        """Take what the genesis of a segment says."""
        self._begins[number] = genesis["seq"]
        said = retention.of(genesis)
        if said is None:
            return
        segment, seq = said
        if segment >= number or self._begins.get(segment, seq) != seq:
            self._fault = (
                self._fault or f"{segments.name(number)} says that {segments.name(segment)} begins with seq {seq}"
            )
        elif segment >= self.stated_segment:
            self.stated_segment, self.stated = segment, seq

    @property
    def is_right(self) -> bool:
        """Whether nothing is missing that no genesis said was to go."""
        return not self._fault and self.segment <= self.stated_segment

    @property
    def found(self) -> str:
        """What is wrong, where it is not."""
        return self._fault or f"only {segments.name(self.segment)} after it"
