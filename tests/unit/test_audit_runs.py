"""What of a damaged log can still be relied on: no more than the rest of it, or an anchor, vouches for."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.anchors import Anchor
from audit.chain import Head
from audit.rotate import rotate
from audit.verify import Report, verify
from tests.support.audit_logs import VERSION, add, filled, lines_of

if TYPE_CHECKING:
    from collections.abc import Callable

WRONG = "0" * 64


def edited(at: int) -> Callable[[list[bytes]], list[bytes]]:
    return lambda lines: [line.replace(b"number", b"NUMBER") if n == at - 1 else line for n, line in enumerate(lines)]


@pytest.mark.parametrize(
    ("change", "sound"),
    [
        (lambda lines: lines, [(1, 6)]),
        (edited(6), [(1, 6)]),  # the last: nobody can know without an anchor
        (edited(3), [(1, 2), (4, 6)]),
        (lambda lines: [*lines[:2], *lines[3:]], [(1, 1), (4, 6)]),
        (lambda lines: lines[1:], [(2, 6)]),
        (lambda lines: [*lines[:2], b"spoilt\n", *lines[3:]], [(1, 1), (4, 6)]),
        (lambda lines: [*lines[:2], b"more\n", *lines[2:]], [(1, 6)]),
        (lambda lines: [*lines[:3], *lines[2:]], [(1, 2), (3, 6)]),
        (lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]], [(1, 1), (5, 6)]),
        (lambda lines: [*lines[:2], lines[4], lines[3], lines[2]], [(1, 1), (3, 3)]),
        (lambda _lines: [b"spoilt\n"], []),
    ],
)
def test_sound_ranges_leave_out_what_nothing_vouches_for(
    tmp_path: Path, change: Callable[[list[bytes]], list[bytes]], sound: list[tuple[int, int]]
) -> None:
    file = filled(tmp_path, 5)
    file.write_bytes(b"".join(change(lines_of(file))))

    assert list(verify(str(tmp_path)).sound) == sound


@pytest.mark.parametrize(
    ("changed", "right", "wrong", "sound", "vouched"),
    [
        (None, [], [], [(1, 6)], []),
        (None, [6], [], [(1, 6)], [(1, 6)]),
        (None, [2, 4], [], [(1, 6)], [(1, 4)]),
        (None, [], [6], [], []),
        (None, [4], [6], [(1, 4)], [(1, 4)]),
        (None, [6], [4], [(1, 6)], [(1, 6)]),
        (None, [2, 4, 6], [3, 5], [(1, 6)], [(1, 6)]),
        (None, [6], [9], [(1, 6)], [(1, 6)]),
        (3, [], [], [(1, 2), (4, 6)], []),
        (3, [5], [], [(1, 2), (4, 6)], [(4, 5)]),
        (3, [3], [], [(4, 6)], []),
        (3, [2, 3], [], [(1, 2), (4, 6)], [(1, 2)]),
        (3, [1, 6], [], [(1, 2), (4, 6)], [(1, 1), (4, 6)]),
        (6, [6], [], [], []),
        (6, [5, 6], [], [(1, 5)], [(1, 5)]),
    ],
)
def test_anchors_say_what_is_sound(
    changed: int | None,
    right: list[int],
    wrong: list[int],
    sound: list[tuple[int, int]],
    vouched: list[tuple[int, int]],
) -> None:
    lines, heads = _SAMPLE
    content = edited(changed)(lines) if changed else lines

    report = _verified(content, [*(heads[seq] for seq in right), *(Head(seq, WRONG) for seq in wrong)])

    assert (list(report.sound), list(report.vouched)) == (sound, vouched)
    assert [anchor.seq for anchor in report.met] == [seq for seq in right if seq != changed]


def test_a_record_of_another_log_makes_all_that_follows_from_it_unsound(tmp_path: Path) -> None:
    file = filled(tmp_path, 3)
    lines = lines_of(file)
    own = lines[1][lines[1].index(b'"log_id":"') :][:43]
    file.write_bytes(lines[0] + lines[1].replace(own, b'"log_id":"' + b"0" * 32 + b'"'))
    add(tmp_path, comment="goes on")

    assert list(verify(str(tmp_path)).sound) == []


def test_another_logs_genesis_takes_out_itself_alone_where_an_anchor_vouches_for_the_rest(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    file, other = filled(tmp_path, 5), filled(tmp_path / "other", 1)
    lines = lines_of(file)
    anchor = Anchor(6, hashlib.sha256(lines[5]).hexdigest(), "a note", json.loads(lines[5])["log_id"])
    file.write_bytes(b"".join([lines_of(other)[0], *lines[1:]]))

    report = verify(str(tmp_path), [anchor])

    assert [(problem.line, problem.expected[:6]) for problem in report.problems] == [(2, "log_id")]
    assert (report.sound, report.vouched, report.met) == (((2, 6),), ((2, 6),), (anchor,))
    assert verify(str(tmp_path)).sound == ()


def test_a_segment_of_another_log_is_told_where_it_begins_and_where_it_ends(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    for directory in (tmp_path, tmp_path / "other"):
        for _ in range(2):
            filled(directory, 2)
            rotate(str(directory), 1, version=VERSION)
    (tmp_path / "other" / "audit.2.jsonl").rename(tmp_path / "audit.2.jsonl")

    report = verify(str(tmp_path))

    told = [(problem.file, problem.line, problem.expected.split()[0]) for problem in report.problems]
    assert told == [("audit.2.jsonl", 1, "log_id"), ("audit.3.jsonl", 1, "prev")]
    assert report.sound == ((1, 2), (7, 7))


def test_ranges_are_counted_but_not_all_kept(tmp_path: Path) -> None:
    file = filled(tmp_path, 3)
    lines = lines_of(file)
    file.write_bytes(b"".join(lines[1:3] * 130))

    report = verify(str(tmp_path))

    assert (len(report.sound), report.further_sound) == (100, 30)


def _sample() -> tuple[list[bytes], dict[int, Head]]:
    with tempfile.TemporaryDirectory() as directory:
        heads = [add(Path(directory), comment=f"number {number}") for number in range(5)]
        lines = lines_of(Path(directory) / "audit.1.jsonl")
    genesis = Head(1, hashlib.sha256(lines[0]).hexdigest())
    return lines, {head.seq: head for head in [genesis, *heads]}


_SAMPLE = _sample()


def _verified(lines: list[bytes], anchors: list[Head]) -> Report:
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "audit.1.jsonl").write_bytes(b"".join(lines))
        return verify(directory, anchors)


@given(st.integers(1, 6), st.sets(st.integers(1, 6)))
def test_nothing_that_was_changed_is_called_sound_where_anything_can_tell(changed: int, anchored: set[int]) -> None:
    """Whatever record is changed: it is in no range, unless it is the last and no anchor is of it."""
    lines, heads = _SAMPLE
    content = edited(changed)(lines) if changed > 1 else [lines[0].replace(b'"host":"', b'"host":"x'), *lines[1:]]
    report = _verified(content, [heads[seq] for seq in anchored])
    inside = any(first <= changed <= last for first, last in report.sound)

    assert inside == (changed == 6 and 6 not in anchored)
