"""Letting go of old segments: what is left verifies and says where it begins, and nothing else may be missing."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from audit import log, retention, segments
from audit.anchors import Anchor
from audit.rotate import rotate
from audit.verify import verify
from gate.store import layout
from gate.upkeep import sweep
from tests.support.audit_logs import VERSION, add, filled, lines_of
from tests.support.gate_state import DAY_S, end_before_call, fork, made, open_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

START_S = 1_790_000_000
LONG_AGO = retention.Limits(-60, START_S * 2, lambda: 99)  # everything is old


def grown(directory: Path, days: int, clock: list[float]) -> list[log.Head]:
    """A log with a segment for each day, of one record besides its genesis."""
    heads = []
    for _ in range(days):
        heads.append(add(directory))
        clock[0] += DAY_S
        rotate(str(directory), 1, version=VERSION)
    return heads


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the log takes for the time."""
    now = [float(START_S)]
    monkeypatch.setattr("audit.log.time.time_ns", lambda: int(now[0] * 1e9))
    return now


def numbers(directory: Path) -> list[int]:
    return segments.numbers(str(directory))


def rotated(directory: Path, keep_days: float, now_s: float, needed: int = 99) -> None:
    limits = retention.Limits(keep_days * DAY_S, now_s, lambda: needed)
    assert rotate(str(directory), 1, version=VERSION, limits=limits)
    retention.let_go(str(directory))


# Segment n begins on day n - 1; the last there is before the rotation is 6, of day 5, and now it is day 6.
KEPT: dict[str, tuple[float, float, int, list[int]]] = {
    "nothing is old": (30, 6, 99, [1, 2, 3, 4, 5, 6, 7]),
    "some is": (2.5, 6, 99, [4, 5, 6, 7]),
    "to the second it is not yet": (3, 6, 99, [3, 4, 5, 6, 7]),
    "all is, but two always stay": (0, 7, 99, [6, 7]),
    "a request points into it": (2.5, 6, 2, [2, 3, 4, 5, 6, 7]),
    "a request points into the first": (2.5, 6, 1, [1, 2, 3, 4, 5, 6, 7]),
    "the clock jumped ahead a year": (2.5, 371, 99, [4, 5, 6, 7]),
    "the clock went back a year": (2.5, -360, 99, [1, 2, 3, 4, 5, 6, 7]),
}


@pytest.mark.parametrize("case", KEPT)
def test_what_is_kept(tmp_path: Path, clock: list[float], case: str) -> None:
    keep_days, now_day, needed, left = KEPT[case]
    heads = grown(tmp_path, 5, clock)
    heads.append(add(tmp_path, comment="of day 5"))
    clock[0] += DAY_S
    add(tmp_path, comment="of day 6")

    rotated(tmp_path, keep_days, START_S + now_day * DAY_S, needed)

    assert numbers(tmp_path) == left
    report = verify(str(tmp_path), heads)
    assert (report.problems, report.kept_from) == ((), report.first if left[0] > 1 else None)
    first = json.loads(lines_of(tmp_path / segments.name(left[0]))[0])
    assert report.first == first["seq"]
    assert [anchor.seq for anchor in report.unknown] == [head.seq for head in heads if head.seq < report.first - 1]
    assert report.head == log.head(str(tmp_path))
    assert verify(str(tmp_path), [add(tmp_path)]).ok


def test_a_segment_from_before_its_time_by_a_wrong_clock_is_kept(tmp_path: Path, clock: list[float]) -> None:
    """A host that booted without a clock stamped a genesis 1970; what is before it is of last week."""
    add(tmp_path)
    clock[0], right_s = 0.0, clock[0]
    rotate(str(tmp_path), 1, version=VERSION)
    clock[0] = right_s
    grown(tmp_path, 2, clock)
    add(tmp_path)

    rotated(tmp_path, 100, clock[0])
    assert numbers(tmp_path)[0] == 1


