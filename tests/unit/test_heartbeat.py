"""The heartbeat: seen from another process, gone with its process, kept from nobody by a reader (DESIGN "On disk")."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
from typing import TYPE_CHECKING

import pytest

from gate.clock import boottime_ms
from gate.store.files import StateError
from gate.store.heartbeat import is_waiting, last_beat_ms, start_beating, write_beat
from tests.support.gate_state import fork, mode_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def waiter(tmp_path: Path) -> Iterator[Callable[[int], int]]:
    """Starts processes that wait with `waiting.<n>`; what is left of them is killed at the end."""
    children: list[int] = []

    def start(attempt: int) -> int:
        reader, writer = os.pipe()
        children.append(fork(lambda: _wait(tmp_path, attempt, writer)))
        os.close(writer)
        with open(reader, "rb") as told:
            assert told.read(1) == b"+"
        return children[-1]

    yield start
    for child in children:
        _kill(child)


def _wait(directory: Path, attempt: int, writer: int) -> bool:
    start_beating(str(directory), attempt)
    os.write(writer, b"+")
    signal.pause()
    return False


def _kill(child: int) -> None:
    try:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    except (ProcessLookupError, ChildProcessError):
        return


def test_nobody_waits_where_there_is_nothing(tmp_path: Path) -> None:
    assert not is_waiting(str(tmp_path))
    assert not is_waiting(str(tmp_path / "nowhere"))
    assert last_beat_ms(str(tmp_path / "nowhere")) == 0


def test_a_waiter_is_seen_from_another_process_until_it_is_killed(tmp_path: Path, waiter: Callable[[int], int]) -> None:
    child = waiter(1)

    assert is_waiting(str(tmp_path))
    _kill(child)
    assert not is_waiting(str(tmp_path))
    assert 0 < last_beat_ms(str(tmp_path)) <= boottime_ms()


def test_any_attempt_counts(tmp_path: Path, waiter: Callable[[int], int]) -> None:
    first, second = waiter(1), waiter(2)

    _kill(first)
    assert is_waiting(str(tmp_path))
    _kill(second)
    assert not is_waiting(str(tmp_path))


def test_a_stopped_waiter_still_waits(tmp_path: Path, waiter: Callable[[int], int]) -> None:
    os.kill(waiter(1), signal.SIGSTOP)

    assert is_waiting(str(tmp_path))


@pytest.mark.parametrize("lock", [fcntl.F_OFD_SETLK, fcntl.F_SETLK])
def test_a_readers_lock_is_nobody_waiting_and_keeps_no_one_out(
    tmp_path: Path, waiter: Callable[[int], int], lock: int
) -> None:
    _kill(waiter(1))
    with open(tmp_path / "waiting.1", "rb") as reader:
        fcntl.fcntl(reader, lock, struct.pack("hhqqi4x", fcntl.F_RDLCK, 0, 0, 0, 0))
        assert not is_waiting(str(tmp_path))
        waiter(2)
        assert is_waiting(str(tmp_path))


def test_one_attempt_waits_once(tmp_path: Path) -> None:
    beat = start_beating(str(tmp_path), 1)

    with pytest.raises(StateError, match=r"waiting\.1: File exists"):
        start_beating(str(tmp_path), 1)
    os.close(beat)


@pytest.mark.parametrize("umask", [0, 0o077, 0o777])
def test_others_may_probe_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        os.close(start_beating(str(tmp_path), 1))
    finally:
        os.umask(before)

    assert mode_of(tmp_path / "waiting.1") == 0o640
    assert (tmp_path / "waiting.1").stat().st_nlink == 1


def test_a_beat_is_written_over_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beat = start_beating(str(tmp_path), 1)
    size = (tmp_path / "waiting.1").stat().st_size
    monkeypatch.setattr("gate.store.heartbeat.boottime_ms", lambda: 10**15)

    write_beat(beat)
    os.close(beat)
    assert last_beat_ms(str(tmp_path)) == 10**15
    assert (tmp_path / "waiting.1").stat().st_size == size


@pytest.mark.parametrize("content", [b"", b"x", b"\xff" * 40, b"-5\n"])
def test_a_beat_that_cannot_be_read_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "waiting.1").write_bytes(content)

    assert last_beat_ms(str(tmp_path)) == 0


def test_the_lock_is_not_inherited_over_exec(tmp_path: Path) -> None:
    beat = start_beating(str(tmp_path), 1)

    assert not os.get_inheritable(beat)
    os.close(beat)
    assert not is_waiting(str(tmp_path))
