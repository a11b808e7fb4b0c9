"""The order of the tests: each worker begins with its share of the slow ones, so that none has them left at the end.

pytest-xdist (--dist=worksteal) gives each worker one part of the list, all of one length, and takes from the end of the
longest for who has nothing left. In pytest's own order one part has all the slow tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

Item = TypeVar("Item")
# Where tests take longest, longest first; tests/unit has most of the tests, and takes a tenth of the time.
SLOW = ("tests/stages/test_readme.py", "tests/faults/", "tests/runner/", "tests/browser/", "tests/stages/")


def how_long(test_id: str) -> int:
    """Where its file or directory comes among those of SLOW; as many as there are for all others."""
    return next((rank for rank, directory in enumerate(SLOW) if test_id.startswith(directory)), len(SLOW))


def spread(slow: Sequence[Item], quick: Sequence[Item], workers: int) -> list[Item]:
    """All items, in as many parts as there are workers: in each first its share of the slow ones, then quick ones."""
    order: list[Item] = []
    left, used = len(slow) + len(quick), 0
    for worker in range(workers):
        length, share = left // (workers - worker), slow[worker::workers]
        filled = used + max(0, length - len(share))
        order += [*share, *quick[used:filled]]
        left, used = left - length, min(filled, len(quick))
    return order + list(quick[used:])
