"""Login links: good once, for one uid, and not for long."""

from __future__ import annotations

import pytest

from gate.page.links import EACH_MAX, WITHIN_S, Links

ALICE, BOB = 1001, 1002


class Clock:
    """Seconds since some moment, as the tests set them."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_link_is_good_once_and_looking_does_not_use_it_up() -> None:
    links = Links(Clock())
    token = links.make(ALICE)
    assert [links.is_good(token, ALICE) for _ in range(3)] == [True] * 3
    assert [links.take(token, ALICE) for _ in range(2)] == [True, False]
    assert not links.is_good(token, ALICE)


def test_another_s_link_is_no_good_and_is_not_used_up_by_trying() -> None:
    links = Links(Clock())
    token = links.make(ALICE)
    assert not links.take(token, BOB)
    assert links.take(token, ALICE)


@pytest.mark.parametrize(
    ("after_s", "good"), [(0, True), (WITHIN_S - 1, True), (WITHIN_S, False), (10 * WITHIN_S, False)]
)
def test_a_link_is_good_for_a_few_minutes(after_s: int, good: bool) -> None:
    clock = Clock()
    links = Links(clock)
    token = links.make(ALICE)
    clock.now_s += after_s
    assert links.take(token, ALICE) is good


def test_of_many_links_the_newest_are_good_and_nobody_else_s_goes() -> None:
    links = Links(Clock())
    bobs = links.make(BOB)
    alices = [links.make(ALICE) for _ in range(EACH_MAX + 3)]
    assert [links.is_good(token, ALICE) for token in alices] == [False] * 3 + [True] * EACH_MAX
    assert links.is_good(bobs, BOB)


@pytest.mark.parametrize("token", ["", "x", "x" * 100_000, "é", "\ud800", "\0"])
def test_what_was_never_handed_out_is_no_good(token: str) -> None:
    links = Links(Clock())
    links.make(ALICE)
    assert not links.take(token, ALICE)


def test_what_is_in_memory_logs_nobody_in() -> None:
    links = Links(Clock())
    token = links.make(ALICE)
    assert token not in repr(vars(links))
    assert len({links.make(n) for n in range(50)}) == 50
