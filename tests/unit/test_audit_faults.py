"""What append() returned from is on disk: with many writers, killed writers, limits, full and failing disks."""

from __future__ import annotations

import itertools
import mmap
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from audit import log
from audit.verify import verify
from tests.support import audit_writer
from tests.support.audit_logs import VERSION, add, filled, lines_of
from tests.support.effort import some_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WRITER = [sys.executable, "-I", "-S", "-B", audit_writer.__file__]
WAIT_S = 120
FILL_MAX = 200


def _writer(directory: Path, name: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen([*WRITER, str(directory), name, str(count)], stdout=subprocess.PIPE, text=True)


def _heads(said: str) -> list[tuple[int, str]]:
    """The heads that a writer was given; a last line may have been cut short by its end."""
    words = [line.split() for line in said.splitlines(keepends=True) if line.endswith("\n") and line[0].isdigit()]
    return [(int(seq), sha256) for seq, sha256 in words]


@pytest.mark.slow
def test_eight_writers_at_once_lose_nothing_and_never_fork_the_chain(tmp_path: Path) -> None:
    writers = [_writer(tmp_path, f"w-{number}", 40) for number in range(8)]
    heads = [_heads(writer.communicate(timeout=WAIT_S)[0]) for writer in writers]

    assert [writer.returncode for writer in writers] == [0] * 8
    assert [len(given) for given in heads] == [40] * 8
    report = verify(str(tmp_path), itertools.chain.from_iterable(heads))
    assert (report.problems, report.records, report.mended) == ((), 321, 0)


@pytest.mark.slow
def test_killed_writers_lose_nothing_they_were_told_was_logged(tmp_path: Path) -> None:
    heads = []
    for number in some_of(range(20), 6):
        writers = [_writer(tmp_path, f"w-{number}-{n}", 1000) for n in range(2)]
        _wait_for_line(writers[0])
        time.sleep(number / 1000)  # to kill it at another step each time
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
            heads += _heads(writer.communicate(timeout=WAIT_S)[0])
    heads.append(add(tmp_path))

    report = verify(str(tmp_path), heads)

    assert report.problems == ()
    assert len(heads) > 20


def _wait_for_line(writer: subprocess.Popen[str]) -> None:
    assert writer.stdout
    assert writer.stdout.readline()


def test_a_killed_holder_leaves_the_lock_free(tmp_path: Path) -> None:
    writer = _writer(tmp_path, "w", 100_000)
    _wait_for_line(writer)
    writer.send_signal(signal.SIGSTOP)
    writer.send_signal(signal.SIGKILL)
    writer.communicate(timeout=WAIT_S)

    assert add(tmp_path).seq > 1


@pytest.mark.parametrize("room", [1, 100, 300])
def test_a_short_write_is_a_failure_and_is_mended(tmp_path: Path, room: int) -> None:
    size = filled(tmp_path, 3).stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + room, limits[1]))

    said = subprocess.run(
        [*WRITER, str(tmp_path), "x" * 400, "1"], stdout=subprocess.PIPE, text=True, check=False, preexec_fn=limited
    )

    assert said.returncode == 33
    assert f"failed only {room} of " in said.stdout
    assert verify(str(tmp_path)).unfinished
    head = add(tmp_path)
    assert verify(str(tmp_path), [head]).mended == 1


