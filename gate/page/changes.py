"""What a job runs, beside what it ran when it was last approved: what differs, with a few lines around it. Pure.

A line is compared together with whether a command begins with it, so that two commands never look like one of two
lines.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gate.shapes import Content

    Text = tuple[bool, str]  # whether a command begins with it, and the line

ADDED, REMOVED, SAME, LEFT_OUT = "+", "-", " ", "…"
CONTEXT_LINES = 2
# Of what differs in one part. More is no small diff; comparing takes time by the square, and others use the page, too.
LINES_MAX = 200
CHARACTERS_MAX = 20_000


class Line(NamedTuple):
    """One line of a diff; `sign` is ADDED, REMOVED, SAME or LEFT_OUT."""

    sign: str
    text: str
    begins: bool


@dataclass(frozen=True)
class Part:
    """A step, a hook or an image that differs; `lines` is empty where that is too much to be compared here."""

    title: str
    lines: list[Line]


def differing(before: Content, now: Content) -> list[Part]:
    """The parts of `now` that are not as they were, and those that are gone, in their order."""
    old, new = _parts(before), _parts(now)
    titles = dict.fromkeys([*new, *old])
    return [
        Part(title, _lines(old.get(title, []), new.get(title, [])))
        for title in titles
        if old.get(title) != new.get(title)
    ]


def lines_of(content: Content) -> int:
    """How many lines of script a content has, hooks included."""
    commands = [each for part in [*content["hooks"], *content["steps"]] for each in _commands(part)]
    return sum(each.count("\n") + 1 for each in [*commands, content["run"]] if each)


def _parts(content: Content) -> dict[str, list[Text]]:
    found = [(f"Hook {hook.get('name', '')}", _script(hook)) for hook in content["hooks"]]
    found += [(str(step.get("name", "")), _script(step)) for step in content["steps"]]
    found += [("Steps (run)", _command(content["run"]))] if content["run"] else []
    found += [("Image", _fields(content["image"]))] if content["image"] else []
    found += [("Service", _fields(service)) for service in content["services"]]
    parts: dict[str, list[Text]] = {}
    times = Counter[str]()
    for title, lines in found:
        times[title] += 1
        parts[title if times[title] == 1 else f"{title} ({times[title]})"] = lines
    return parts


def _script(step: Mapping[str, object]) -> list[Text]:
    others = {name: value for name, value in step.items() if name not in ("name", "script")}
    lines = [*(line for command in _commands(step) for line in _command(command)), *_fields(others)]
    return lines or [(True, "(nothing)")]


def _commands(step: Mapping[str, object]) -> list[str]:
    script = step.get("script", [])
    return [str(each) for each in script] if isinstance(script, list) else [str(script)]


def _command(text: str) -> list[Text]:
    return [(n == 0, line) for n, line in enumerate(text.split("\n"))]


def _fields(part: Mapping[str, object]) -> list[Text]:
    return [(True, f"{name}: {_plain(value)}") for name, value in part.items()]


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _lines(before: list[Text], now: list[Text]) -> list[Line]:
    start = _common(before, now)
    end = _common(before[start:][::-1], now[start:][::-1])
    old, new = before[start : len(before) - end], now[start : len(now) - end]
    if max(len(old), len(new)) > LINES_MAX or sum(len(text) for _, text in [*old, *new]) > CHARACTERS_MAX:
        return []
    return _short([*_signed(SAME, now[:start]), *_compared(old, new), *_signed(SAME, now[len(now) - end :])])


def _common(one: list[Text], other: list[Text]) -> int:
    """How many lines both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (own, its) in pairs if own != its), min(len(one), len(other)))


def _compared(old: list[Text], new: list[Text]) -> list[Line]:
    found = []
    for kind, old_from, old_to, new_from, new_to in SequenceMatcher(None, old, new).get_opcodes():
        if kind == "equal":
            found += _signed(SAME, new[new_from:new_to])
        else:
            found += [*_signed(REMOVED, old[old_from:old_to]), *_signed(ADDED, new[new_from:new_to])]
    return found


def _signed(sign: str, lines: list[Text]) -> list[Line]:
    return [Line(sign, text, begins) for begins, text in lines]


def _short(lines: list[Line]) -> list[Line]:
    """What differs, with CONTEXT_LINES around it; the rest is only counted."""
    changed = [n for n, line in enumerate(lines) if line.sign != SAME]
    near = {n for at in changed for n in range(at - CONTEXT_LINES, at + CONTEXT_LINES + 1)}
    found, left_out = list[Line](), 0
    for n, line in enumerate(lines):
        left_out += n not in near
        if n in near:
            found += [*_left_out(left_out), line]
            left_out = 0
    return [*found, *_left_out(left_out)]


def _left_out(count: int) -> list[Line]:
    return [Line(LEFT_OUT, f"{count} more as before", begins=True)] if count else []
