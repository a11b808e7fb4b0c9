"""How often one person may answer one request on the page: a few times at once, and then after a pause.

The job that waits looks at all votes of the page together, ever more rarely where they do not end, and forgets that
after a quiet minute (executor/pace.py). So that no one's votes make others' late, a person's do not go on.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

AT_ONCE = 5
PAUSE_S = 61
KNOWN_MAX = 10_000


class Answers:
    """When who answered what last, and how many times in a row; times are in seconds of `clock`."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` counts seconds and cannot be set back."""
        self._clock = clock
        self._last: dict[tuple[str, str], tuple[int, float]] = {}

    def wait_s(self, person: str, key: str) -> int:
        """In how many seconds that person may answer that request; 0: now."""
        number, last_s = self._last.get((person, key), (0, 0.0))
        return max(math.ceil(last_s + PAUSE_S - self._clock()), 0) if number >= AT_ONCE else 0

    def note(self, person: str, key: str) -> None:
        """They have answered it."""
        now_s = self._clock()
        if len(self._last) >= KNOWN_MAX:
            self._last = {whose: last for whose, last in self._last.items() if now_s - last[1] < PAUSE_S}
        number, last_s = self._last.get((person, key), (0, 0.0))
        self._last[person, key] = (number + 1 if now_s - last_s < PAUSE_S else 1, now_s)
