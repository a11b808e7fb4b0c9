"""A new segment goes on from the old one, whenever it is begun and whatever stops it; all who read go on over it."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from audit import copies, log
from audit.rotate import rotate
from audit.verify import verify
from tests.support.audit_logs import VERSION, add, filled, lines_of
from tests.support.gate_state import fork

if TYPE_CHECKING:
    from collections.abc import Iterator


def rotated(directory: Path, at_bytes: int = 1) -> log.Head | None:
    return rotate(str(directory), at_bytes, version=VERSION)


def mode_of(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def test_the_new_segment_begins_with_a_genesis_that_names_the_old_head(tmp_path: Path) -> None:
    first = filled(tmp_path, 3)
    content, before = first.read_bytes(), log.head(str(tmp_path))

    head = rotated(tmp_path)

    assert before
    (line,) = lines_of(tmp_path / "audit.2.jsonl")
    genesis = json.loads(line)
    assert (genesis["event"], genesis["seq"], genesis["prev"]) == ("genesis", before.seq + 1, before.sha256)
    assert head == log.head(str(tmp_path))
    assert first.read_bytes() == content
    assert (mode_of(first), mode_of(tmp_path / "audit.2.jsonl")) == (0o440, 0o640)


def test_what_is_appended_afterwards_goes_into_the_new_segment(tmp_path: Path) -> None:
    first = filled(tmp_path, 3)
    rotated(tmp_path)
    size = first.stat().st_size

    heads = [add(tmp_path) for _ in range(3)]

    assert first.stat().st_size == size
    report = verify(str(tmp_path), heads)
    assert (report.ok, report.records, report.head) == (True, 8, heads[-1])


@pytest.mark.parametrize("more", [0, 1])
def test_it_rotates_at_the_size_and_not_before(tmp_path: Path, more: int) -> None:
    size = filled(tmp_path, 3).stat().st_size

    assert (rotated(tmp_path, size + more) is None) == bool(more)


def test_a_log_that_is_not_there_yet_is_not_rotated(tmp_path: Path) -> None:
    assert rotated(tmp_path) is None
    (tmp_path / "audit.1.jsonl").touch()
    assert rotated(tmp_path, 0) is None
    with pytest.raises(log.AuditError, match="no directory"):
        rotated(tmp_path / "away")


def test_a_torn_end_is_mended_before_the_log_goes_on_elsewhere(tmp_path: Path) -> None:
    file = filled(tmp_path, 3)
    with file.open("ab") as more:
        more.write(b'{"half')

    assert rotated(tmp_path) is None
    assert not (tmp_path / "audit.2.jsonl").exists()
    add(tmp_path)
    head = rotated(tmp_path)

    assert head
    report = verify(str(tmp_path), [head])
    assert (report.ok, report.mended) == (True, 1)


def test_readers_go_on_over_a_rotation(tmp_path: Path) -> None:
    filled(tmp_path, 2)
    since = log.position(str(tmp_path))
    heads = []
    for _ in range(3):
        heads.append(add(tmp_path))
        rotated(tmp_path)
    heads.append(add(tmp_path))

    seen = [head for head, record in log.records(str(tmp_path), since) if record["event"] != "genesis"]
    places = list(log.placed_records(str(tmp_path), since))

    assert seen == heads
    assert log.head(str(tmp_path)) == heads[-1]
    assert log.position(str(tmp_path)) == (4, (tmp_path / "audit.4.jsonl").stat().st_size)
    assert [log.record_at(str(tmp_path), place)[0] for place, _, _ in places] == [head for _, head, _ in places]


def test_a_record_in_an_old_segment_still_stands_for_itself(tmp_path: Path) -> None:
    since = log.position(str(tmp_path))
    fields: dict[str, Any] = {"event": "released", "request": "r-1"}
    first = log.append(str(tmp_path), fields, version=VERSION)
    rotated(tmp_path)

    again = log.append_once(str(tmp_path), fields, same=("event", "request"), since=since, version=VERSION)

    assert again == first


def test_a_record_is_found_after_the_rotation_that_came_before_it(tmp_path: Path) -> None:
    filled(tmp_path, 2)
    since = log.position(str(tmp_path))
    rotated(tmp_path)
    fields: dict[str, Any] = {"event": "released", "request": "r-1"}
    first = log.append(str(tmp_path), fields, version=VERSION)

    assert log.append_once(str(tmp_path), fields, same=("event", "request"), since=since, version=VERSION) == first


def test_who_may_not_write_an_old_segment_any_more_goes_on_all_the_same() -> None:
    """A gate that is not root is bound by the mode."""
    with tempfile.TemporaryDirectory() as name:
        directory, uid = Path(name), os.geteuid() or 4242
        os.chown(directory, uid, -1)
        child = fork(lambda: _goes_on_as(uid, directory))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 33


def _goes_on_as(uid: int, directory: Path) -> bool:
    os.setuid(uid)
    test_a_record_in_an_old_segment_still_stands_for_itself(directory)
    with pytest.raises(PermissionError):
        (directory / "audit.1.jsonl").open("ab")
    (directory / "audit.2.jsonl").write_bytes(b"")  # as a crash leaves it
    return verify(str(directory), [add(directory)]).ok


@pytest.mark.slow
def test_a_rotation_that_was_stopped_anywhere_is_gone_on_with(tmp_path: Path) -> None:
    """A process that ends at any call of os: before it, after it, and with half of what it writes."""
    reached = 0
    for call in range(100):
        for step in ("before", "after", "half"):
            directory = tmp_path / f"{call}-{step}"
            directory.mkdir()
            filled(directory, 2)
            before = log.head(str(directory))
            child = fork(lambda directory=directory, call=call, step=step: _stopped_at(directory, call, step))  # type: ignore[misc]
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            assert code in (33, 36)
            reached += code == 36
            assert before
            assert verify(str(directory), [before]).problems == ()
            heads = [before, add(directory), rotated(directory), add(directory)]
            report = verify(str(directory), [head for head in heads if head])
            assert (report.problems, report.unfinished) == ((), None)
        if code == 33:
            break
    assert reached > 20


def _stopped_at(directory: Path, call: int, step: str) -> bool:
    calls = iter(range(1000))

    def around(name: str, function: Any) -> Any:
        def stopping(*args: Any, **kwargs: Any) -> Any:
            here = next(calls) == call
            if here and step == "half" and name == "write":
                function(args[0], args[1][: len(args[1]) // 2])
            if here and step != "after":
                os._exit(36)
            result = function(*args, **kwargs)
            if here:
                os._exit(36)
            return result

        return stopping

    for name in ("open", "close", "write", "fsync", "fchmod", "pread", "fstat", "listdir", "stat", "posix_fadvise"):
        setattr(os, name, around(name, getattr(os, name)))
    return rotated(directory) is not None


@pytest.fixture
def append_only(tmp_path: Path) -> Iterator[Path]:
    """A log whose first segment and directory are under chattr +a."""
    chattr, directory = shutil.which("chattr"), tmp_path / "audit"
    directory.mkdir()
    file = filled(directory, 2)
    if chattr is None or os.geteuid() != 0:
        pytest.skip("only root, with chattr, can make a file append-only")
    if subprocess.run([chattr, "+a", str(file)], check=False, stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip(f"the file system of {tmp_path} has no append-only files")
    try:
        subprocess.run([chattr, "+a", str(directory)], check=True)
        yield directory
    finally:
        subprocess.run([chattr, "-a", str(directory), str(file)], check=True)


def test_an_append_only_segment_keeps_its_mode_and_the_log_goes_on(append_only: Path) -> None:
    head = rotated(append_only)

    assert head
    assert mode_of(append_only / "audit.1.jsonl") == 0o640
    assert verify(str(append_only), [head, add(append_only)]).ok


def test_an_append_only_directory_is_enough_for_all_that_the_gate_does(append_only: Path) -> None:
    for copy_to in ("syslog", "journald", None):
        copies.keep_in_step(str(append_only), copy_to)
    add(append_only)

    with pytest.raises(PermissionError):
        (append_only / "audit.1.jsonl").rename(append_only / "away")
    with pytest.raises(PermissionError):
        (append_only / "audit.1.jsonl").unlink()


def test_a_segment_that_a_crash_kept_writable_is_made_read_only_next_time(tmp_path: Path) -> None:
    first = filled(tmp_path, 2)
    rotated(tmp_path)
    first.chmod(0o640)
    add(tmp_path)

    rotated(tmp_path)

    assert [mode_of(tmp_path / f"audit.{number}.jsonl") for number in (1, 2, 3)] == [0o440, 0o440, 0o640]
