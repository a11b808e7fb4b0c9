"""The order in which the tests run: nothing is left out, and each worker begins with its share of what takes long."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.spread import SLOW, how_long, spread

if TYPE_CHECKING:
    from collections.abc import Iterator


def parts(order: list[str], workers: int) -> Iterator[list[str]]:
    """As pytest-xdist deals them out at first (xdist/scheduler/worksteal.py)."""
    for worker in range(workers):
        length = len(order) // (workers - worker)
        yield order[:length]
        order = order[length:]


@pytest.mark.parametrize("workers", [1, 2, 3, 4, 7])
@pytest.mark.parametrize(("slow", "quick"), [(0, 0), (0, 9), (3, 40), (10, 90), (33, 301)])
def test_each_worker_begins_with_its_share_of_what_takes_long(slow: int, quick: int, workers: int) -> None:
    long, short = [f"long {number}" for number in range(slow)], [f"short {number}" for number in range(quick)]
    order = spread(long, short, workers)
    assert sorted(order) == sorted(long + short)
    for worker, part in enumerate(parts(order, workers)):
        assert [each for each in part if each in long] == part[: len(long[worker::workers])] == long[worker::workers]


@pytest.mark.parametrize(("slow", "quick"), [(1, 0), (5, 1), (40, 3)])
def test_nothing_is_left_out_where_most_take_long(slow: int, quick: int) -> None:
    items = [f"{number}" for number in range(slow + quick)]
    assert sorted(spread(items[:slow], items[slow:], 4)) == sorted(items)


def test_what_takes_long_is_known_by_its_directory() -> None:
    assert how_long("tests/stages/test_readme.py::test_one") == 0
    assert how_long("tests/faults/test_disk.py::test_one[a/b]") == 1
    assert how_long("tests/stages/test_init.py") == len(SLOW) - 1
    assert how_long("tests/unit/test_rules.py::test_one[tests/faults/]") == len(SLOW)
