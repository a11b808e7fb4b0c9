"""Every way in which a drop is judged (threats T9, T15 to T17)."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.model.words import ascii_json_bytes
from gate.store import files
from gate.votes import drop_file
from tests.support.gate_state import IS_ROOT, UIDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

UID = UIDS["alice"]
NAME = "1001.approve"


class Box:
    """drop/alice/ with descriptors on it, on drop/ and on turned-away/."""

    def __init__(self, base: Path) -> None:
        self.root_path, self.away = base / "drop", base / "turned-away"
        self.own = self.root_path / "alice"
        self.own.mkdir(parents=True)
        self.own.chmod(0o700)
        os.chown(self.own, UID, -1)
        self.away.mkdir(mode=0o700)
        self.root, self.into = (os.open(path, os.O_RDONLY | os.O_DIRECTORY) for path in (self.root_path, self.away))
        self.directory = os.open(self.own, os.O_RDONLY | os.O_DIRECTORY)

    def put(self, content: bytes = b"go ahead\n", name: str = NAME) -> Path:
        path = self.own / name
        path.write_bytes(content)
        os.chown(path, UID, -1)
        return path

    def read(self, name: str = NAME) -> Any:
        return drop_file.read(self.directory, name, UID)


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)  # as prepare does: a lease that is broken sends it
    box = Box(tmp_path)
    yield box
    for descriptor in (box.root, box.into, box.directory):
        os.close(descriptor)
    signal.signal(signal.SIGIO, before)


def pass_time(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setattr(drop_file, "time", SimpleNamespace(time=lambda: time.time() + seconds))


def test_a_closed_file_is_ready(box: Box) -> None:
    path = box.put("  geh vor, 进 👍 \n".encode())

    reading = box.read()
    assert (reading.state, reading.text, reading.why) == ("ready", "geh vor, 进 👍", "")
    assert reading.file.st_ino == path.stat().st_ino


def test_nothing_there_is_gone(box: Box) -> None:
    assert box.read() == ("gone", "", "", None)


ITS_OWNERS = sorted(
    set(errno.errorcode) - {*drop_file.HOSTS_OWN, errno.ENOENT, errno.EWOULDBLOCK, errno.EACCES, errno.EPERM}
)


def failing_at(monkeypatch: pytest.MonkeyPatch, holder: Any, name: str, fault: int) -> None:
    """Have the next such call fail."""
    true = getattr(holder, name)

    def failing(*_words: Any, **_named: Any) -> int:
        monkeypatch.setattr(holder, name, true)
        raise OSError(fault, os.strerror(fault))

    monkeypatch.setattr(holder, name, failing)


CALLS = [(drop_file, "open_beneath"), (os, "open"), (os, "read")]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("fault", drop_file.HOSTS_OWN)
def test_where_the_process_has_nothing_left_that_is_raised(
    box: Box, monkeypatch: pytest.MonkeyPatch, call: tuple[Any, str], fault: int
) -> None:
    box.put()
    failing_at(monkeypatch, *call, fault)
    with pytest.raises(OSError, match=os.strerror(fault)):
        box.read()
    assert box.read().state == "ready"


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("fault", ITS_OWNERS)
def test_any_other_error_is_its_owners_and_the_file_stays(
    box: Box, monkeypatch: pytest.MonkeyPatch, call: tuple[Any, str], fault: int
) -> None:
    box.put()
    failing_at(monkeypatch, *call, fault)
    with pytest.raises(drop_file.DropError):
        box.read()
    assert box.read().state == "ready"


def a_socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # a socket's path has 107 bytes at most
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path.name)
    finally:
        os.chdir(here)


def symlink(path: Path) -> None:
    path.with_name("1001.reject").write_text("fine")
    os.chown(path.with_name("1001.reject"), UID, -1)
    path.symlink_to("1001.reject")


NOT_REGULAR: dict[str, Any] = {
    "fifo": os.mkfifo,
    "socket": a_socket,
    "directory": lambda path: path.mkdir(),
    "symlink": symlink,
    "dangling symlink": lambda path: path.symlink_to("nowhere"),
    "symlink to itself": lambda path: path.symlink_to(NAME),
    "symlink to a secret": lambda path: path.symlink_to("/etc/shadow"),
}


@pytest.mark.parametrize("what", NOT_REGULAR)
def test_what_is_not_a_regular_file_is_bad_and_can_be_moved_away(box: Box, what: str) -> None:
    NOT_REGULAR[what](box.own / NAME)
    os.lchown(box.own / NAME, UID, -1)

    reading = box.read()
    assert (reading.state, reading.text, reading.why) == ("bad", "", "not a regular file")
    assert drop_file.take(box.directory, NAME, reading.file, box.into, "ours")
    assert os.listdir(box.away) == ["ours"]


def test_a_device_is_bad(box: Box) -> None:
    if not IS_ROOT:
        pytest.skip("making a device needs root")
    try:
        os.mknod(box.own / NAME, 0o20600, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("making a device is not allowed here")
    os.chown(box.own / NAME, UID, -1)

    assert box.read().why == "not a regular file"


CONTENTS = [
    (b"", "ready", ""),
    (b" \n\t\n", "ready", ""),
    (b"x" * 1000, "ready", ""),
    (b"\n" + b"x" * 1000 + b"\n", "ready", ""),
    (b"x" * 1001, "bad", "its comment has 1001 characters, more than 1000"),
    (("ä" * 833).encode(), "ready", ""),
    (("ä" * 834).encode(), "bad", "its comment needs more than 5000 bytes in the audit log; write less"),
    (("👍" * 416).encode(), "ready", ""),
    (("👍" * 417).encode(), "bad", "its comment needs more than 5000 bytes in the audit log; write less"),
    (("👍" * 363 + '"' * 637).encode(), "bad", "its comment needs more than 5000 bytes in the audit log; write less"),
    (b" " * (16 * 1024), "ready", ""),
    (b" " * (16 * 1024 + 1), "bad", "is larger than 16 KiB"),
    (b"x" * 1_000_000, "bad", "is larger than 16 KiB"),
    (b"\xff", "bad", "is not UTF-8 text"),
    (b"caf\xe9", "bad", "is not UTF-8 text"),
    (b"\xed\xa0\x80", "bad", "is not UTF-8 text"),
    (b"\xf0\x9f\x91", "bad", "is not UTF-8 text"),
    (b"\xff\xfeo\0k\0", "bad", "is not UTF-8 text"),
    (b"go\0ahead", "bad", "its comment holds a NUL character"),
    (b"\0", "bad", "its comment holds a NUL character"),
]


@pytest.mark.parametrize(("content", "state", "why"), CONTENTS, ids=range(len(CONTENTS)))
def test_what_a_comment_may_be(box: Box, content: bytes, state: str, why: str) -> None:
    box.put(content, "1001.reject")

    reading = box.read("1001.reject")
    assert (reading.state, reading.why) == (state, why)
    assert reading.text == (content.decode().strip() if state == "ready" else "")


@pytest.mark.parametrize("content", [b"", b"\n", b" \t\r\n ", "\u00a0".encode()])
def test_an_empty_approval_is_none(box: Box, content: bytes) -> None:
    """A full disk leaves such files."""
    box.put(content)

    assert (box.read().state, box.read().why) == ("bad", "is empty, and an approval needs content: write 'ok' into it")


@pytest.mark.parametrize("name", ["1001.approve", "1001.reject"])
@pytest.mark.parametrize("content", [b"ok", b"ok\n", b"  ok  \n"])
def test_ok_is_no_comment(box: Box, name: str, content: bytes) -> None:
    box.put(content, name)

    assert (box.read(name).state, box.read(name).text) == ("ready", "")


def test_an_empty_approval_that_is_still_written_is_for_later(box: Box) -> None:
    with open(box.put(b""), "wb"):
        assert box.read().state == "later"


def test_a_huge_sparse_file_is_bad_at_once(box: Box) -> None:
    os.truncate(box.put(), 2**40)

    assert box.read().why == "is larger than 16 KiB"


@given(st.text(st.characters() | st.sampled_from('"\\\n\x7f👍')))
def test_a_comment_that_counts_has_room_in_a_record(text: str) -> None:
    if drop_file.comment_fault(text) is None:
        assert ascii_json_bytes(text) <= drop_file.COMMENT_MAX_RECORD_BYTES
        assert len(text) <= drop_file.COMMENT_MAX_CHARACTERS


def test_a_second_link_is_not_ready_and_bad_after_the_grace(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    path = box.put()
    os.link(path, box.own / "other")

    assert (box.read().state, box.read().why) == ("later", "has a second link")
    pass_time(monkeypatch, drop_file.SECOND_LINK_GRACE_S - 1)
    assert box.read().state == "later"
    pass_time(monkeypatch, drop_file.SECOND_LINK_GRACE_S + 1)
    assert (box.read().state, box.read().why) == ("bad", "has a second link")


def test_a_second_link_that_goes_leaves_a_drop_that_counts(box: Box) -> None:
    os.link(box.put(), box.own / "other")
    os.unlink(box.own / "other")

    assert box.read().state == "ready"


@pytest.mark.parametrize("flags", [os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_APPEND])
def test_open_for_writing_is_not_ready_until_closed(box: Box, flags: int) -> None:
    writer = os.open(box.put(b"do"), flags)

    assert (box.read().state, box.read().text) == ("later", "")
    os.write(writer, b"no")
    assert box.read().state == "later"
    os.close(writer)
    assert box.read().state == "ready"


def test_open_for_writing_is_not_ready_however_long_nothing_is_written(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(box.put(), "ab"):
        pass_time(monkeypatch, 3600)
        assert (box.read().state, box.read().why) == ("later", "is open for writing")


def test_open_for_reading_disturbs_nobody(box: Box) -> None:
    with open(box.put(), "rb"):
        assert box.read().state == "ready"


def while_it_is_read(monkeypatch: pytest.MonkeyPatch, action: Any) -> None:
    true_read = drop_file._read_up_to

    def read(source: int, limit: int) -> bytes:
        content = true_read(source, limit)
        action()
        return content

    monkeypatch.setattr(drop_file, "_read_up_to", read)


def test_a_writer_that_comes_while_we_read_breaks_the_lease(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    path = box.put()

    def open_to_write() -> None:
        with pytest.raises(BlockingIOError):  # it has to wait for us
            os.open(path, os.O_WRONLY | os.O_NONBLOCK)

    with monkeypatch.context() as patched:
        while_it_is_read(patched, open_to_write)
        assert (box.read().state, box.read().why) == ("later", "changed while it was read")
    assert box.read().state == "ready"


def test_a_file_that_changes_while_we_read_is_thrown_away(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    path = box.put()
    monkeypatch.setattr(drop_file, "_lease", lambda *_words: False)
    while_it_is_read(monkeypatch, lambda: path.write_bytes(b"something else"))

    assert (box.read().state, box.read().text) == ("later", "")


def refuse_leases(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    true_fcntl = fcntl.fcntl

    def without_leases(descriptor: int, command: int, *words: Any) -> Any:
        if command == fcntl.F_SETLEASE:
            raise OSError(number, os.strerror(number))
        return true_fcntl(descriptor, command, *words)

    monkeypatch.setattr(fcntl, "fcntl", without_leases)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EINVAL, errno.ENOLCK])
def test_without_leases_a_drop_is_ready_when_it_has_settled(
    box: Box, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    refuse_leases(monkeypatch, number)
    box.put()

    assert box.read().state == "later"
    pass_time(monkeypatch, drop_file.SETTLED_S + 0.1)
    assert (box.read().state, box.read().text) == ("ready", "go ahead")


def test_no_lease_is_left_behind(box: Box) -> None:
    path = box.put()
    box.read()

    os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))


def test_a_file_of_somebody_elses_is_bad(box: Box) -> None:
    if not IS_ROOT:
        pytest.skip("a file of another user needs root")
    path = box.put()
    os.chown(path, UID + 1, -1)

    assert (box.read().state, box.read().why) == ("bad", f"belongs to uid {UID + 1}, not {UID}")
    os.chown(path, 0, -1)
    assert box.read().why == f"belongs to uid 0, not {UID}"


def test_take_moves_the_very_file(box: Box) -> None:
    box.put()

    assert drop_file.take(box.directory, NAME, box.read().file, box.into, "ours")
    assert (os.listdir(box.own), os.listdir(box.away)) == ([], ["ours"])


def test_take_of_one_that_has_gone_is_false(box: Box) -> None:
    path = box.put()
    reading = box.read()
    path.unlink()

    assert not drop_file.take(box.directory, NAME, reading.file, box.into, "ours")


def swap(box: Box) -> Any:
    """A judged drop, and another one that has taken its name since."""
    box.put(b"judged")
    reading = box.read()
    box.put(b"swapped", "other")
    os.rename(box.own / "other", box.own / NAME)
    return reading


def test_one_swapped_after_judging_is_moved_back(box: Box) -> None:
    reading = swap(box)

    assert not drop_file.take(box.directory, NAME, reading.file, box.into, "ours")
    assert (box.own / NAME).read_bytes() == b"swapped"
    assert os.listdir(box.away) == []


def test_moving_back_replaces_nothing(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    reading = swap(box)
    true_move = files.rename_without_replacing

    def move_back(*words: Any) -> None:
        box.put(b"a third")
        true_move(*words)

    monkeypatch.setattr(drop_file, "rename_without_replacing", move_back)
    assert not drop_file.take(box.directory, NAME, reading.file, box.into, "ours")
    assert (box.own / NAME).read_bytes() == b"a third"
    assert (box.away / "ours").read_bytes() == b"swapped"
