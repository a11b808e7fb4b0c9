"""Going on in a new segment, where the log's last one has grown large: nothing is renamed, nothing rewritten.

Under the lock: the last record is certainly on disk; the new file is made, and its name durable; its genesis, which
names the old head, is written and fsynced; then the old file becomes read-only. A crash in between leaves at worst a
new segment that is empty or torn, and the next append puts the genesis there.
"""

from __future__ import annotations

from audit import segments
from audit.lock import Locked
from audit.log import extend, sure_end
from audit.reading import position, unusable
from audit.retention import kept_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    from audit.chain import Head
    from audit.retention import Limits


def rotate(directory: str, at_bytes: int, *, version: str, limits: Limits | None = None) -> Head | None:
    """Begin a new segment, if the last one has `at_bytes` or more; returns the log's head then, None where it has less.

    A segment that ends torn is left alone: the next append repairs it, and the next rotation finds it whole.

    Args:
        directory: where the log lies.
        at_bytes: the size that is enough.
        version: of the program that writes.
        limits: what the new segment may say need not be kept any more; all is kept without.

    Raises:
        AuditError: the log cannot be used, or it is not certain that the new segment is on disk.
    """
    if position(directory)[1] < at_bytes:
        return None
    try:
        with Locked(directory) as folder:
            number = max(segments.numbers(folder))
            # The next segment will name the last record for ever, so it must not be one that only the page cache has.
            last, end, torn_bytes = sure_end(directory, folder, number)
            if last is None or torn_bytes or end < at_bytes:
                return None
            said = kept_from(directory, limits) if limits else None
            genesis = {"kept_from": said} if said else {}
            head = extend(directory, folder, [], version, number=number + 1, genesis=genesis)
            for old in segments.numbers(folder)[:-1]:  # also one that a crash kept from it
                segments.make_read_only(folder, old)
            return head
    except OSError as error:
        raise unusable(directory, error) from error
