"""What a job runs beside what was approved last: nothing that differs is left out, and nothing else is in the way."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.page.changes import ADDED, LEFT_OUT, LINES_MAX, REMOVED, SAME, differing, lines_of


def content_of(*script: str, **parts: Any) -> Any:
    step = {"name": "script", "script": list(script), "timeout": 600}
    return {"steps": [step], "hooks": [], "image": {}, "services": [], "run": "", **parts}


def diff(before: Any, now: Any) -> str:
    return "\n".join(f"{line.sign}{line.text}" for part in differing(before, now) for line in part.lines)


def test_what_is_as_before_has_no_parts() -> None:
    assert differing(content_of("one", "two"), content_of("one", "two")) == []


def test_a_changed_line_has_a_few_lines_around_it() -> None:
    before, now = [[*map(str, range(10)), each, *map(str, range(10))] for each in ("old", "new")]
    assert diff(content_of(*before), content_of(*now)).split("\n") == [
        "…8 more as before", " 8", " 9", "-old", "+new", " 0", " 1", "…9 more as before"
    ]  # fmt: skip


OTHERS: dict[str, tuple[Any, Any, str]] = {
    "a step's timeout": ({}, {"steps": [{"name": "script", "script": ["x"], "timeout": 1}]}, "+timeout: 1"),
    "when it runs": ({}, {"steps": [{"name": "script", "script": ["x"], "timeout": 600, "when": "always"}]}, "+when: always"),
    "a new hook": ({}, {"hooks": [{"name": "pre", "script": ["evil"]}]}, "+evil"),
    "a hook that is gone": ({"hooks": [{"name": "pre", "script": ["check"]}]}, {}, "-check"),
    "an image": ({"image": {"name": "a:1"}}, {"image": {"name": "a:2"}}, "+name: a:2"),
    "the second of two services": ({"services": [{"name": "a"}, {"name": "b"}]}, {"services": [{"name": "a"}, {"name": "c"}]}, "+name: c"),
    "steps of run": ({"run": "a\nb"}, {"run": "a\nc"}, "+c"),
    "a script that is text": ({}, {"steps": [{"name": "script", "script": "y", "timeout": 600}]}, "+y"),
    "two lines that were two commands": ({"steps": [{"name": "script", "script": ["x", "y"], "timeout": 600}]},
                                         {"steps": [{"name": "script", "script": ["x\ny"], "timeout": 600}]}, "+y"),
}  # fmt: skip


@pytest.mark.parametrize("case", OTHERS)
def test_whatever_part_differs_is_shown(case: str) -> None:
    before, now, line = OTHERS[case]
    assert line in diff(content_of("x", **before), content_of("x", **now)).split("\n")


COMMANDS = st.lists(st.text("ab\n", max_size=4), max_size=12)


@given(COMMANDS, COMMANDS)
def test_both_scripts_can_be_made_again_of_what_differs_and_what_is_left_out(before: list[str], now: list[str]) -> None:
    parts = differing(content_of(*before), content_of(*now))
    assert (parts == []) == (before == now)
    for wanted, signs in ((before, (SAME, REMOVED)), (now, (SAME, ADDED))):
        shown = [(line.begins, line.text) for part in parts for line in part.lines if line.sign in signs]
        texts = [(n == 0, text) for each in wanted for n, text in enumerate(each.split("\n"))] + [
            (True, "timeout: 600")
        ]
        left_out = sum(int(line.text.split()[0]) for part in parts for line in part.lines if line.sign == LEFT_OUT)
        rest = iter(texts)
        assert not parts or len(texts) - len(shown) == left_out
        assert all(line in rest for line in shown)  # in their order


def test_more_than_people_read_as_a_diff_is_not_compared() -> None:
    many = [f"line {n}" for n in range(LINES_MAX + 1)]
    (part,) = differing(content_of("x"), content_of(*many))
    assert (part.title, part.lines) == ("script", [])
    (part,) = differing(content_of("x"), content_of("y" * 30_000))
    assert part.lines == []


def test_lines_of_scripts_are_counted() -> None:
    assert lines_of(content_of("a\nb", "c", hooks=[{"name": "pre", "script": ["d"]}], run="e")) == 5
    assert lines_of(content_of(steps=[])) == 0
