"""How often passwords may be tried: a few at once, then ever more slowly, for each name.

By name, since all who come by loopback have one address. Anyone who knows a name can thus slow its owner down at this
door, not lock them out of it for long, and not at all at the Unix socket; jobs' users cannot connect here. Those who
are logged in already, and give their password again to decide, have attempts of their own.

Names without an account are without end, and each try of one costs a hash. So there is one budget for all of them
together, which no account has a part in: however many wrong names somebody sends, no one with an account waits for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

FREE_FAILURES = 5
FIRST_PAUSE_S = 15
LONGEST_PAUSE_S = 15 * 60
FORGOTTEN_AFTER_S = 3600
STRANGERS_FAILURES = 60  # of all names without an account together, within a minute
NAMES_MAX = 10_000
_MINUTE_S = 60


@dataclass
class _Failures:
    number: int
    last_s: float


class Attempts:
    """The failures so far; times are in seconds of `clock`."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` counts seconds and cannot be set back."""
        self._clock = clock
        self._by_name: dict[str, _Failures] = {}
        self._strangers: list[float] = []

    def wait_s(self, name: str) -> int:
        """In how many seconds this name may be tried; 0: now."""
        failures = self._by_name.get(name)
        if failures is None or failures.number < FREE_FAILURES:
            return 0
        pause_s = min(FIRST_PAUSE_S * 2.0 ** min(failures.number - FREE_FAILURES, 16), LONGEST_PAUSE_S)
        return max(math.ceil(failures.last_s + pause_s - self._clock()), 0)

    def stranger_may(self) -> bool:
        """Whether one more name without an account is looked at; one that is counts from now on."""
        now_s = self._clock()
        self._strangers = [at_s for at_s in self._strangers if now_s - at_s < _MINUTE_S]
        if len(self._strangers) >= STRANGERS_FAILURES:
            return False
        self._strangers.append(now_s)
        return True

    def failed(self, name: str) -> None:
        """Note a wrong password."""
        now_s = self._clock()
        if len(self._by_name) >= NAMES_MAX:
            self._by_name = {n: f for n, f in self._by_name.items() if now_s - f.last_s < _MINUTE_S}
        before = self._by_name.get(name)
        again = before is not None and now_s - before.last_s < FORGOTTEN_AFTER_S
        self._by_name[name] = _Failures(before.number + 1 if before and again else 1, now_s)

    def succeeded(self, name: str) -> None:
        """Note a right password, which had been noted as a failure before it was looked at."""
        self._by_name.pop(name, None)
