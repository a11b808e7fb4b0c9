"""Who fills which place, against all ways to seat them (threats T20: one person, one place)."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.model.seating import fill
from tests.support.effort import examples


def entry(count: int, *people: str) -> Any:
    return {"count": count, "of": ["whoever"], "people": list(people)}


@pytest.mark.parametrize(
    ("entries", "people", "filled"),
    [
        ([entry(1, "a")], [], [[]]),
        ([entry(1, "a")], ["a"], [["a"]]),
        ([entry(1, "a")], ["b"], [[]]),
        ([entry(2, "a", "b")], ["a"], [["a"]]),
        ([entry(1, "a", "b")], ["b", "a"], [["b"]]),
        ([entry(1, "a"), entry(1, "a")], ["a"], [["a"], []]),
        ([entry(1, "a", "b"), entry(1, "a")], ["a", "b"], [["b"], ["a"]]),
        ([entry(1, "a", "b"), entry(1, "a")], ["b", "a"], [["b"], ["a"]]),
        ([entry(1, "a"), entry(1, "a", "b")], ["a", "b"], [["a"], ["b"]]),
        ([entry(1, "a", "b"), entry(1, "b", "c"), entry(1, "a")], ["a", "b", "c"], [["b"], ["c"], ["a"]]),
        ([entry(2, "a", "b", "c"), entry(1, "a", "b")], ["a", "b", "c"], [["b", "c"], ["a"]]),
        ([], ["a"], []),
    ],
)
def test_everybody_is_put_where_they_help_most(entries: list[Any], people: list[str], filled: list[list[str]]) -> None:
    assert [sorted(names) for names in fill(entries, people)] == filled


def test_those_on_one_list_stand_in_their_order() -> None:
    assert fill([entry(2, "a", "b", "c"), entry(1, "a")], ["c", "a", "b"]) == [["c", "b"], ["a"]]
    assert fill([entry(2, "a", "b")], ["a", "b"]) == [["a", "b"]]


def most_seats(entries: list[Any], people: list[str]) -> int:
    """The most places that can be filled, by trying everybody on every list and on none."""
    best = 0
    for seats in itertools.product([None, *range(len(entries))], repeat=len(people)):
        taken = [(person, seat) for person, seat in zip(people, seats, strict=True) if seat is not None]
        on_lists = all(person in entries[seat]["people"] for person, seat in taken)
        in_counts = all(sum(s == n for _, s in taken) <= each["count"] for n, each in enumerate(entries))
        best = max(best, len(taken) if on_lists and in_counts else 0)
    return best


PEOPLE = "abcde"
ENTRIES = st.lists(
    st.builds(
        lambda count, people: entry(count, *people),
        st.integers(1, 3),
        st.lists(st.sampled_from(PEOPLE), unique=True, min_size=1),
    ),
    max_size=4,
)


@examples(400)
@given(entries=ENTRIES, people=st.permutations(PEOPLE), how_many=st.integers(0, 5))
def test_as_many_places_are_filled_as_can_be(entries: list[Any], people: list[str], how_many: int) -> None:
    people = people[:how_many]
    filled = fill(entries, people)

    assert len(filled) == len(entries)
    assert sum(map(len, filled)) == most_seats(entries, people)


@examples(400)
@given(entries=ENTRIES, people=st.permutations(PEOPLE))
def test_nobody_sits_twice_where_they_are_not_listed_or_beyond_the_count(entries: list[Any], people: list[str]) -> None:
    filled = fill(entries, people)

    seated = [person for names in filled for person in names]
    assert len(seated) == len(set(seated))
    for each, names in zip(entries, filled, strict=True):
        assert len(names) <= each["count"]
        assert set(names) <= set(each["people"])


@examples(200)
@given(entries=ENTRIES, people=st.permutations(PEOPLE))
def test_who_comes_later_takes_nobodys_place(entries: list[Any], people: list[str]) -> None:
    seated: set[str] = set()
    for count in range(len(people) + 1):
        now = {person for names in fill(entries, people[:count]) for person in names}
        assert seated <= now
        seated = now


def test_a_long_chain_of_moves_is_found() -> None:
    names = [f"p{n}" for n in range(60)]
    entries = [entry(1, *pair) for pair in itertools.pairwise(names)] + [entry(1, names[0])]

    assert sum(map(len, fill(entries, names))) == 60
    assert sum(map(len, fill(entries, names[:-1]))) == 59
