"""What leaves the page as CSV and JSON: whole, and nothing in it that a spreadsheet would run (threats T30, CWE-1236)."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.table import lines, safe
from gate.page import export
from gate.page.export import COLUMNS
from gate.page.history import search
from gate.page.history.index import Index
from tests.support.page_logs import Log, key_of

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(
    ['a"b', "a\r\nb", "a,b;c", "=1+1", " \t-x", '"', ""]
)
VALUES = TEXTS | st.none() | st.integers(-(2**53), 2**53)

FORMULAS = {
    "equals": "=cmd|' /C calc'!A0",
    "plus": "+1+1",
    "minus": "-2+3",
    "at": "@SUM(1)",
    "tab": "\t=1",
    "tab alone": "\tx",
    "carriage return": "\r=1",
    "line feed": "\n=1",
    "bar": "|calc",
    "per cent": "%0A=1",
    "behind a blank": " =1",
    "behind many blanks": "    @x",
    "behind a quote": "'=1",
    "behind a double quote": '"=1',
    "behind both and blanks": " '\" ' =1",
    "behind a blank that does not break": "\u00a0=1",
    "full width equals": "\uff1d1",
    "full width plus": "\uff0b1",
    "full width minus": "\uff0d1",
    "full width at": "\uff20x",
}


@pytest.mark.parametrize("case", FORMULAS)
def test_a_formula_is_quoted(case: str) -> None:
    assert safe(FORMULAS[case]) == f"'{FORMULAS[case]}"


PLAIN = [
    "",
    " ",
    "deploy",
    "a=b",
    "1-2",
    "x\n=1",
    "git.example-42-1",
    "2026-11-24T01:43:41Z",
    "it's",
    "'quoted'",
    "ünder",
    "(=1)",
]


@pytest.mark.parametrize("text", PLAIN)
def test_other_text_stays_as_it_is(text: str) -> None:
    assert safe(text) == text


@pytest.mark.parametrize(
    ("value", "expected"), [(None, ""), (0, "0"), (7, "7"), (-7, "'-7"), (True, "true"), (False, "false")]
)
def test_what_is_no_text_becomes_one(value: object, expected: str) -> None:
    assert safe(value) == expected


@given(st.text())
def test_nothing_safe_begins_with_what_could_be_a_formula(text: str) -> None:
    assert not re.match(r"[=+\-@\t\r\n|%\uff1d\uff0b\uff0d\uff20]", safe(text))
    assert safe(text).removeprefix("'") == text.removeprefix("'") or safe(text) == f"'{text}"


@given(st.lists(st.lists(VALUES, min_size=2, max_size=4), max_size=5))
def test_csv_gives_back_what_was_put_in(rows: list[list[Any]]) -> None:
    written = export._csv_of([{str(n): value for n, value in enumerate(row)} for row in rows], False)
    assert list(csv.reader(io.StringIO(written, newline=""))) == [[safe(value) for value in row] for row in rows]
    assert written == "" or written.endswith('"\r\n')  # RFC 4180


def test_csv_begins_with_the_names_of_its_columns() -> None:
    assert lines([list(COLUMNS)]).startswith('"request","decided","decision","person",')


PIECES = {"none": [], "one": [[1]], "one of several": [[1, 2, 3]], "many": [[1], [2, 3], [4]]}


@pytest.mark.parametrize("case", PIECES)
def test_json_is_one_array_however_many_pieces(case: str) -> None:
    pieces = [[{"n": n, "text": "é\n\u2028</script>"} for n in piece] for piece in PIECES[case]]
    written = "[\n" + "".join(export._json_of(piece, n == 0) for n, piece in enumerate(pieces)) + "\n]\n"
    assert json.loads(written) == [row for piece in pieces for row in piece]
    assert written.isascii()


def test_what_was_decided_is_told_with_times_that_can_be_read(tmp_path: Path) -> None:
    log = Log(tmp_path / "audit")
    log.whole(1, "rejected", "bob", waited_s=61.9, path="=grp/app")
    log.decided(2, "refused")
    index = Index(str(tmp_path / "index.sqlite"), str(log.directory))
    index.catch_up()
    refused, rejected = map(export._values, search.search(index, search.Filter(), 10))
    assert list(rejected) == list(COLUMNS)
    assert (rejected["request"], rejected["person"], rejected["via"]) == (key_of(1), "bob", "page")
    assert (rejected["requested"], rejected["decided"]) == ("2026-09-21T14:13:20Z", "2026-09-21T14:14:21Z")
    assert (rejected["waited_s"], rejected["released"], rejected["project"]) == (61, None, "=grp/app")
    assert (refused["requested"], refused["waited_s"], refused["person"]) == (None, None, None)
