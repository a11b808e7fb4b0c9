"""The text of a gate.yaml -> the same text with one person more or less; its comments and its layout stay.

ruamel.yaml changes the text and keeps the comments, yet it lays out again what it did not change, and takes the lines
between a removed person and the next one for the removed person's. So the text is written twice, with the change and
without, and only what differs between the two is done to the lines of the file. What comes of it is read again by
gate.yaml's own parser, and must be exactly what the change makes of the values.
"""

from __future__ import annotations

import copy
import io
import re
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

import yaml

from config.faults import ConfigError
from config.parser import parse
from gate.commands.fault import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from config.document import Yaml

    Change = Callable[[Yaml], None]

# Ways to indent: a mapping, a list, and how far in the dash of a list stands.
_INDENTS = ((2, 2, 0), (2, 4, 2), (4, 4, 0), (4, 4, 2), (4, 6, 4))
_NO_WRAPPING = 1 << 20
_COMMENT = re.compile(r"(?:^|\s)(#.*\S)")


def adding(person: str, known: Yaml, groups: list[str]) -> Change:
    """The change that adds a person, `known` as gate.yaml has it, to these groups too, which there are."""

    def change(value: Yaml) -> None:
        value["people"][_plain(person)] = _in_one_line(known)
        for group in groups:
            value["groups"][group].append(_plain(person))

    return change


def removing(person: str) -> Change:
    """The change that removes a person wherever they are named."""

    def change(value: Yaml) -> None:
        del value["people"][person]
        for listed in lists_of(value).values():
            while person in listed:
                listed.remove(person)

    return change


def lists_of(value: Yaml) -> dict[str, list[str]]:
    """Every list that can name a person, by what people call it."""
    groups = {f"group {name}": listed for name, listed in value.get("groups", {}).items()}
    asked = {
        f"rule {rule['name']!r}, approvals {number}": entry["of"]
        for rule in value["rules"]
        for number, entry in enumerate(rule["approvals"], 1)
    }
    return groups | asked


def edited(text: str, file: str, change: Change) -> str:
    """Return the text with the change made.

    Raises:
        CommandError: it is written in a way that cannot be kept; then it has to be edited by hand.
    """
    wanted = copy.deepcopy(parse(text.encode(), file).value)
    change(wanted)
    plain, changed = min(
        (_written(text, change, indent) for indent in _INDENTS), key=lambda each: _strange(text, each[0])
    )
    candidates = [changed]
    if len(_lines(plain)) == len(_lines(text)):
        candidates.insert(0, _merged(_lines(text), _lines(plain), _lines(changed)))
    for candidate in candidates:
        if _value(candidate, file) == wanted and (candidate is not changed or _comments(text) <= _comments(candidate)):
            return candidate
    raise CommandError(f"{file} is written in a way that this command cannot keep: edit it by hand, then `gate check`")


def _written(text: str, change: Change, indent: tuple[int, int, int]) -> tuple[str, str]:
    """What ruamel.yaml makes of the text, without the change and with it."""
    from ruamel.yaml import YAML

    mapping, sequence, offset = indent
    writer = YAML()
    writer.preserve_quotes = True
    writer.width = _NO_WRAPPING
    writer.explicit_start = bool(re.search(r"^---\s", text, re.MULTILINE))
    writer.indent(mapping=mapping, sequence=sequence, offset=offset)
    tree, plain, changed = writer.load(text), io.StringIO(), io.StringIO()
    writer.dump(tree, plain)
    change(tree)
    writer.dump(tree, changed)
    return plain.getvalue(), changed.getvalue()


def _strange(text: str, plain: str) -> int:
    """How many lines of the text have become others."""
    return len(set(_lines(plain)) ^ set(_lines(text)))


def _merged(own: list[str], plain: list[str], changed: list[str]) -> str:
    """What makes `changed` of `plain`, made of `own`, which has as many lines as `plain`."""
    merged: list[str] = []
    for kind, start, end, first, last in SequenceMatcher(None, plain, changed, autojunk=False).get_opcodes():
        if kind == "equal":
            merged += own[start:end]
            continue
        new = [_moved(line, *_beside(own, plain, start, kind)) for line in changed[first:last]]
        place = len(merged) - (_remarks_behind(merged, new[0]) if kind == "insert" and new[0].strip() else 0)
        merged[place:place] = new
        merged += [line for line in _remarks_at_end(own[start:end]) if line not in new]
    return "".join(f"{line}\n" for line in merged)


def _beside(own: list[str], plain: list[str], start: int, kind: str) -> tuple[str, str]:
    """The line that a new one replaces or follows: as the file has it, and as ruamel.yaml lays it out."""
    number = start
    while number and (kind == "insert" or number == len(plain)) and (number == start or _is_remark(plain[number])):
        number -= 1
    return own[number], plain[number]


def _moved(line: str, own: str, plain: str) -> str:
    """A line of ruamel.yaml's with the file's own indentation, where that is another for lines of this depth."""
    return " " * (_indent(own) - _indent(plain)) + line[max(_indent(plain) - _indent(own), 0) :]


def _remarks_behind(lines: list[str], new: str) -> int:
    """How many lines at the end belong to what comes next, and not to the section that `new` is added to."""
    number = 0
    while number < len(lines) and _is_remark(lines[-number - 1]) and _indent(lines[-number - 1]) < _indent(new):
        number += 1
    return number


def _remarks_at_end(removed: list[str]) -> list[str]:
    """The lines between a removed person and what comes next, which are about that."""
    start = len(removed)
    while start and _is_remark(removed[start - 1]):
        start -= 1
    return removed[start:]


def _is_remark(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith("#")


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip()) if line.strip() else 0


def _lines(text: str) -> list[str]:
    return text.rstrip("\n").split("\n")


def _comments(text: str) -> set[str]:
    return {found for line in _lines(text) for found in _COMMENT.findall(line)}


def _value(text: str, file: str) -> Any:
    try:
        return parse(text.encode(), file).value
    except ConfigError:
        return None


def _in_one_line(value: Any) -> Any:
    """As ruamel.yaml writes a value in one line, with all quotes that it needs for gate.yaml's parser."""
    from ruamel.yaml.comments import CommentedMap, CommentedSeq

    if isinstance(value, dict):
        written: Any = CommentedMap({_plain(key): _in_one_line(each) for key, each in value.items()})
    elif isinstance(value, list):
        written = CommentedSeq([_in_one_line(each) for each in value])
    else:
        return _plain(value)
    written.fa.set_flow_style()
    return written


def _plain(value: Any) -> Any:
    """A scalar; in quotes where YAML would take its text for something else."""
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    if not isinstance(value, str) or yaml.safe_dump(value, width=_NO_WRAPPING).removesuffix("...\n").strip() == value:
        return value
    return DoubleQuotedScalarString(value)
