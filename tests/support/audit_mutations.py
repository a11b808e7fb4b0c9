"""Audit logs as honest gates write them, at random, and what may be done to their bytes."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from audit import log
from audit.rotate import rotate
from tests.support.audit_logs import VERSION

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path

COMMENTS = (
    "",
    "go ahead",
    "ümlaut \u202e\x1b[31m",
    'quo"te \\ {"seq":1}',
    "line\nfeed\r\t\b\f\x7f",
    "\U0001f600" * 20,
    "#",
    "x" * 2000,
)
TEARS = (b"{", b'{"boottime":1,"com', b"\0" * 30, b"\n", b"#", b"#\n", b"x\n#\ny", b"{}\n")
EVENTS = ("requested", "vote", "decided", "released", "ended")


def honest(directory: Path, dice: random.Random) -> list[log.Head]:
    """A log that was appended to, torn, mended and rotated; returns its heads."""
    heads: list[log.Head] = []
    for _ in range(dice.randint(1, 6)):
        if heads and dice.random() < 0.25:
            _tear(directory, dice)
        if heads and dice.random() < 0.25:
            head = rotate(str(directory), 1, version=VERSION)
            heads += [head] if head else []
        heads.append(log.append(str(directory), _fields(dice), version=VERSION))
    return heads


def changed(directory: Path, dice: random.Random) -> str:
    """Change the log's files in some way; returns which."""
    how = dice.choice(list(CHANGES))
    CHANGES[how](directory, dice)
    return how


def _fields(dice: random.Random) -> dict[str, Any]:
    job = {
        "id": dice.randint(1, 2**53 - 1),
        "name": dice.choice(COMMENTS[:5]),
        "environment": None,
        "list": [1, True, -5, []],
    }
    return {
        "event": dice.choice(EVENTS),
        "request": f"r-{dice.randint(1, 9)}",
        "comment": dice.choice(COMMENTS),
        "job": job,
    }


def _tear(directory: Path, dice: random.Random) -> None:
    with _last(directory).open("ab") as target:
        target.write(dice.choice(TEARS))


def _files(directory: Path) -> list[Path]:
    return sorted(directory.glob("audit.*.jsonl"), key=lambda path: int(path.name.split(".")[1]))


def _last(directory: Path) -> Path:
    return _files(directory)[-1]


def _any(directory: Path, dice: random.Random) -> tuple[Path, bytes]:
    file = dice.choice(_files(directory))
    return file, file.read_bytes()


def _with_lines(directory: Path, dice: random.Random) -> tuple[Path, list[bytes], int]:
    file, content = _any(directory, dice)
    lines = content.splitlines(keepends=True)
    return file, lines, dice.randrange(len(lines))


def _byte(directory: Path, dice: random.Random) -> None:
    file, content = _any(directory, dice)
    at, value = dice.randrange(len(content)), dice.choice([*range(256), *b'\n#"{},0a '])
    file.write_bytes(content[:at] + bytes([value]) + content[at + 1 :])


def _cut(directory: Path, dice: random.Random) -> None:
    file, content = _any(directory, dice)
    start, end = sorted(dice.randrange(len(content) + 1) for _ in range(2))
    file.write_bytes(content[:start] + content[end:])


def _end(directory: Path, dice: random.Random) -> None:
    file, content = _any(directory, dice)
    file.write_bytes(content[: dice.randrange(len(content))])


def _line_away(directory: Path, dice: random.Random) -> None:
    file, lines, at = _with_lines(directory, dice)
    file.write_bytes(b"".join(lines[:at] + lines[at + 1 :]))


def _doubled(directory: Path, dice: random.Random) -> None:
    file, lines, at = _with_lines(directory, dice)
    file.write_bytes(b"".join(lines[: at + 1] + lines[at:]))


def _swapped(directory: Path, dice: random.Random) -> None:
    file, lines, at = _with_lines(directory, dice)
    other = dice.randrange(len(lines))
    lines[at], lines[other] = lines[other], lines[at]
    file.write_bytes(b"".join(lines))


def _file_away(directory: Path, dice: random.Random) -> None:
    os.unlink(_any(directory, dice)[0])


def _files_swapped(directory: Path, dice: random.Random) -> None:
    (one, content), (other, others) = _any(directory, dice), _any(directory, dice)
    one.write_bytes(others)
    other.write_bytes(content)