def test_no_room_at_all_is_a_failure(tmp_path: Path) -> None:
    file = filled(tmp_path, 3)
    content = file.read_bytes()

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(content), len(content)))

    said = subprocess.run(
        [*WRITER, str(tmp_path), "w", "1"], stdout=subprocess.PIPE, text=True, check=False, preexec_fn=limited
    )

    assert said.stdout == f"failed cannot use the audit log {tmp_path}: File too large\n"
    assert file.read_bytes() == content


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 32 KiB with an empty directory for the log on it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = os.geteuid() == 0 and shutil.which("mount") is not None
    if mounted:
        asked = ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(disk)]
        mounted = subprocess.run(asked, check=False, stderr=subprocess.DEVNULL).returncode == 0
    if not mounted:
        pytest.skip("only root, where mounting is allowed, can make a small disk")
    try:
        (disk / "audit").mkdir()
        yield disk / "audit"
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_fails_the_append_and_loses_nothing(small_disk: Path) -> None:
    heads = _fill(small_disk)
    assert 0 < len(heads) < FILL_MAX
    for _ in range(3):
        with pytest.raises(log.AuditError, match=r"went into|No space left"):
            add(small_disk, comment="x" * 7000)

    assert verify(str(small_disk), heads).ok
    subprocess.run(["mount", "-o", "remount,size=64k", str(small_disk.parent)], check=True)
    heads.append(add(small_disk))
    report = verify(str(small_disk), heads)
    assert (report.problems, report.unfinished) == ((), None)


def _fill(directory: Path) -> list[log.Head]:
    heads: list[log.Head] = []
    try:
        while len(heads) < FILL_MAX:
            heads.append(add(directory, comment="x" * 200))
    except log.AuditError:
        pass
    return heads


def test_a_disk_full_from_the_start_fails_the_first_append(small_disk: Path) -> None:
    filler = small_disk.parent / "filler"
    with pytest.raises(OSError, match="No space"):
        filler.write_bytes(b"x" * 64 * 1024)

    with pytest.raises(log.AuditError, match="No space left"):
        add(small_disk)
    filler.unlink()
    add(small_disk)
    assert verify(str(small_disk)).ok


def test_a_read_only_disk_fails_the_append(small_disk: Path) -> None:
    head = add(small_disk)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk.parent)], check=True)

    with pytest.raises(log.AuditError, match="Read-only file system"):
        add(small_disk)
    with pytest.raises(log.AuditError, match="Read-only file system"):
        log.append_once(str(small_disk), {"event": "ended", "request": "r"}, same=("event",), since=(1, 0), version="0")
    assert log.head(str(small_disk)) == head


