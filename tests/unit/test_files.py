"""State files: written once, whole and durably, or not at all (DESIGN "On disk", threats T15, T17)."""

from __future__ import annotations

import errno
import os
import resource
import socket
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from gate.store import files
from gate.store.files import StateError, make_directory, read_json, write_json_once, write_once
from tests.support.gate_state import IS_ROOT, in_children, mode_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 16 KiB."""
    if not IS_ROOT:
        pytest.skip("mounting a small tmpfs needs root")
    path = tmp_path / "small"
    path.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "small", str(path)], check=False)
    if done.returncode != 0:
        pytest.skip("mounting a small tmpfs is not allowed here")
    yield path
    subprocess.run(["umount", str(path)], check=True)


@pytest.mark.parametrize("what", ["file", "dangling symlink"])
def test_what_has_a_name_exists(tmp_path: Path, what: str) -> None:
    if what == "file":
        (tmp_path / "a").touch()
    else:
        (tmp_path / "a").symlink_to("nowhere")

    assert files.exists(str(tmp_path / "a"))
    assert not files.exists(str(tmp_path / "b"))
    assert not files.exists(str(tmp_path / "b" / "c"))


@pytest.mark.parametrize("fault", [errno.EIO, errno.EACCES, errno.ENOMEM])
def test_what_cannot_be_told_does_not_count_as_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: int
) -> None:
    def failing(path: str) -> None:
        raise OSError(fault, os.strerror(fault), path)

    monkeypatch.setattr(os, "lstat", failing)
    with pytest.raises(StateError, match=f"cannot look for {tmp_path}: {os.strerror(fault)}"):
        files.exists(str(tmp_path))


def test_renaming_replaces_nothing_not_even_an_empty_directory(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    here = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with pytest.raises(FileExistsError):
            files.rename_without_replacing(here, "a", here, "b")
        files.rename_without_replacing(here, "a", here, "c")
    finally:
        os.close(here)
    assert sorted(os.listdir(tmp_path)) == ["b", "c"]


def test_the_first_of_many_writers_wins(tmp_path: Path) -> None:
    won = in_children(8, lambda n: write_once(str(tmp_path), "decision.json", b"writer %d" % n))

    winner = won.index(True)
    assert won.count(True) == 1
    assert (tmp_path / "decision.json").read_bytes() == b"writer %d" % winner
    assert (tmp_path / "decision.json").stat().st_nlink == 1
    assert os.listdir(tmp_path) == ["decision.json"]


def test_a_second_write_leaves_the_first_as_it_is(tmp_path: Path) -> None:
    assert write_once(str(tmp_path), "a", b"first")
    before = (tmp_path / "a").stat()

    assert not write_once(str(tmp_path), "a", b"second")
    after = (tmp_path / "a").stat()
    assert (tmp_path / "a").read_bytes() == b"first"
    assert (after.st_ino, after.st_nlink, after.st_ctime_ns) == (before.st_ino, 1, before.st_ctime_ns)


@pytest.mark.parametrize("taken", ["a symlink", "a dangling symlink", "a directory"])
def test_whatever_has_the_name_is_not_replaced(tmp_path: Path, taken: str) -> None:
    outside = tmp_path / "outside"
    if taken == "a directory":
        (tmp_path / "a").mkdir()
    else:
        (tmp_path / "a").symlink_to(outside)
    if taken == "a symlink":
        outside.write_text("theirs")

    assert not write_once(str(tmp_path), "a", b"ours")
    assert not outside.exists() or outside.read_text() == "theirs"


@pytest.mark.parametrize("umask", [0, 0o027, 0o077, 0o777])
@pytest.mark.parametrize("mode", [0o640, 0o600])
def test_mode_does_not_depend_on_the_umask(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        write_once(str(tmp_path), "a", b"", mode)
    finally:
        os.umask(before)

    assert mode_of(tmp_path / "a") == mode


@pytest.mark.parametrize("limit", [0, 1, 999])
def test_a_short_write_leaves_nothing(tmp_path: Path, limit: int) -> None:
    def fails(_n: int) -> bool:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        with pytest.raises(StateError, match="cannot write"):
            write_once(str(tmp_path), "a", b"x" * 1000)
        return True

    assert in_children(1, fails) == [True]
    assert os.listdir(tmp_path) == []


def test_a_full_disk_leaves_nothing(small: Path) -> None:
    write_once(str(small), "filler", b"x" * 12_288)

    with pytest.raises(StateError, match="No space left"):
        write_once(str(small), "a", b"x" * 8192)
    assert os.listdir(small) == ["filler"]
    assert write_once(str(small), "a", b"x")


@pytest.mark.parametrize("step", ["write", "fchmod", "fsync", "link"])
def test_a_fault_before_the_link_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def fails(*_words: object, **_named: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(os, step, fails)
        with pytest.raises(StateError, match="Input/output error"):
            write_once(str(tmp_path), "a", b"x")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("is_there", [True, False])
def test_the_name_is_durable_before_anyone_goes_on_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    """Also for who comes second: the first may have been killed between its link and its fsync."""
    if is_there:
        (tmp_path / "a").write_bytes(b"first")
    true_fsync, synced = os.fsync, []

    def fsync(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        true_fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    assert write_once(str(tmp_path), "a", b"x") is not is_there
    assert synced[-1] == str(tmp_path)


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    before = os.listdir("/proc/self/fd")
    write_once(str(tmp_path), "a", b"{}")
    write_once(str(tmp_path), "a", b"{}")
    read_json(str(tmp_path / "a"))
    for name in ("nowhere/a", "dir"):
        with pytest.raises(StateError):
            write_once(str(tmp_path), name, b"{}") if "/" in name else read_json(str(tmp_path / name))

    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_json_comes_back_as_it_went_in(tmp_path: Path) -> None:
    value = {"text": "ü\u2028\x1b", "list": [1, None, {"a": True}]}

    assert write_json_once(str(tmp_path), "a.json", value)
    assert read_json(str(tmp_path / "a.json")) == value
    assert read_json(str(tmp_path / "b.json")) is None


def fifo(path: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # a socket's path has 107 bytes at most
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path.name)
    finally:
        os.chdir(here)


def symlink(path: Path) -> None:
    path.with_name("target").write_text("{}")
    path.symlink_to("target")


def sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 2**40)


HOSTILE: dict[str, tuple[Any, str]] = {
    "fifo": (fifo, "not a regular file"),
    "socket": (a_socket, "cannot read"),
    "directory": (lambda path: path.mkdir(), "not a regular file"),
    "symlink": (symlink, "cannot read"),
    "dangling symlink": (lambda path: path.symlink_to("nowhere"), "cannot read"),
    "huge": (lambda path: path.write_bytes(b"{}" + b" " * files.STATE_FILE_MAX_BYTES), "larger than"),
    "sparse": (sparse, "larger than"),
    "empty": (lambda path: path.write_bytes(b""), "not valid JSON"),
    "half": (lambda path: path.write_bytes(b'{"a": 1'), "not valid JSON"),
    "two": (lambda path: path.write_bytes(b"{}{}"), "not valid JSON"),
    "not UTF-8": (lambda path: path.write_bytes(b'{"a": "\xff"}'), "not valid JSON"),
    "deep": (lambda path: path.write_bytes(b"[" * 200_000), "not valid JSON"),
    "long number": (lambda path: path.write_bytes(b'{"a": ' + b"9" * 5000 + b"}"), "not valid JSON"),
    "list": (lambda path: path.write_bytes(b"[]"), "no JSON object"),
    "null": (lambda path: path.write_bytes(b"null"), "no JSON object"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_something_else_is_a_state_error_at_once(tmp_path: Path, what: str) -> None:
    make, why = HOSTILE[what]
    make(tmp_path / "a.json")

    with pytest.raises(StateError, match=why) as refused:
        read_json(str(tmp_path / "a.json"))
    assert "\n" not in str(refused.value)


def test_a_file_that_may_not_be_read_is_a_state_error(tmp_path: Path) -> None:
    if IS_ROOT:
        pytest.skip("root may read everything")
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / "a.json").chmod(0)

    with pytest.raises(StateError, match="Permission denied"):
        read_json(str(tmp_path / "a.json"))


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o711, 0o2750])
@pytest.mark.parametrize("there", [None, 0o777, 0o2770])
def test_make_directory_brings_it_to_the_mode(tmp_path: Path, mode: int, there: int | None) -> None:
    if there is not None:
        (tmp_path / "a").mkdir()
        (tmp_path / "a").chmod(there)
    before = os.umask(0o777)
    try:
        make_directory(str(tmp_path / "a"), mode)
    finally:
        os.umask(before)

    assert mode_of(tmp_path / "a") == mode


@pytest.mark.parametrize("what", ["file", "symlink to a directory", "missing parent"])
def test_make_directory_refuses_what_is_no_directory(tmp_path: Path, what: str) -> None:
    path = tmp_path / ("a/b" if what == "missing parent" else "a")
    if what == "file":
        path.write_text("")
    if what == "symlink to a directory":
        path.symlink_to(tmp_path)

    with pytest.raises(StateError, match=r"not a directory of uid|cannot make"):
        make_directory(str(path), 0o700)


def test_make_directory_refuses_another_users(tmp_path: Path) -> None:
    if not IS_ROOT:
        pytest.skip("giving a directory away needs root")
    (tmp_path / "a").mkdir(mode=0o700)
    os.chown(tmp_path / "a", 20_001, -1)

    with pytest.raises(StateError, match="not a directory of uid 0"):
        make_directory(str(tmp_path / "a"), 0o755)
    assert mode_of(tmp_path / "a") == 0o700
