"""Text by others comes out harmless (threats T29), and durations in words."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.model.words import ascii_json_bytes, could_deceive, duration, listed, shown
from gate.store.request import fit

HOSTILE = ["\x1b[31m", "\r\n", "section_start:1:x\r\x1b[0K", "\u202e", "\u2028", "\x9b", "\ud800", "\u200b", "\\", "\0"]
TEXT = st.text(st.characters() | st.sampled_from("".join(HOSTILE)))


@given(TEXT, st.integers(0, 50))
def test_shown_is_one_line_without_control_or_format_characters(text: str, limit: int) -> None:
    line = shown(text, limit)

    assert [c for c in line if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")] == []
    assert "\x1b" not in line
    assert len(line.splitlines()) <= 1
    line.encode("utf-8")


DECEIVES = {
    "nul": "\0",
    "tab": "\t",
    "line feed": "\n",
    "carriage return": "\r",
    "escape, of ANSI": "\x1b",
    "delete": "\x7f",
    "C1 CSI": "\x9b",
    "next line": "\x85",
    "no-break space": "\u00a0",
    "narrow no-break space": "\u202f",
    "en quad": "\u2000",
    "soft hyphen": "\u00ad",
    "combining grapheme joiner": "\u034f",
    "Arabic letter mark": "\u061c",
    "Hangul filler": "\u3164",
    "halfwidth Hangul filler": "\uffa0",
    "Mongolian vowel separator": "\u180e",
    "zero-width space": "\u200b",
    "zero-width joiner": "\u200d",
    "left-to-right mark": "\u200e",
    "line separator": "\u2028",
    "paragraph separator": "\u2029",
    "right-to-left override": "\u202e",
    "right-to-left isolate": "\u2067",
    "word joiner": "\u2060",
    "variation selector": "\ufe00",
    "its supplement": "\U000e0141",
    "tag letter": "\U000e0041",
    "byte order mark": "\ufeff",
    "private use": "\ue000",
    "lone surrogate": "\ud800",
    "not assigned": "\U000e0fff",
}
READS = {
    "ASCII": "".join(map(chr, range(0x20, 0x7F))),
    "German": "äöüßÄÖÜẞ€„“",
    "French": "éèêçœŒ«»",
    "Chinese": "你好、世界。《》\u3000",
    "Japanese": "こんにちは、カタカナ「」",
    "Korean": "안녕하세요",
    "Cyrillic and Greek": "Привет Γειά",
    "Arabic and Hebrew": "مرحبا שלום",
    "Hindi": "नमस्ते",
    "emoji": "👍🎉☎\ufe0f",
    "accents that combine": "e\u0301",
}


@pytest.mark.parametrize("name", DECEIVES)
def test_what_could_deceive_is_escaped(name: str) -> None:
    character = DECEIVES[name]
    assert could_deceive(character)
    assert shown(character).isascii()
    assert shown(character).startswith("\\")


@pytest.mark.parametrize("name", READS)
def test_what_people_write_reads_as_they_wrote_it(name: str) -> None:
    assert [each for each in READS[name] if could_deceive(each)] == []
    assert shown(READS[name].replace("\\", "")) == READS[name].replace("\\", "")


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