def test_an_append_only_file_is_enough_even_to_mend(tmp_path: Path) -> None:
    file = filled(tmp_path, 2)
    with file.open("ab") as more:
        more.write(b'{"half')
    chattr = shutil.which("chattr")
    if chattr is None or os.geteuid() != 0:
        pytest.skip("only root, with chattr, can make a file append-only")
    if subprocess.run([chattr, "+a", str(file)], check=False, stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip(f"the file system of {tmp_path} has no append-only files")
    try:
        with pytest.raises(PermissionError):
            os.truncate(file, 1)
        head = add(tmp_path)
        assert verify(str(tmp_path), [head]).mended == 1
    finally:
        subprocess.run([chattr, "-a", str(file)], check=True)


@pytest.fixture(scope="module")
def strace() -> str:
    found = shutil.which("strace")
    if found is None or subprocess.run([found, "-o", "/dev/null", "true"], check=False).returncode != 0:
        pytest.skip("no strace that may trace: the faults of single system calls are not injected")
    return found


@pytest.mark.parametrize(
    "fault",
    [
        "write:error=ENOSPC:when=1",
        "fsync:error=EIO:when=1",
        "pread64:error=EIO:when=1",
        "flock:error=ENOLCK:when=1",
        "write:signal=KILL:when=1",
        "write:signal=KILL:when=2",
        "fsync:signal=KILL:when=1",
        "flock:signal=KILL:when=1",
        "flock:signal=KILL:when=2",
    ],
)
@pytest.mark.parametrize("state", ["new", "torn"])
def test_a_fault_at_any_call_never_looks_like_success(tmp_path: Path, strace: str, fault: str, state: str) -> None:
    log_dir = tmp_path / "audit"
    log_dir.mkdir()
    if state == "torn":
        with filled(log_dir, 2).open("ab") as more:
            more.write(b'{"half')
    traced = [strace, "-o", "/dev/null", "-e", "inject=" + fault]
    said = subprocess.run(
        [*traced, *WRITER, str(log_dir), "w", "1"], stdout=subprocess.PIPE, text=True, check=False, timeout=WAIT_S
    )
    heads = _heads(said.stdout)

    assert not heads or fault.startswith("flock:signal=KILL:when=2")
    heads.append(add(log_dir))
    report = verify(str(log_dir), heads)
    assert (report.problems, report.unfinished) == ((), None)


@pytest.fixture
def ext4(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """An image, and the directory where its file system is mounted."""
    image, disk = tmp_path / "image", tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        pytest.skip("only root, with mkfs.ext4, can take a block away from under a file")
    with image.open("wb") as made:
        made.truncate(8 * 1024 * 1024)
    # Blocks that hold a small log whole: two of them need not be neighbours, and a line is looked for in one piece.
    subprocess.run(["mkfs.ext4", "-q", "-b", "4096", "-O", "^metadata_csum", str(image)], check=True)
    mount = ["mount", "-o", "loop", str(image), str(disk)]
    if subprocess.run(mount, check=False, stderr=subprocess.DEVNULL).returncode:
        pytest.skip("no loop device can be mounted here")
    try:
        yield image, disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_append_once_sees_through_a_sync_that_failed_before(ext4: tuple[Path, Path]) -> None:
    """The kernel holds a record for written that the disk never took: it must not count."""
    image, disk = ext4
    fields = {"event": "released", "request": "r-1"}
    once = partial(log.append_once, str(disk), fields, same=("event", "request"), since=(1, 0), version=VERSION)
    first = log.append(str(disk), fields, version=VERSION)
    assert once() == first
    _lose_on_disk(image, lines_of(disk / "audit.1.jsonl")[1])

    with pytest.raises(log.AuditError, match="check the disk"):
        once()
    again = once()

    report = verify(str(disk), [again])
    assert (report.problems, report.records, report.mended) == ((), 3, 1)


def test_the_next_record_goes_on_from_what_the_disk_has(ext4: tuple[Path, Path]) -> None:
    """Else it would name a record that nobody ever sees again, and stand behind a hole."""
    image, disk = ext4
    file = filled(disk, 3)
    lost = lines_of(file)[-1]
    _lose_on_disk(image, lost)
    assert lines_of(file)[-1] == lost

    head = add(disk)

    assert lost not in image.read_bytes()
    report = verify(str(disk), [head])
    assert (report.problems, report.records, report.mended) == ((), 5, 1)


def test_what_a_reader_keeps_in_the_page_cache_is_not_taken_for_what_the_disk_has(ext4: tuple[Path, Path]) -> None:
    """The kernel drops no page that somebody has mapped, as posix_fadvise(2) asks it to."""
    image, disk = ext4
    fields = {"event": "released", "request": "r-1"}
    once = partial(log.append_once, str(disk), fields, same=("event", "request"), since=(1, 0), version=VERSION)
    log.append(str(disk), fields, version=VERSION)
    line = lines_of(disk / "audit.1.jsonl")[1]
    with (disk / "audit.1.jsonl").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as reader:
        assert line in reader[:]
        _lose_on_disk(image, line)
        for append in (once, once, partial(add, disk)):
            with pytest.raises(log.AuditError, match="check the disk"):
                append()
        assert lines_of(disk / "audit.1.jsonl")[-1] == line
    with pytest.raises(log.AuditError, match="lost a record"):
        once()

    report = verify(str(disk), [once(), add(disk)])
    assert (report.problems, report.mended) == ((), 1)


def _lose_on_disk(image: Path, line: bytes) -> None:
    """Overwrite a line in the image itself, under the mounted file system's cache."""
    with image.open("r+b", buffering=0) as blocks:
        blocks.seek(image.read_bytes().index(line))
        blocks.write(b"\0" * len(line))
        os.fsync(blocks.fileno())
