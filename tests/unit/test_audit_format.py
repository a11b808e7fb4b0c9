"""The format: a verifier that was written from its page alone and ours agree, and no honest log is ever doubted."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.record import EVENTS, REQUEST_EVENTS, UnsoundError, decode
from audit.rotate import rotate
from audit.verify import verify
from tests.support import page_verifier
from tests.support.audit_logs import VERSION, add, filled
from tests.support.audit_mutations import CHANGES, SPELLINGS, changed, honest
from tests.support.effort import examples, rounds, some_of

if TYPE_CHECKING:
    from audit.chain import Head

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "audit-log.md"
LOGS = rounds(1000, 300)


@pytest.fixture
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand logs need no disk."""
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)


@pytest.mark.slow
@pytest.mark.usefixtures("unsynced")
def test_our_verifier_and_the_page_s_agree_on_a_thousand_logs() -> None:
    dice, verdicts, seen = random.Random(20261124), [], set()
    for _ in range(LOGS):
        with tempfile.TemporaryDirectory() as name:
            heads = honest(Path(name), dice)
            seen.add(changed(Path(name), dice) if dice.random() < 0.6 else "none")
            anchors = dice.sample(heads, dice.randint(0, len(heads)))
            ours, theirs = verify(name, anchors), page_verifier.is_right(Path(name), [(*anchor,) for anchor in anchors])
            assert ours.ok == theirs, (ours.problems, _contents(name))
            verdicts.append(theirs)
    assert seen == set(CHANGES)
    assert LOGS * 0.35 < verdicts.count(True) < LOGS * 0.65


def _contents(directory: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(directory).glob("*.jsonl")}


@pytest.mark.slow
@pytest.mark.usefixtures("unsynced")
def test_a_thousand_honest_logs_raise_no_alarm() -> None:
    dice, let_go = random.Random(4711), 0
    for _ in range(LOGS):
        with tempfile.TemporaryDirectory() as name:
            heads = honest(Path(name), dice)
            report = verify(name, heads)
            assert (report.problems, report.unfinished) == ((), None)
            assert report.sound == ((report.first, heads[-1].seq),)
            kept = [head for head in heads if head.seq >= report.first - 1]
            assert ([anchor[:2] for anchor in report.met], [anchor[:2] for anchor in report.unknown]) == (
                kept,
                [head for head in heads if head not in kept],
            )
            let_go += report.first > 1
    assert let_go > LOGS / 20


@pytest.mark.usefixtures("unsynced")
@pytest.mark.parametrize("number", range(len(SPELLINGS)))
def test_the_two_agree_on_each_spelling_of_a_record(tmp_path: Path, number: int) -> None:
    file = filled(tmp_path, 2)
    lines = file.read_bytes().splitlines(keepends=True)
    spelt = SPELLINGS[number](lines[-1])
    file.write_bytes(b"".join([*lines[:-1], spelt]))

    assert _is_record(spelt) == (page_verifier.record_in(spelt) is not None)
    assert verify(str(tmp_path)).ok == page_verifier.is_right(tmp_path, [])


def _is_record(line: bytes) -> bool:
    try:
        decode(line)
    except UnsoundError:
        return False
    return True


RECORD = b'{"boottime":5,"comment":"x","event":"vote","host":"h","log_id":"%s","prev":"%s","request":"r","seq":7,"time":"2026-11-24T01:43:41.123Z","v":1,"version":"0"}\n' % (b"a" * 32, b"0" * 64)  # fmt: skip
PIECES = [b'"', b"\\", b"\\u00e9", b"\\ud83d", b"\\ude00", b"\\/", b"{", b"}", b"[", b"]", b",", b":", b" ", b"-0", b"1.0", b"1e1", b"00", b"\x7f",
          b"\xff", b"\t", b"true", b"null", b"9007199254740992", b'"v":1,', b'"a":1,', b'"zz":1', b"\\n", b"#", b"\n"]  # fmt: skip


@examples(600)
@given(
    st.lists(
        st.tuples(st.integers(0, len(RECORD)), st.integers(0, 3), st.sampled_from(PIECES) | st.binary(max_size=3)),
        max_size=3,
    )
)
def test_what_is_a_record_is_so_by_the_page_too_and_nothing_else(changes: list[tuple[int, int, bytes]]) -> None:
    line = RECORD
    for at, gone, put in changes:
        line = line[:at] + put + line[at + gone :]

    assert _is_record(line) == (page_verifier.record_in(line) is not None)