def test_it_goes_on_letting_go_also_of_the_segments_that_say_so(tmp_path: Path, clock: list[float]) -> None:
    grown(tmp_path, 4, clock)
    for _ in range(12):
        add(tmp_path)
        clock[0] += DAY_S
        rotated(tmp_path, 1, clock[0])
        assert verify(str(tmp_path)).ok
    add(tmp_path)
    assert rotate(str(tmp_path), 1, version=VERSION)  # with a `keep` that was made longer
    retention.let_go(str(tmp_path))
    report = verify(str(tmp_path))
    assert (report.ok, numbers(tmp_path)[0] > 10, report.kept_from) == (True, True, report.first)


@pytest.fixture
def let_go(tmp_path: Path, clock: list[float]) -> tuple[Path, list[log.Head]]:
    """A log that begins with segment 4 of 7; and its heads from the beginning."""
    heads = grown(tmp_path, 5, clock)
    add(tmp_path)
    clock[0] += DAY_S
    heads.append(add(tmp_path))
    rotated(tmp_path, 2.5, clock[0])
    heads.append(add(tmp_path))
    assert numbers(tmp_path) == [4, 5, 6, 7]
    return tmp_path, heads


def _rewritten(directory: Path, number: int, at: int, change: Callable[[Any], Any]) -> None:
    """A record in other words, and all that follow it written anew: what only an anchor could tell."""
    before = ""
    for each in [n for n in numbers(directory) if n >= number]:
        file = directory / segments.name(each)
        lines = []
        for line_number, line in enumerate(lines_of(file)):
            record = json.loads(line)
            if each == number and line_number == at:
                change(record)
            record["prev"] = before or record["prev"]
            lines.append(json.dumps(record, sort_keys=True, separators=(",", ":")).encode() + b"\n")
            before = hashlib.sha256(lines[-1]).hexdigest() if before or (each, line_number) >= (number, at) else ""
        file.chmod(0o640)
        file.write_bytes(b"".join(lines))


def _says(change: Callable[[Any], Any]) -> Callable[[Path], None]:
    return lambda directory: _rewritten(directory, 7, 0, change)


def _only_a_vote_says_so(directory: Path) -> None:
    _rewritten(directory, 7, 1, lambda record: record.update(kept_from={"segment": 4, "seq": 7}))
    _rewritten(directory, 7, 0, lambda record: record.pop("kept_from"))


def _numbered_from_1(directory: Path) -> None:
    for number in (4, 5, 6, 7):
        (directory / segments.name(number)).rename(directory / segments.name(number - 3))


def _without_its_genesis(directory: Path) -> None:
    file = directory / "audit.4.jsonl"
    file.chmod(0o640)
    file.write_bytes(b"".join(lines_of(file)[1:]))


def _emptied(directory: Path) -> None:
    (directory / "audit.4.jsonl").chmod(0o640)
    (directory / "audit.4.jsonl").write_bytes(b"")


SAYS_NOTHING = "this segment, or a genesis that says it need not be kept"
TAMPERED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "one more segment is gone": (lambda d: os.unlink(d / "audit.4.jsonl"), SAYS_NOTHING),
    "its genesis is gone": (_without_its_genesis, "a genesis as"),
    "its first segment is empty": (_emptied, "seq 1"),
    "a segment in the midst is gone": (lambda d: os.unlink(d / "audit.5.jsonl"), "this segment"),
    "the segment that says so is gone": (lambda d: os.unlink(d / "audit.7.jsonl"), SAYS_NOTHING),
    "it says so no more": (_says(lambda r: r.pop("kept_from")), SAYS_NOTHING),
    "it says so of an earlier one": (_says(lambda r: r["kept_from"].update(segment=3)), SAYS_NOTHING),
    "it says so of itself": (_says(lambda r: r["kept_from"].update(segment=7)), SAYS_NOTHING),
    "it says so of itself, rightly": (
        _says(lambda r: r.update(kept_from={"segment": 7, "seq": r["seq"]})),
        SAYS_NOTHING,
    ),
    "it says another seq": (_says(lambda r: r["kept_from"].update(seq=6)), SAYS_NOTHING),
    "it says it oddly": (_says(lambda r: r.update(kept_from=[4, 7])), SAYS_NOTHING),
    "it says true": (_says(lambda r: r["kept_from"].update(segment=True)), SAYS_NOTHING),
    "only a vote says so": (_only_a_vote_says_so, SAYS_NOTHING),
    "they are numbered from 1": (_numbered_from_1, "seq 1"),
}


