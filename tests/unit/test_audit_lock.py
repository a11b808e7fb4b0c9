"""The audit log's lock: who holds it too long is named, and never robbed of it."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from audit import lock, log
from audit.verify import verify
from tests.support import audit_writer
from tests.support.audit_logs import add, filled, lines_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "WAIT_S", 0.05)


@pytest.fixture
def stopped(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that holds the lock, and was stopped."""
    filled(tmp_path, 2)
    program = (
        "import fcntl, signal, sys; held = open(sys.argv[1]); fcntl.flock(held, fcntl.LOCK_EX); signal.raise_signal(19)"
    )
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", program, str(tmp_path / lock.LOCK)]) as process:
        os.waitpid(process.pid, os.WUNTRACED)
        yield process
        process.kill()


def test_a_stopped_holder_is_named_and_loses_nothing(tmp_path: Path, stopped: subprocess.Popen[bytes]) -> None:
    before = lines_of(tmp_path / "audit.1.jsonl")
    named = rf"audit\.lock was held for over 0\.05 s, by process {stopped.pid}: .* kill -CONT it if it is stopped"
    for _ in range(2):
        with pytest.raises(log.AuditError, match=named):
            add(tmp_path)
    assert lines_of(tmp_path / "audit.1.jsonl") == before

    stopped.send_signal(signal.SIGCONT)
    stopped.wait()
    assert verify(str(tmp_path), [add(tmp_path)]).ok


def test_a_holder_that_cannot_be_told_is_no_holder_less(tmp_path: Path, stopped: subprocess.Popen[bytes]) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("builtins.open", lambda *_words, **_named: (_ for _ in ()).throw(FileNotFoundError()))
        with pytest.raises(log.AuditError, match="by whom /proc/locks does not tell"):
            add(tmp_path)
    assert stopped.poll() is None


def test_a_refused_lock_leaves_no_descriptor(tmp_path: Path, stopped: subprocess.Popen[bytes]) -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(log.AuditError):
        add(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_who_waits_gets_it_as_soon_as_it_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "WAIT_S", 30)
    filled(tmp_path, 1)
    held = os.open(tmp_path / lock.LOCK, os.O_RDWR)
    fcntl.flock(held, fcntl.LOCK_EX)
    words = [sys.executable, "-I", "-S", "-B", audit_writer.__file__, str(tmp_path), "w", "1"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as writer:
        with pytest.raises(subprocess.TimeoutExpired):
            writer.wait(0.3)
        os.close(held)
        assert writer.stdout
        assert writer.stdout.read().split()[0] == "3"