def test_the_page_names_every_event() -> None:
    text = PAGE.read_text(encoding="utf-8")
    (events,) = re.findall(r"^\| `event` \| `([a-z -]+)` \|$", text, re.MULTILINE)
    (of_requests,) = re.findall(r"^\| `request` \|.*Always in `([a-z -]+)` \|$", text, re.MULTILINE)

    assert (sorted(events.split()), sorted(of_requests.split())) == (sorted(EVENTS), sorted(REQUEST_EVENTS))


def test_the_page_s_verifier_is_a_command_of_its_own(tmp_path: Path) -> None:
    heads = [add(tmp_path) for _ in range(2)]
    command = [sys.executable, "-I", page_verifier.__file__, str(tmp_path)]
    right = subprocess.run([*command, f"{heads[1].seq}:{heads[1].sha256}"], capture_output=True, text=True, check=False)
    wrong = subprocess.run([*command, f"{heads[1].seq}:{heads[0].sha256}"], capture_output=True, text=True, check=False)

    assert (right.returncode, right.stdout, wrong.returncode, wrong.stdout) == (0, "right\n", 1, "wrong\n")


def _tear(file: Path, torn: bytes) -> None:
    with file.open("ab") as target:
        target.write(torn)


@pytest.fixture
def sample(tmp_path: Path) -> tuple[Path, dict[str, bytes], Head]:
    """Two segments, with a mended tear in each."""
    directory = tmp_path / "sample"
    directory.mkdir()
    add(directory, comment="one")
    _tear(directory / "audit.1.jsonl", b'{"half')
    add(directory, comment="two")
    rotate(str(directory), 1, version=VERSION)
    _tear(directory / "audit.2.jsonl", b"torn\nagain")
    head = add(directory, comment="three")
    (directory / "audit.1.jsonl").chmod(0o640)
    return directory, _contents(str(directory)), head


@pytest.mark.slow
def test_every_changed_byte_is_detected_given_an_anchor(sample: tuple[Path, dict[str, bytes], Head]) -> None:
    directory, contents, head = sample
    for name, content in contents.items():
        changes = [
            (at, value) for at, byte in enumerate(content) for value in {byte ^ 1, byte ^ 32, 10, 35, 48} - {byte}
        ]
        for at, value in some_of(changes, 500):
            (directory / name).write_bytes(content[:at] + bytes([value]) + content[at + 1 :])
            assert not verify(str(directory), [head]).ok, (name, at, value)
        (directory / name).write_bytes(content)
    assert verify(str(directory), [head]).ok


@pytest.mark.slow
def test_every_cut_swap_and_doubled_line_is_detected_given_an_anchor(
    sample: tuple[Path, dict[str, bytes], Head],
) -> None:
    directory, contents, head = sample
    for name, content in contents.items():
        lines = content.splitlines(keepends=True)
        count = len(lines)
        others = [b"".join(lines[:at] + lines[at + 1 :]) for at in range(count)]
        others += [b"".join([*lines[:at], lines[at], *lines[at:]]) for at in range(count)]
        others += [b"".join(_swap(lines, one, two)) for one in range(count) for two in range(one)]
        others += [content[:at] for at in some_of(range(len(content)), 200)]
        others += [content[at:] for at in some_of(range(1, len(content)), 200)]
        for other in others:
            (directory / name).write_bytes(other)
            assert not verify(str(directory), [head]).ok, (name, other)
        (directory / name).write_bytes(content)


def _swap(lines: list[bytes], one: int, two: int) -> list[bytes]:
    swapped = list(lines)
    swapped[one], swapped[two] = swapped[two], swapped[one]
    return swapped


@pytest.mark.parametrize("name", ["audit.1.jsonl", "audit.2.jsonl", "both"])
def test_a_replaced_file_is_detected_given_an_anchor(
    sample: tuple[Path, dict[str, bytes], Head], tmp_path: Path, name: str
) -> None:
    _directory, contents, head = sample
    filled(tmp_path, 6)
    rotate(str(tmp_path), 1, version=VERSION)
    filled(tmp_path, 6)
    for kept in {"both": [], "audit.1.jsonl": ["audit.2.jsonl"], "audit.2.jsonl": ["audit.1.jsonl"]}[name]:
        (tmp_path / kept).chmod(0o640)
        (tmp_path / kept).write_bytes(contents[kept])

    assert verify(str(tmp_path)).ok == (name == "both")
    assert not verify(str(tmp_path), [head]).ok
