"""How much the thousandfold tests do, by one setting: GATE_TEST_EFFORT.

1 is the default, for `make test`. 10 is all of what a test enumerates and each number of examples as its file has it:
`make soak` uses more. What is left out between them is more of the same: no test is skipped.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeVar

import hypothesis

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

WHOLE = 10.0
EXAMPLES = 100  # Hypothesis' own default
LEAST_EXAMPLES = 25
Item = TypeVar("Item")


def _effort() -> float:
    """The setting; raises ValueError with the variable's name for what is no positive number."""
    text = os.environ.get("GATE_TEST_EFFORT", "") or "1"
    try:
        effort = float(text)
    except ValueError:
        effort = 0.0
    if not 0 < effort < float("inf"):
        raise ValueError(f"GATE_TEST_EFFORT must be a positive number, not {text!r}")
    return effort


EFFORT = _effort()


def rounds(whole: int, least: int) -> int:
    """How often to do what is done `whole` times at full effort, and `least` times at any."""
    return max(min(least, whole), int(whole * EFFORT / WHOLE))


def examples(whole: int = EXAMPLES, **others: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Hypothesis' settings for `whole` examples at full effort; `others` as for hypothesis.settings."""
    return hypothesis.settings(max_examples=rounds(whole, LEAST_EXAMPLES), **others)


def turn_of(items: Sequence[Item], turn: int, turns: int = 3) -> Sequence[Item]:
    """All of `items` at full effort, otherwise those of one turn: `turns` of them, from 0, have each item once."""
    return items if EFFORT >= WHOLE else items[turn % turns :: turns]


def some_of(items: Sequence[Item], least: int = 100) -> Sequence[Item]:
    """All of `items` at full effort, else evenly spread ones, the first and the last among them."""
    count = min(rounds(len(items), least), len(items))
    if count >= len(items) or count < 2:
        return items
    return [items[number * (len(items) - 1) // (count - 1)] for number in range(count)]
