"""Letting go of the log's oldest segments, so that it does not look like tampering, nor tampering like it (ADR 16).

Only a rotation decides it. The new segment's genesis has `kept_from`, the segment and seq that the log need not go back
behind any more; it is on disk before the first file goes, and part of the chain that anchors vouch for. A log that
begins later than all its geneses say was cut.
"""

from __future__ import annotations

import itertools
import os
import time

from audit import segments
from audit.lock import Locked
from audit.reading import newest, unusable
from audit.record import UnsoundError, decode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from audit.record import Record


class Limits:
    """What may go.

    Attributes:
        keep_s: records younger than that are kept.
        now_s: wall time.
        needed: tells the first segment that something outside the log still points into.
    """

    def __init__(self, keep_s: float, now_s: float, needed: Callable[[], int]) -> None:
        """Keep all three."""
        self.keep_s, self.now_s, self.needed = keep_s, now_s, needed


def kept_from(directory: str, limits: Limits) -> dict[str, int] | None:
    """What the next genesis is to say, None where nothing goes.

    A segment goes if the genesis of the next one is old enough, since all its records are older. So two always stay.

    The caller holds the lock, and has found a last record.

    Raises:
        AuditError, OSError: the log cannot be read.
    """
    numbers = segments.numbers(directory)
    first = _genesis(directory, numbers[0])
    if first is None:
        return None
    best, needed, before = None, limits.needed(), _before(directory, limits)
    for number, following in itertools.pairwise(numbers):
        found = _genesis(directory, following)
        # One that is stamped before the one before it was written by a wrong clock.
        if (
            following != number + 1
            or following > needed
            or found is None
            or not first["time"] <= found["time"] < before
        ):
            break
        best, first = {"segment": following, "seq": found["seq"]}, found
    return best


def let_go(directory: str) -> None:
    """Remove the segments that the last genesis says need not be kept; under `chattr +a` they stay.

    Raises:
        AuditError: the log cannot be used.
    """
    try:
        numbers = segments.numbers(directory)
        stated = of(_genesis(directory, numbers[-1])) if numbers else None
        if stated is None or numbers[0] >= stated[0]:
            return
        with Locked(directory) as folder:
            # From the oldest on: what is left never has a gap.
            for number in [each for each in segments.numbers(folder) if each < stated[0]]:
                os.unlink(segments.name(number), dir_fd=folder)
            os.fsync(folder)
    except PermissionError:
        return
    except OSError as error:
        raise unusable(directory, error) from error


def of(genesis: Record | None) -> tuple[int, int] | None:
    """The segment and seq that a genesis says the log is kept from.

    None where it says nothing, or nothing that can be.
    """
    said = (genesis or {}).get("kept_from")
    if not isinstance(said, dict) or said.keys() != {"segment", "seq"}:
        return None
    segment, seq = said["segment"], said["seq"]
    return (segment, seq) if type(segment) is int and type(seq) is int and min(segment, seq) > 1 else None


def _before(directory: str, limits: Limits) -> str:
    """What `time` is old: by the clock, and by the last record, in case the clock has just jumped ahead."""
    import calendar  # it takes datetime and locale with it

    ((_place, _head, last),) = newest(directory, 1)
    last_s = calendar.timegm(time.strptime(last["time"][:19], "%Y-%m-%dT%H:%M:%S"))
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(min(last_s, limits.now_s) - limits.keep_s))


def _genesis(directory: str, number: int) -> Record | None:
    """A segment's first sound record, if it is a genesis."""
    with segments.open_to_read(directory, number) as source:
        for _offset, piece, begins in segments.pieces(source):
            try:
                record = decode(piece if begins else b"")
            except UnsoundError:
                continue
            return record if record["event"] == "genesis" else None
    return None