@pytest.mark.parametrize("case", TAMPERED)
def test_tampering_is_not_taken_for_letting_go(let_go: tuple[Path, list[log.Head]], case: str) -> None:
    directory, _heads = let_go
    change, told = TAMPERED[case]
    assert verify(str(directory)).ok
    change(directory)

    report = verify(str(directory))
    assert not report.ok
    assert any(problem.expected.startswith(told) for problem in report.problems), report.problems


def test_what_was_cut_is_named_from_where_the_log_says_that_it_is_kept(let_go: tuple[Path, list[log.Head]]) -> None:
    directory, _heads = let_go
    os.unlink(directory / "audit.4.jsonl")

    (problem,) = verify(str(directory)).problems

    assert (problem.file, problem.found) == ("audit.4.jsonl", "only audit.5.jsonl after it")


def test_a_reader_that_is_overtaken_goes_on_with_what_is_left(
    let_go: tuple[Path, list[log.Head]], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, heads = let_go
    real, left, stale = segments.numbers, numbers(directory), [*range(1, 8)]
    assert left[0] > 1
    listed = iter([stale])
    monkeypatch.setattr("audit.segments.numbers", lambda place: next(listed, None) or real(place))

    report = verify(str(directory), heads[-1:])
    assert (report.ok, report.met[0][:2]) == (True, heads[-1])
    for read in (lambda: list(log.records(str(directory))), lambda: log.newest(str(directory), 99)):
        listed = iter([stale])
        assert read()[-1][-2].seq == heads[-1].seq

    os.unlink(directory / segments.name(left[1]))
    listed = iter([left])
    with pytest.raises(log.AuditError, match="No such file"):
        verify(str(directory))


def test_an_anchor_of_what_was_let_go_says_nothing_and_one_beside_it_does(let_go: tuple[Path, list[log.Head]]) -> None:
    directory, heads = let_go
    first = verify(str(directory)).first
    old = heads[0]
    assert old.seq < first - 1

    report = verify(str(directory), [old])
    assert (report.ok, report.met, [anchor[:2] for anchor in report.unknown]) == (True, (), [old])
    for wrong in (Anchor(old.seq, old.sha256, "x", "f" * 32), Anchor(0, "0" * 64), Anchor(first - 1, "0" * 64)):
        assert not verify(str(directory), [wrong]).ok, wrong
    genesis = json.loads(lines_of(directory / "audit.4.jsonl")[0])
    beside = Anchor(first - 1, genesis["prev"])
    assert verify(str(directory), [beside, heads[-1]]).met == (beside, Anchor(*heads[-1]))


def test_what_was_not_removed_yet_is_verified_too(let_go: tuple[Path, list[log.Head]], tmp_path_factory: Any) -> None:
    directory, heads = let_go
    copy = tmp_path_factory.mktemp("copy")
    shutil.copytree(directory, copy, dirs_exist_ok=True)
    monkey = pytest.MonkeyPatch()
    monkey.setattr(os, "unlink", _forbidden)
    add(directory)
    rotate(str(directory), 1, version=VERSION, limits=LONG_AGO)
    retention.let_go(str(directory))
    monkey.undo()

    report = verify(str(directory), heads[-1:])
    assert (report.ok, numbers(directory)[0]) == (True, 4)
    assert report.kept_from
    assert report.kept_from > report.first


def _forbidden(*_: object, **__: object) -> None:
    raise PermissionError(1, "Operation not permitted")


@pytest.mark.slow
def test_letting_go_that_was_stopped_anywhere_is_gone_on_with(tmp_path: Path) -> None:
    """A process that ends before any of its calls of os."""
    reached = 0
    for call in range(200):
        directory = tmp_path / str(call)
        directory.mkdir()
        for _ in range(4):
            filled(directory, 2)
            rotate(str(directory), 1, version=VERSION)
        before = add(directory)
        child = fork(lambda directory=directory, call=call: _stopped_at(directory, call))  # type: ignore[misc]
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in (33, 36)
        assert verify(str(directory), [before]).problems == ()
        retention.let_go(str(directory))
        head = add(directory)
        rotate(str(directory), 1, version=VERSION, limits=LONG_AGO)
        retention.let_go(str(directory))
        assert verify(str(directory), [before, head]).problems == ()
        assert len(numbers(directory)) == 2
        if code == 33:
            break
        reached += 1
    assert reached > 20


def _stopped_at(directory: Path, at: int) -> bool:
    end_before_call(at, "open", "write", "fsync", "fchmod", "unlink", "listdir", "pread")
    rotate(str(directory), 1, version=VERSION, limits=LONG_AGO)
    retention.let_go(str(directory))
    return True


@pytest.fixture
def append_only(tmp_path: Path) -> Iterator[Path]:
    """A log whose directory is under chattr +a."""
    chattr, directory = shutil.which("chattr"), tmp_path / "audit"
    directory.mkdir()
    filled(directory, 2)
    if chattr is None or os.geteuid() != 0:
        pytest.skip("only root, with chattr, can make a file append-only")
    if subprocess.run([chattr, "+a", str(directory)], check=False, stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip(f"the file system of {tmp_path} has no append-only files")
    try:
        yield directory
    finally:
        subprocess.run([chattr, "-a", str(directory)], check=True)


def test_what_is_append_only_stays_without_a_fault(append_only: Path) -> None:
    for _ in range(3):
        add(append_only)
        assert rotate(str(append_only), 1, version=VERSION, limits=LONG_AGO)
        retention.let_go(str(append_only))

    report = verify(str(append_only))
    assert (report.ok, numbers(append_only), report.first) == (True, [1, 2, 3, 4], 1)
    assert report.kept_from == json.loads(lines_of(append_only / "audit.3.jsonl")[0])["seq"]


def test_a_sweep_lets_go_of_nothing_that_a_request_points_into(tmp_path: Path) -> None:
    policy = made(tmp_path / "state", audit={"rotate_at_bytes": 1, "copy_to": None})
    policy["keep"] = {"requests_s": 400 * DAY_S, "log_s": -60}
    directory = Path(layout.audit(policy["state_dir"]))
    add(directory)
    assert sweep.sweep(policy, "own") == []
    request = open_request(policy, boot_id="another")  # which the next sweep ends
    for _ in range(3):
        add(directory)
        assert sweep.sweep(policy, "own") == []
    assert numbers(directory)[0] == request.opened["log_position"][0] == 2
    shutil.rmtree(request.directory)
    add(directory)
    assert sweep.sweep(policy, "own") == []
    assert numbers(directory) == [5, 6]
    assert verify(str(directory)).ok


def test_a_request_that_cannot_be_read_keeps_the_whole_log(tmp_path: Path) -> None:
    policy = made(tmp_path / "state", audit={"rotate_at_bytes": 1, "copy_to": None})
    policy["keep"] = {"requests_s": 400 * DAY_S, "log_s": -60}
    directory = Path(layout.audit(policy["state_dir"]))
    Path(layout.make_job(policy, "git.example-42-1"), "request.json").write_text("{", encoding="utf-8")
    for _ in range(4):
        add(directory)
        assert any("request.json is not valid JSON" in fault for fault in sweep.sweep(policy, "own"))
    assert numbers(directory) == [1, 2, 3, 4, 5]
