"""Whoever makes something happen all the time has the gate look more and more rarely; nobody else waits for that."""

from __future__ import annotations

from executor.pace import AT_ONCE, FORGIVEN_AFTER_MS, LATER_LONGEST_MS, LATER_MS, LONGEST_WAIT_MS, OVERDUE_MS, Pace


def looks_in(pace: Pace, source: str, duration_ms: int) -> int:
    """How many looks a source has that wants one every millisecond."""
    count, now_ms = 0, 1_000_000
    end_ms = now_ms + duration_ms
    while now_ms < end_ms:
        now_ms = max(now_ms, pace.may_at_ms(source))
        pace.had(source, now_ms)
        count, now_ms = count + 1, now_ms + 1
    return count


def test_a_flood_gets_few_looks() -> None:
    assert looks_in(Pace(), "eve", 600_000) < 80


def test_the_first_few_are_at_once_and_others_are_not_slowed() -> None:
    pace = Pace()
    for n in range(AT_ONCE):
        assert pace.may_at_ms("eve") <= 1000 + n
        pace.had("eve", 1000 + n)
    assert pace.may_at_ms("eve") > 1000 + AT_ONCE
    assert pace.may_at_ms("alice") == 0


def test_no_wait_is_longer_than_the_longest_and_quiet_is_rewarded() -> None:
    pace = Pace()
    for n in range(100):
        pace.had("eve", n)
    assert pace.may_at_ms("eve") == 99 + LONGEST_WAIT_MS
    pace.had("eve", 99 + FORGIVEN_AFTER_MS + 1)
    assert pace.may_at_ms("eve") == 99 + FORGIVEN_AFTER_MS + 1


def test_what_is_not_ready_is_looked_at_more_and_more_rarely() -> None:
    pace, waits = Pace(), []
    for _ in range(10):
        pace.not_ready(["eve"], 0)
        waits.append(pace.again_at_ms(0))
    assert waits == [min(LATER_MS * 2**n, LATER_LONGEST_MS) for n in range(10)]
    pace.not_ready([], 0)
    assert (pace.later(), pace.again_at_ms(5)) == ([], 0)


def test_what_is_not_ready_for_long_is_overdue() -> None:
    pace = Pace()
    pace.not_ready(["eve"], 1000)
    pace.not_ready(["eve", "bob"], 5000)
    assert pace.overdue(1000 + OVERDUE_MS) == []
    assert pace.overdue(1001 + OVERDUE_MS) == ["eve"]
    pace.not_ready(["bob"], 6000)
    assert pace.overdue(1001 + OVERDUE_MS) == []
