"""A torn end of the log is mended by appending, whatever tore it and wherever; nothing else is taken for a tear."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import log
from audit.verify import verify
from tests.support.audit_logs import VERSION, add, filled, lines_of

TORN = st.binary(min_size=1, max_size=60) | st.sampled_from([b"\0" * 9000, b"{}\n{", b"#\n#", b"\n", b"x\n\n"])


def _with_tail(directory: Path, tail: bytes) -> Path:
    file = filled(directory, 2)
    with file.open("ab") as more:
        more.write(tail)
    return file


def _next_line(directory: Path) -> bytes:
    """What would be the log's next line, exactly."""
    file = directory / "audit.1.jsonl"
    size = file.stat().st_size
    add(directory, "decided", comment="torn")
    line = file.read_bytes()[size:]
    os.truncate(file, size)
    return line


def test_a_record_torn_anywhere_is_mended(tmp_path: Path) -> None:
    file = filled(tmp_path, 2)
    whole, line = file.read_bytes(), _next_line(tmp_path)
    for length in range(1, len(line)):
        file.write_bytes(whole + line[:length])
        assert verify(str(tmp_path)).unfinished

        head = add(tmp_path)

        assert file.read_bytes().startswith(whole + line[:length])
        report = verify(str(tmp_path), [head])
        assert (report.ok, report.mended, report.records, report.unfinished) == (True, 1, 5, None), length


def test_recovered_names_exactly_what_was_torn(tmp_path: Path) -> None:
    file = filled(tmp_path, 2)
    last, start = log.head(str(tmp_path)), file.stat().st_size
    with file.open("ab") as more:
        more.write(b'{"half')
    add(tmp_path)

    recovered = json.loads(lines_of(file)[-2])
    named = b'{"half#'
    assert last
    assert (recovered["event"], recovered["prev"], recovered["seq"]) == ("recovered", last.sha256, last.seq + 1)
    assert recovered["torn"] == {"offset": start, "length": 7, "sha256": hashlib.sha256(named).hexdigest()}
    assert file.read_bytes()[start : start + 7] == named


def test_a_whole_record_without_its_line_feed_does_not_count(tmp_path: Path) -> None:
    file, line = filled(tmp_path, 2), _next_line(tmp_path)
    with file.open("ab") as more:
        more.write(line[:-1])

    assert "torn" not in [record.get("comment") for _, record in log.records(str(tmp_path))]
    add(tmp_path)

    assert "torn" not in [record.get("comment") for _, record in log.records(str(tmp_path))]
    assert verify(str(tmp_path)).ok


@pytest.mark.parametrize("length", [1, 40, 0])
def test_a_torn_first_line_is_named_by_the_genesis_that_follows(tmp_path: Path, length: int) -> None:
    file = filled(tmp_path, 1)
    torn = lines_of(file)[0][: length or -1]
    file.write_bytes(torn)

    add(tmp_path)

    genesis = json.loads(lines_of(file)[1])
    assert (genesis["event"], genesis["seq"], genesis["prev"]) == ("genesis", 1, "0" * 64)
    assert genesis["torn"] == {"offset": 0, "length": len(torn) + 1, "sha256": hashlib.sha256(torn + b"#").hexdigest()}
    report = verify(str(tmp_path))
    assert (report.ok, report.mended) == (True, 1)


def test_a_torn_mend_is_mended_with_what_it_was_to_mend(tmp_path: Path) -> None:
    file = _with_tail(tmp_path, b'{"half')
    whole = file.read_bytes()
    add(tmp_path)
    mended = file.read_bytes()
    for cut in range(len(whole) + 1, len(mended), 3):
        file.write_bytes(mended[:cut])

        head = add(tmp_path)

        report = verify(str(tmp_path), [head])
        assert (report.ok, report.unfinished) == (True, None), cut


@settings(max_examples=100)
@given(st.lists(TORN, min_size=1, max_size=4), st.booleans())
def test_any_torn_end_is_mended_again_and_again(tails: list[bytes], new: bool) -> None:
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "audit.1.jsonl"
        if new:
            file.write_bytes(b"")
        else:
            add(Path(directory))
        heads = []
        for tail in tails:
            before = file.read_bytes() + tail
            file.write_bytes(before)
            heads.append(add(Path(directory)))
            assert file.read_bytes().startswith(before)

        report = verify(directory, heads)

        assert report.ok, report.problems
        assert report.mended == len(tails)
        assert report.head == heads[-1] == log.head(directory)


@pytest.mark.parametrize("size", [9_000, 20_000, 300_000])
def test_a_long_torn_end_is_mended(tmp_path: Path, size: int) -> None:
    _with_tail(tmp_path, b"\0" * size)

    head = add(tmp_path)

    assert verify(str(tmp_path), [head]).ok
    assert log.head(str(tmp_path)) == head


@pytest.mark.parametrize("size", [1, 8191, 8192, 8193, 16385])
def test_an_end_that_was_only_ended_is_unfinished_whatever_its_length(tmp_path: Path, size: int) -> None:
    _with_tail(tmp_path, b"\0" * size + b"#\n")

    report = verify(str(tmp_path))

    assert report.ok
    assert report.unfinished == f"audit.1.jsonl:4: an unfinished last line of {size + 2} bytes"


def test_a_tear_can_be_mended_after_anything_was_found_changed_but_not_hide_it(tmp_path: Path) -> None:
    file = _with_tail(tmp_path, b'{"half')
    add(tmp_path)
    content = file.read_bytes()
    for old, new in ((b"half", b"hale"), (b"half#", b"half"), (b"#\n", b"#\n#\n")):
        file.write_bytes(content.replace(old, new))
        assert not verify(str(tmp_path)).ok


def test_a_whole_record_that_does_not_chain_stays_and_is_told(tmp_path: Path) -> None:
    file = filled(tmp_path, 3)
    lines = lines_of(file)
    file.write_bytes(b"".join([*lines[:2], lines[3]]))

    add(tmp_path)

    report = verify(str(tmp_path))
    assert (report.ok, report.mended, report.problems[0].line) == (False, 0, 3)


def test_recovered_without_a_tear_is_told(tmp_path: Path) -> None:
    file = _with_tail(tmp_path, b'{"half')
    add(tmp_path)
    lines = lines_of(file)
    file.write_bytes(b"".join([*lines[:3], *lines[4:]]))

    assert "as it says" in str(verify(str(tmp_path)).problems[0])


def test_append_once_after_a_torn_end_finds_what_stands_before_it(tmp_path: Path) -> None:
    since = log.position(str(tmp_path))
    fields: dict[str, Any] = {"event": "released", "request": "r-1"}
    first = log.append(str(tmp_path), fields, version=VERSION)
    with (tmp_path / "audit.1.jsonl").open("ab") as more:
        more.write(b'{"half')

    again = log.append_once(str(tmp_path), fields, same=("event", "request"), since=since, version=VERSION)

    assert again == first