def _in_other_bytes(directory: Path, dice: random.Random) -> None:
    """The last record, which nothing names, spelt otherwise or with something that is none of a record's."""
    file = _last(directory)
    lines = file.read_bytes().splitlines(keepends=True)
    lines[-1] = dice.choice(SPELLINGS)(lines[-1])
    file.write_bytes(b"".join(lines))


def _nothing(_directory: Path, _dice: random.Random) -> None:
    pass


def _put(old: bytes, new: bytes) -> Any:
    return lambda line: line.replace(old, new, 1)


SPELLINGS: list[Any] = [
    _put(b'{"', b'{ "'), _put(b'":', b'": '), _put(b"}\n", b"}\r\n"), _put(b"}\n", b"} \n"), _put(b'{"boottime":', b'{"boottime":0'),
    _put(b'{"boottime":', b'{"boottime":-'), _put(b'"boottime":', b'"Boottime":'), _put(b'{"', b'{"a":1.5,"'), _put(b'{"', b'{"a":-0,"'),
    _put(b'{"', b'{"a":1e5,"'), _put(b'{"', b'{"a":NaN,"'), _put(b'{"', b'{"a":9007199254740992,"'), _put(b'{"', b'{"a":9007199254740991,"'),
    _put(b'{"', b'{"a":-9007199254740991,"'), _put(b'{"', b'{"a":-9007199254740992,"'), _put(b'{"', b'{"a":"\\ud800","'),
    _put(b'{"', b'{"a":"\\ud83d\\ude00","'), _put(b'{"', b'{"a":"\\u00e9","'), _put(b'{"', b'{"a":"\\u00E9","'),
    _put(b'{"', b'{"a":"\xc3\xa9","'), _put(b'{"', b'{"a":"\\u0041","'), _put(b'{"', b'{"a":"\\/","'), _put(b'{"', b'{"a":"\\u007f","'),
    _put(b'{"', b'{"a":"\x7f","'), _put(b'{"', b'{"a":"\t","'), _put(b'{"', b'{"a":"\\t","'), _put(b'{"', b'{"a":"\\u0009","'),
    _put(b'{"', b'{"a":1,"a":1,"'), _put(b'{"', b'{"z":1,"'), _put(b'{"', b'{"a":{"c":1,"b":1},"'), _put(b'{"', b'{"a":{"b":1,"b":1},"'),
    _put(b'{"', b'{"a":{"b":[{"c":1}]},"'), _put(b'{"', b'{"":null,"'), _put(b'{"', b'{"\\ud800":1,"'), _put(b'{"', b'{"A":true,"'),
    _put(b'"v":1', b'"v":1.0'), _put(b'"v":1', b'"v":true'), _put(b'"v":1', b'"v":"1"'), _put(b'"v":1', b'"v":2'), _put(b'"v":1,', b""),
    _put(b'"seq":', b'"seq":0'), _put(b'"seq":', b'"seq":"'), _put(b'"prev":"', b'"prev":"A'), _put(b'"host":"', b'"host":["'),
    _put(b'"event":"', b'"event":"x'), _put(b'"event":"', b'"event":{"'), _put(b'"request":"r-', b'"request":"'), _put(b'"request":', b'"requests":'),
    _put(b'Z","v"', b'z","v"'), _put(b'"time":"2', b'"time":"\\u0662'), _put(b'"time":"', b'"time":"0'), _put(b'"v":1', b'"torn":null,"v":1'),
    _put(b'"v":1', b'"torn":{"length":0,"offset":0,"sha256":"' + b"0" * 64 + b'"},"v":1'),
    lambda line: b"\xef\xbb\xbf" + line, lambda line: line[:-1], lambda line: line + b"\n", lambda line: b"[" + line[:-1] + b"]\n",
    lambda line: line[:-1] + b"#\n", lambda _line: b"null\n", lambda _line: b"#\n", lambda _line: b"[" * 4000 + b"]" * 4000 + b"\n",
    lambda line: b'{"a":"' + b"x" * (8192 - len(line) - 7) + b'",' + line[1:], lambda line: b'{"a":"' + b"x" * (8192 - len(line) - 6) + b'",' + line[1:],
    lambda line: json.dumps(json.loads(line)).encode() + b"\n", lambda line: json.dumps(json.loads(line), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() + b"\n",
]  # fmt: skip

CHANGES: dict[str, Callable[[Path, random.Random], None]] = {
    "byte": _byte, "cut": _cut, "end": _end, "line away": _line_away, "doubled": _doubled, "swapped": _swapped, "file away": _file_away,
    "files swapped": _files_swapped, "in other bytes": _in_other_bytes, "torn": _tear, "none": _nothing,
}  # fmt: skip
