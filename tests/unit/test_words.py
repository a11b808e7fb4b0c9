"""Text by others comes out harmless (threats T29), and durations in words."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.request import fit
from gate.words import ascii_json_bytes, duration, listed, shown

HOSTILE = ["\x1b[31m", "\r\n", "section_start:1:x\r\x1b[0K", "\u202e", "\u2028", "\x9b", "\ud800", "\u200b", "\\", "\0"]
TEXT = st.text(st.characters() | st.sampled_from("".join(HOSTILE)))


@given(TEXT, st.integers(0, 50))
def test_shown_is_one_line_without_control_or_format_characters(text: str, limit: int) -> None:
    line = shown(text, limit)

    assert [c for c in line if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")] == []
    assert "\x1b" not in line
    assert len(line.splitlines()) <= 1
    line.encode("utf-8")


@given(TEXT, TEXT)
def test_shown_tells_different_texts_apart(one: str, other: str) -> None:
    assert (shown(one, 1000) == shown(other, 1000)) == (one == other)


@pytest.mark.parametrize(
    ("text", "limit", "line"),
    [
        ("go ahead", 200, "go ahead"),
        ("Grüße, 你好 👍", 200, "Grüße, 你好 👍"),
        ("a\nb", 200, "a\\nb"),
        ("\\n", 200, "\\\\n"),
        ("\x1b[31mred", 200, "\\x1b[31mred"),
        ("\u202eevil", 200, "\\u202eevil"),
        ("abcdef", 6, "abcdef"),
        ("abcdefg", 6, "abcdef… (7 characters)"),
        (7, 200, "7"),
    ],
)
def test_shown(text: object, limit: int, line: str) -> None:
    assert shown(text, limit) == line


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0s"),
        (0, "0s"),
        (0.9, "0s"),
        (1, "1s"),
        (59.99, "59s"),
        (60, "1min"),
        (125, "2min 5s"),
        (3600, "1h"),
        (3605, "1h"),
        (5400, "1h 30min"),
        (5430, "1h 30min"),
        (86_399, "23h 59min"),
        (86_400, "1d"),
        (86_460, "1d"),
        (90_000, "1d 1h"),
        (10 * 86_400, "10d"),
    ],
)
def test_duration(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("names", "last", "words"),
    [([], "or", ""), (["a"], "or", "a"), (["a", "b"], "and", "a and b"), (["a", "b", "c"], "or", "a, b or c")],
)
def test_listed(names: list[str], last: str, words: str) -> None:
    assert listed(names, last) == words


@given(TEXT, st.integers(0, 60))
def test_fit_keeps_the_longest_start_that_fits(text: str, limit: int) -> None:
    kept = fit(text, limit)

    if ascii_json_bytes(text) <= limit:
        assert kept == text
        return
    assert kept.endswith("…")
    start = kept[:-1]
    assert text.startswith(start)
    assert ascii_json_bytes(start) <= limit < ascii_json_bytes(text[: len(start) + 1])


@given(TEXT)
def test_ascii_json_bytes_is_what_json_takes(text: str) -> None:
    assert ascii_json_bytes(text) == len(json.dumps(text, ensure_ascii=True).encode("ascii")) - len('""')
