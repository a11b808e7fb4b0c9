"""How often a source of answers may have the gate look. Pure.

A look costs some 100 ms of processor time. Who answers a few times has it at once; who makes something happen all
the time (a name that comes and goes, a file that is held open) has it more and more rarely, and no one else waits for
that. At the deadline everything is looked at, whatever its pace.
"""

from __future__ import annotations

GAP_MS = 150  # between two looks, for any person
AT_ONCE = 5
FIRST_WAIT_MS = 200
LONGEST_WAIT_MS = 10_000
FORGIVEN_AFTER_MS = 60_000
LATER_MS = 1000
LATER_LONGEST_MS = 60_000
OVERDUE_MS = 10_000


class Pace:
    """Of one waiting job; times are boottime in ms."""

    def __init__(self) -> None:
        """No look has been asked for yet."""
        self._asked: dict[str, tuple[int, int]] = {}
        self._later: dict[str, tuple[int, int]] = {}

    def may_at_ms(self, source: str) -> int:
        """From when on that source may have a look."""
        count, last_ms = self._asked.get(source, (0, 0))
        return last_ms + (0 if count < AT_ONCE else _doubled(FIRST_WAIT_MS, count - AT_ONCE, LONGEST_WAIT_MS))

    def had(self, source: str, now_ms: int) -> None:
        """It has had a look for its own sake."""
        count, last_ms = self._asked.get(source, (0, 0))
        self._asked[source] = (1 if now_ms - last_ms > FORGIVEN_AFTER_MS else count + 1, now_ms)

    def not_ready(self, sources: list[str], now_ms: int) -> None:
        """What a look found to be not ready: in these sources, and in no others."""
        self._later = {
            source: (self._later.get(source, (now_ms, 0))[0], self._later.get(source, (0, 0))[1] + 1)
            for source in sources
        }

    def later(self) -> list[str]:
        """The sources with something that is not ready."""
        return list(self._later)

    def again_at_ms(self, looked_ms: int) -> int:
        """When to look again at what was not ready, by the time of the last look; 0 for never."""
        waits_ms = [_doubled(LATER_MS, count - 1, LATER_LONGEST_MS) for _since_ms, count in self._later.values()]
        return looked_ms + min(waits_ms) if waits_ms else 0

    def overdue(self, now_ms: int) -> list[str]:
        """The sources where something has not been ready for too long."""
        return [source for source, (since_ms, _count) in self._later.items() if now_ms - since_ms > OVERDUE_MS]


def _doubled(first_ms: int, times: int, longest_ms: int) -> int:
    return min(first_ms << min(times, 30), longest_ms)
