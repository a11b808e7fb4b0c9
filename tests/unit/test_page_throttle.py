"""Passwords may be tried a few times at once, then ever more slowly (threats T26)."""

from __future__ import annotations

import pytest

from gate.page.auth import throttle
from gate.page.auth.throttle import (
    FORGOTTEN_AFTER_S,
    FREE_FAILURES,
    LONGEST_PAUSE_S,
    STRANGERS_FAILURES,
    Attempts,
)


class Clock:
    """Seconds since some moment, as the tests set them."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tried(clock: Clock) -> Attempts:
    return Attempts(clock)


def fail(tried: Attempts, name: str, times: int) -> None:
    for _ in range(times):
        tried.failed(name)


def test_a_name_that_nobody_tried_can_be_tried_now(tried: Attempts) -> None:
    assert tried.wait_s("alice") == 0


@pytest.mark.parametrize(
    ("failures", "pause_s"),
    [(1, 0), (4, 0), (5, 15), (6, 30), (7, 60), (8, 120), (9, 240), (10, 480), (11, 900), (12, 900), (59, 900)],
)
def test_after_five_wrong_passwords_the_pauses_grow_up_to_a_quarter_of_an_hour(
    tried: Attempts, failures: int, pause_s: int
) -> None:
    fail(tried, "alice", failures)
    assert tried.wait_s("alice") == pause_s


def test_a_thousand_wrong_passwords_are_still_a_quarter_of_an_hour(tried: Attempts, clock: Clock) -> None:
    fail(tried, "alice", 1000)
    clock.now_s += 60
    assert tried.wait_s("alice") == LONGEST_PAUSE_S - 60


def test_one_person_s_pause_is_no_other_s(tried: Attempts) -> None:
    fail(tried, "alice", FREE_FAILURES)
    assert tried.wait_s("alice") > 0
    assert [tried.wait_s(name) for name in ("bob", "Alice", "")] == [0, 0, 0]


def test_a_pause_passes_and_what_is_left_of_a_second_is_one(tried: Attempts, clock: Clock) -> None:
    fail(tried, "alice", FREE_FAILURES)
    waits = []
    for _ in range(3):
        clock.now_s += 7.4
        waits.append(tried.wait_s("alice"))
    assert waits == [8, 1, 0]


def test_a_wrong_password_after_the_pause_doubles_it(tried: Attempts, clock: Clock) -> None:
    fail(tried, "alice", FREE_FAILURES)
    clock.now_s += 15
    tried.failed("alice")
    assert tried.wait_s("alice") == 30


def test_asking_costs_nothing(tried: Attempts) -> None:
    for _ in range(100):
        assert tried.wait_s("alice") == 0


def test_the_right_password_forgets_the_wrong_ones(tried: Attempts) -> None:
    fail(tried, "alice", FREE_FAILURES)
    tried.succeeded("alice")
    fail(tried, "alice", FREE_FAILURES - 1)
    assert tried.wait_s("alice") == 0


@pytest.mark.parametrize(("later_s", "pause_s"), [(FORGOTTEN_AFTER_S - 1, 30), (FORGOTTEN_AFTER_S, 0)])
def test_wrong_passwords_are_forgotten_after_an_hour(tried: Attempts, clock: Clock, later_s: int, pause_s: int) -> None:
    fail(tried, "alice", FREE_FAILURES)
    clock.now_s += later_s
    tried.failed("alice")
    assert tried.wait_s("alice") == pause_s


def test_names_without_an_account_have_one_budget_for_a_minute(tried: Attempts, clock: Clock) -> None:
    for _ in range(STRANGERS_FAILURES):
        assert tried.stranger_may()
        clock.now_s += 0.5
    assert not tried.stranger_may()
    clock.now_s += 31
    assert tried.stranger_may()


def test_however_many_names_are_tried_nobody_else_waits(tried: Attempts) -> None:
    for number in range(3 * STRANGERS_FAILURES):
        tried.stranger_may()
        tried.failed(f"name{number}")
    assert tried.wait_s("alice") == 0


def test_names_without_end_fill_no_memory(tried: Attempts, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "NAMES_MAX", 100)
    for number in range(1000):
        tried.failed(f"name{number}")
        clock.now_s += 1
    assert len(tried._by_name) <= 160


def test_a_flood_of_names_keeps_the_pause_of_the_one_that_is_tried(
    tried: Attempts, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttle, "NAMES_MAX", 100)
    fail(tried, "alice", 11)
    clock.now_s += 50
    for number in range(200):
        tried.failed(f"name{number}")
    clock.now_s += 60
    assert tried.wait_s("alice") == LONGEST_PAUSE_S - 110
