"""How often passwords may be tried: a few at once, then ever more slowly, for each name and for all names together.

By name, since all who come by loopback have one address. Whoever knows a name can thus slow its owner down at this door,
not lock them out of it for long, and not at all at the Unix socket; jobs' users cannot connect here. Those who are logged in
already, and give their password again to decide, have attempts of their own: nobody at the door slows them down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

FREE_FAILURES = 5
FIRST_PAUSE_S = 15
LONGEST_PAUSE_S = 15 * 60
FORGOTTEN_AFTER_S = 3600
ALL_FAILURES = 60  # of all names together, within a minute
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
        self._recent: list[float] = []

    def wait_s(self, name: str) -> int:
        """In how many seconds this name may be tried; 0: now."""
        now_s = self._clock()
        self._recent = [at_s for at_s in self._recent if now_s - at_s < _MINUTE_S]
        waits = [0.0]
        if len(self._recent) >= ALL_FAILURES:
            waits.append(self._recent[0] + _MINUTE_S - now_s)
        failures = self._by_name.get(name)
        if failures and failures.number >= FREE_FAILURES:
            pause_s = min(FIRST_PAUSE_S * 2.0 ** min(failures.number - FREE_FAILURES, 16), LONGEST_PAUSE_S)
            waits.append(failures.last_s + pause_s - now_s)
        return max(int(-(-max(waits) // 1)), 0)

    def failed(self, name: str) -> None:
        """Note a wrong password."""
        now_s = self._clock()
        self._recent.append(now_s)
        if len(self._by_name) >= NAMES_MAX:
            self._by_name = {n: f for n, f in self._by_name.items() if now_s - f.last_s < _MINUTE_S}
        before = self._by_name.get(name)
        again = before is not None and now_s - before.last_s < FORGOTTEN_AFTER_S
        self._by_name[name] = _Failures(before.number + 1 if before and again else 1, now_s)

    def succeeded(self, name: str) -> None:
        """Note a right password, which had been noted as a failure before it was looked at."""
        self._by_name.pop(name, None)
        self._recent = self._recent[:-1]
