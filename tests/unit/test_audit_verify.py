"""Verifying: every change that a chain can show is shown, with its place, and nothing else is."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import log
from audit.verify import PROBLEMS_MAX, Report, verify
from tests.support.audit_logs import add, filled, lines_of
from tests.support.effort import examples

if TYPE_CHECKING:
    from collections.abc import Callable


def test_an_untouched_log_is_ok_and_goes_through_its_anchors(tmp_path: Path) -> None:
    anchors = [add(tmp_path, comment=str(number)) for number in range(5)]

    report = verify(str(tmp_path), anchors)

    assert report.ok
    assert (report.records, report.head, report.mended, report.unfinished) == (6, anchors[-1], 0, None)
    assert report.log_id == json.loads(lines_of(tmp_path / "audit.1.jsonl")[0])["log_id"]


def test_no_log_is_not_a_good_log(tmp_path: Path) -> None:
    assert not verify(str(tmp_path)).ok
    (tmp_path / "audit.1.jsonl").write_bytes(b"")
    assert not verify(str(tmp_path)).ok


def test_a_missing_directory_cannot_be_verified(tmp_path: Path) -> None:
    with pytest.raises(log.AuditError, match="No such file"):
        verify(str(tmp_path / "audit"))


def _swapped(lines: list[bytes]) -> list[bytes]:
    return [*lines[:2], lines[3], lines[2], *lines[4:]]


def _edited(old: bytes, new: bytes, at: int = 2) -> Callable[[list[bytes]], list[bytes]]:
    return lambda lines: [line.replace(old, new) if n == at else line for n, line in enumerate(lines)]


def _reformed(at: int) -> Callable[[list[bytes]], list[bytes]]:
    """The same record, in other bytes."""
    return lambda lines: [json.dumps(json.loads(li)).encode() + b"\n" if n == at else li for n, li in enumerate(lines)]


@pytest.mark.parametrize(
    ("change", "line", "told"),
    [
        (lambda lines: lines[1:], 1, "seq 1, found 2"),
        (lambda lines: [*lines[:2], *lines[3:]], 3, "seq 3, found 4"),
        (lambda lines: [*lines[:3], *lines[2:]], 4, "seq 4, found 3"),
        (lambda lines: [*lines, lines[-1]], 7, "seq 7, found 6"),
        (_swapped, 3, "seq 3, found 4"),
        (_edited(b"number 1", b"number 9"), 4, "prev "),
        (_edited(b'"event":"vote"', b'"event":"gift"'), 3, "has event 'gift'"),
        (_edited(b'"v":1', b'"v":2'), 3, "has v 2"),
        (_edited(b'"v":1', b'"v":true'), 3, "has v True"),
        (_edited(b'"request":', b'"requesy":'), 3, "needs its request"),
        (_edited(b'{"boottime"', b'{"a":1.5,"boottime"'), 3, "1.5"),
        (_edited(b'{"boottime"', b'{"a":"\\ud800","boottime"'), 3, "surrogate"),
        (_edited(b'{"boottime"', b'{"boottime":0,"boottime"'), 3, "canonical"),
        (_edited(b"number 1", b"n\\u0075mber 1"), 3, "canonical"),
        (_edited(b"number 1", b"n\xc3\xbcmber 1"), 3, "ASCII"),
        (_edited(b"}\n", b"} \n"), 3, "canonical"),
        (_edited(b"}\n", b"}\r\n"), 3, "canonical"),
        (_edited(b"number 1", b"x" * 9000), 3, "longer than"),
        (_edited(b"number 1", b"x" * 30000), 3, "longer than"),
        (_reformed(2), 3, "canonical"),
        (lambda lines: [*lines[:2], b"\n", *lines[2:]], 3, "not ASCII JSON"),
        (lambda lines: [*lines[:2], b"[]\n", *lines[2:]], 3, "no JSON object"),
        (lambda lines: [*lines[:2], b"[" * 5000 + b"]" * 5000 + b"\n", *lines[2:]], 3, "longer than"),
        (lambda lines: [*lines[:2], b"[" * 4000 + b"]" * 4000 + b"\n", *lines[2:]], 3, "not ASCII JSON"),
        (lambda lines: [*lines[:2], lines[0], *lines[2:]], 3, "seq 3, found 1"),
        (lambda lines: [*lines, b"rubbish\n"], 7, "not ASCII JSON"),
    ],
)
def test_a_changed_log_is_told_by_its_first_wrong_line(
    tmp_path: Path, change: Callable[[list[bytes]], list[bytes]], line: int, told: str
) -> None:
    file = filled(tmp_path, 5)
    file.write_bytes(b"".join(change(lines_of(file))))

    report = verify(str(tmp_path))

    assert not report.ok
    assert report.problems[0].line == line
    assert told in str(report.problems[0])
    assert str(report.problems[0]).startswith(f"audit.1.jsonl:{line}: expected ")


def test_one_changed_line_is_one_problem(tmp_path: Path) -> None:
    file = filled(tmp_path, 20)
    for change in (_edited(b"number 1", b"number 9"), _edited(b"{", b"("), lambda lines: [*lines[:2], *lines[3:]]):
        whole = lines_of(file)
        file.write_bytes(b"".join(change(whole)))
        assert len(verify(str(tmp_path)).problems) == 1
        file.write_bytes(b"".join(whole))


def test_a_record_of_another_log_is_told(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    file, other = filled(tmp_path, 3), filled(tmp_path / "other", 3)
    before = hashlib.sha256(lines_of(file)[1]).hexdigest()
    foreign = json.loads(lines_of(other)[2]) | {"prev": before}
    line = json.dumps(foreign, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    file.write_bytes(b"".join([*lines_of(file)[:2], line]))

    report = verify(str(tmp_path))

    assert "log_id" in str(report.problems[0])


def test_a_cut_log_is_told_only_by_an_anchor(tmp_path: Path) -> None:
    file = filled(tmp_path, 5)
    head = log.head(str(tmp_path))
    file.write_bytes(b"".join(lines_of(file)[:-1]))

    assert head
    assert verify(str(tmp_path)).ok
    report = verify(str(tmp_path), [head])
    assert "expected a record 6, which an anchor names, found an end at record 5" in str(report.problems[0])


def test_every_wrong_anchor_is_told(tmp_path: Path) -> None:
    heads = [add(tmp_path) for _ in range(3)]

    report = verify(str(tmp_path), [*heads, (2, "0" * 64), (3, heads[1].sha256.upper()), (9, "1" * 64), (0, "2" * 64)])

    assert len(report.problems) == 3


def test_problems_are_counted_but_not_all_kept(tmp_path: Path) -> None:
    file = filled(tmp_path, 1)
    file.write_bytes(lines_of(file)[0] * (PROBLEMS_MAX + 20))

    report = verify(str(tmp_path))

    assert (len(report.problems), report.further) == (PROBLEMS_MAX, 19)


def test_segments_are_read_in_order_of_their_numbers(tmp_path: Path) -> None:
    for number in range(2, 12):
        add(tmp_path)
        (tmp_path / f"audit.{number}.jsonl").write_bytes(b"")
    add(tmp_path)
    (tmp_path / "audit.01.jsonl").write_bytes(b"not of the log")

    report = verify(str(tmp_path))

    assert report.ok
    assert report.records == 22


@pytest.mark.parametrize(("gone", "told"), [(1, "audit.1.jsonl: "), (2, "audit.2.jsonl: "), (3, "")])
def test_a_missing_segment_is_told_unless_it_is_the_last(tmp_path: Path, gone: int, told: str) -> None:
    for number in (2, 3):
        filled(tmp_path, 2)
        (tmp_path / f"audit.{number}.jsonl").write_bytes(b"")
    head = add(tmp_path)
    (tmp_path / f"audit.{gone}.jsonl").unlink()

    report = verify(str(tmp_path))

    assert report.ok == (gone == 3)
    assert not verify(str(tmp_path), [head]).ok
    assert str(next(iter(report.problems), "")).startswith(told)


def test_an_unfinished_end_of_an_earlier_segment_is_a_problem(tmp_path: Path) -> None:
    first = filled(tmp_path, 2)
    (tmp_path / "audit.2.jsonl").write_bytes(b"")
    add(tmp_path)
    first.write_bytes(first.read_bytes() + b'{"half')

    assert not verify(str(tmp_path)).ok


def test_a_second_genesis_in_a_segment_is_a_problem(tmp_path: Path) -> None:
    file = filled(tmp_path, 2)
    head = log.head(str(tmp_path))
    assert head
    genesis = json.loads(lines_of(file)[0]) | {"seq": head.seq + 1, "prev": head.sha256}
    file.write_bytes(file.read_bytes() + json.dumps(genesis, sort_keys=True, separators=(",", ":")).encode() + b"\n")

    assert "no genesis" in str(verify(str(tmp_path)).problems[0])


SAMPLE_TORN = b'{"boottime":12,"comm'


def _sample() -> tuple[bytes, log.Head, int]:
    """A log with a mended tear in it, its head, and where its last record begins."""
    with tempfile.TemporaryDirectory() as directory:
        file = filled(Path(directory), 3)
        file.write_bytes(file.read_bytes() + SAMPLE_TORN)
        filled(Path(directory), 3)
        head = log.head(directory)
        assert head
        content = file.read_bytes()
        return content, head, content.rfind(b"\n", 0, -1) + 1


SAMPLE, SAMPLE_HEAD, LAST_RECORD = _sample()


def _judged(content: bytes, *anchors: log.Head) -> Report:
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "audit.1.jsonl").write_bytes(content)
        return verify(directory, anchors)


def test_the_sample_is_sound() -> None:
    report = _judged(SAMPLE, SAMPLE_HEAD)
    assert report.ok
    assert report.mended == 1


def _changed(at: int, value: int) -> bytes:
    return SAMPLE[:at] + bytes([value if value != SAMPLE[at] else (value + 1) % 256]) + SAMPLE[at + 1 :]


@examples(400)
@given(at=st.integers(0, LAST_RECORD - 1), value=st.integers(0, 255) | st.sampled_from(b'\n#"{},0a '))
def test_any_changed_byte_before_the_last_record_is_detected(at: int, value: int) -> None:
    assert not _judged(_changed(at, value)).ok


@examples(300)
@given(at=st.integers(0, len(SAMPLE) - 1), value=st.integers(0, 255) | st.sampled_from(b'\n#"{},0a '))
def test_any_changed_byte_is_detected_with_an_anchor(at: int, value: int) -> None:
    assert not _judged(_changed(at, value), SAMPLE_HEAD).ok


@examples(200)
@given(st.integers(0, len(SAMPLE) - 1), st.integers(0, len(SAMPLE)), st.binary(max_size=12))
def test_any_other_change_is_detected_with_an_anchor(start: int, end: int, put: bytes) -> None:
    changed = SAMPLE[:start] + put + SAMPLE[max(start, end) :]
    if not changed.startswith(SAMPLE):
        assert not _judged(changed, SAMPLE_HEAD).ok


def _dumped(value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"


@examples(200)
@given(
    st.binary(max_size=300) | st.text().map(str.encode) | st.recursive(st.none() | st.integers(), st.lists).map(_dumped)
)
def test_verifying_anything_ends_with_a_report(content: bytes) -> None:
    assert not _judged(content).ok


def test_a_huge_line_is_read_in_constant_memory(tmp_path: Path) -> None:
    import tracemalloc

    file = filled(tmp_path, 1)
    with file.open("ab") as more:
        more.truncate(file.stat().st_size + 64 * 1024 * 1024)
    tracemalloc.start()
    report = verify(str(tmp_path))
    peak: Any = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert report.unfinished
    assert peak < 1024 * 1024
