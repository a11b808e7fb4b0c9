"""Whose connection is closed where there are too many: one's own oldest, never another's."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gate.page.crowd import Crowd


def filled(crowd: Crowd[str], *owners: str) -> list[str | None]:
    """Each letter of `owners` is a member's owner; members are called after it: a1, a2, …"""
    numbers = dict.fromkeys(owners, 0)
    gone = []
    for owner in owners:
        numbers[owner] += 1
        gone.append(crowd.enter(f"{owner}{numbers[owner]}", owner))
    return gone


def test_one_too_many_closes_one_s_own_oldest() -> None:
    crowd = Crowd[str](2, 100)
    assert filled(crowd, *"babaa") == [None, None, None, None, "a1"]
    assert (crowd.of("a"), crowd.of("b"), len(crowd)) == (2, 2, 4)


def test_too_many_of_all_close_the_oldest_of_who_has_most() -> None:
    crowd = Crowd[str](3, 5)
    assert filled(crowd, *"abbbac") == [None, None, None, None, None, "b1"]
    assert (crowd.of("a"), crowd.of("b"), crowd.of("c")) == (2, 2, 1)


def test_one_that_becomes_known_counts_with_its_person_s() -> None:
    crowd = Crowd[str](2, 100)
    filled(crowd, *"uuaa")
    assert crowd.enter("u1", "a") == "a1"
    assert (crowd.of("u"), crowd.of("a")) == (1, 2)
    assert crowd.enter("u1", "a") is None  # the same again, as with each request of a connection


def test_who_has_left_is_forgotten() -> None:
    crowd = Crowd[str](2, 100)
    filled(crowd, *"aa")
    for member in ("a1", "a1", "a2", "never there"):
        crowd.leave(member)
    assert (len(crowd), crowd.of("a"), crowd._members) == (0, 0, {})


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 30)), max_size=200))
def test_nobody_loses_one_but_by_an_excess_of_their_own_or_of_who_has_most(steps: list[tuple[str, int]]) -> None:
    crowd = Crowd[int](4, 12)
    owners: dict[int, str] = {}
    for owner, member in steps:
        is_new = owners.get(member) != owner
        owners[member] = owner
        before = {each: list(owners.values()).count(each) for each in "abcde"}
        gone = crowd.enter(member, owner)
        if gone is not None:
            whose = owners.pop(gone)
            assert is_new
            assert whose == owner if before[owner] > 4 else before[whose] == max(before.values())
        assert {each: crowd.of(each) for each in "abcde"} == {
            each: list(owners.values()).count(each) for each in "abcde"
        }
        assert len(crowd) <= 12
