"""Where the `gate` command's output goes: a reader that has seen enough, a full disk, nowhere at all."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.audit_gate import AuditGate
from tests.support.site import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Iterator

PRINTING = ["audit verify", "audit show", "audit tail", "audit export", "audit export --format csv"]


@pytest.fixture(scope="module")
def gate() -> Iterator[AuditGate]:
    with AuditGate() as made:
        made.fill(300)
        yield made


def run(gate: AuditGate, words: str, stdout: int | None, closed: str = ">&-") -> subprocess.CompletedProcess[str]:
    """`gate WORDS`, with its stdout on a descriptor; without one, some are closed."""
    code = f"import sys; sys.path.insert(0, {str(CHECKOUT)!r}); from gate.commands import main; main()"
    command = [sys.executable, "-I", "-c", code, "--config", str(gate.yaml), *words.split()]
    close = ["sh", "-c", f'exec "$@" {closed}', "sh"] if stdout is None else []
    return subprocess.run([*close, *command], stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=60, check=False)


@pytest.fixture
def unread() -> Iterator[int]:
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@pytest.mark.parametrize("words", PRINTING)
def test_a_closed_stdout_is_told(gate: AuditGate, words: str) -> None:
    done = run(gate, words, None)
    assert (done.returncode, done.stderr) == (1, "gate: stdout is closed; open it, if only on /dev/null\n")


@pytest.mark.parametrize("words", PRINTING)
def test_a_full_disk_behind_stdout_is_told(gate: AuditGate, words: str) -> None:
    with open("/dev/full", "wb") as full:
        done = run(gate, words, full.fileno())
    assert (done.returncode, done.stderr) == (1, "gate: no space left on device, where stdout goes\n")


@pytest.mark.parametrize("words", PRINTING)
def test_a_reader_that_has_seen_enough_is_no_fault(gate: AuditGate, words: str, unread: int) -> None:
    done = run(gate, words, unread)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("words", ["audit tail -n 0 --follow", "list --watch"])
def test_what_goes_on_ends_with_its_reader(gate: AuditGate, words: str, unread: int) -> None:
    assert run(gate, words, unread).returncode == 141


def test_a_closed_stdin_holds_nothing(gate: AuditGate) -> None:
    done = run(gate, "audit verify --from-trace -", None, "<&-")
    assert (done.returncode, done.stderr[:40]) == (1, "gate: stdin holds no audit head before i")
