"""The second copy: what syslog and journald get, and that no fault of it is ever one of the log's."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from audit import copies, log
from audit.rotate import rotate
from audit.verify import verify
from tests.support.audit_logs import VERSION, add, filled, lines_of
from tests.support.listener import Listener, journal_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ROOT = os.path.dirname(os.path.dirname(log.__file__))


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener() as made:
        yield made


def told(directory: Path, copy_to: str, listener: Listener) -> Path:
    """Copies go to the listener from now on."""
    copies.keep_in_step(str(directory), copy_to)
    file = directory / copies.FILE
    file.write_text(json.dumps({"copy_to": copy_to, "socket": listener.path}))
    return file


def test_syslog_gets_the_record_as_text(tmp_path: Path, listener: Listener) -> None:
    told(tmp_path, "syslog", listener)

    add(tmp_path, comment="ü\n")

    genesis, record = listener.heard()
    lines = lines_of(tmp_path / "audit.1.jsonl")
    form = rb"<85>[A-Z][a-z]{2} [ 1-3][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2} gate-audit\[%d\]: (.*)" % os.getpid()
    for message, line in ((genesis, lines[0]), (record, lines[1])):
        found = re.fullmatch(form, message)
        assert found
        assert found[1] + b"\n" == line


def test_journald_gets_it_with_fields(tmp_path: Path, listener: Listener) -> None:
    told(tmp_path, "journald", listener)

    head = add(tmp_path, request="r-1", comment="go")

    genesis, record = (journal_fields(message) for message in listener.heard())
    line = lines_of(tmp_path / "audit.1.jsonl")[1]
    assert record == {
        "MESSAGE": line.decode().rstrip("\n"),
        "PRIORITY": "5",
        "SYSLOG_FACILITY": "10",
        "SYSLOG_IDENTIFIER": "gate-audit",
        "GATE_EVENT": "vote",
        "GATE_REQUEST": "r-1",
        "GATE_SEQ": "2",
        "GATE_SHA256": head.sha256,
    }
    assert (genesis["GATE_EVENT"], "GATE_REQUEST" in genesis) == ("genesis", False)


def test_a_value_on_several_lines_cannot_make_a_field(tmp_path: Path, listener: Listener) -> None:
    told(tmp_path, "journald", listener)

    add(tmp_path, request="r\nGATE_EVENT=released\n")

    fields = journal_fields(listener.heard()[1])
    assert (fields["GATE_REQUEST"], fields["GATE_EVENT"]) == ("r\nGATE_EVENT=released\n", "vote")


@pytest.mark.parametrize("copy_to", ["syslog", "journald"])
def test_what_mends_and_what_rotates_is_copied_too(tmp_path: Path, listener: Listener, copy_to: str) -> None:
    file = filled(tmp_path, 1)
    told(tmp_path, copy_to, listener)
    with file.open("ab") as more:
        more.write(b'{"half')

    add(tmp_path)
    rotate(str(tmp_path), 1, version=VERSION)

    recovered, vote, genesis = listener.heard()
    assert [b'"event":"%s"' % event for event in (b"recovered", b"vote", b"genesis")] == [
        found[0] for found in (re.findall(rb'"event":"[a-z]+"', message) for message in (recovered, vote, genesis))
    ]


def test_a_record_is_on_disk_before_its_copy_is_sent(tmp_path: Path, listener: Listener) -> None:
    told(tmp_path, "syslog", listener)
    real, seen = os.fsync, []

    def fsync(descriptor: int) -> None:
        seen.append(listener.heard())
        real(descriptor)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fsync", fsync)
        add(tmp_path)

    assert seen == [[], []]
    assert len(listener.heard()) == 2


def test_nobody_waits_for_a_listener_that_is_behind(tmp_path: Path, listener: Listener) -> None:
    told(tmp_path, "syslog", listener)

    heads = [add(tmp_path) for _ in range(300)]  # net.unix.max_dgram_qlen, how many wait, is 512 at the most by default

    assert verify(str(tmp_path), heads).ok
    assert 0 < len(listener.heard()) <= 301


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"copy_to": "mail", "socket": "/dev/log"}',
        b'{"copy_to": ["syslog"], "socket": "/dev/log"}',
        b'{"copy_to": "syslog"}',
        b'{"copy_to": "syslog", "socket": null}',
        b'{"copy_to": "syslog", "socket": "/nowhere"}',
        b'{"copy_to": "syslog", "socket": "/dev/null"}',
        b'{"copy_to": "syslog", "socket": "\\u0000"}',
        b'{"copy_to": "syslog", "socket": "/' + b"x" * 200 + b'"}',
        b"[" * 4000,
        b"x" * 10_000,
    ],
)
def test_no_fault_of_the_copy_is_one_of_the_log(tmp_path: Path, content: bytes) -> None:
    (tmp_path / copies.FILE).write_bytes(content)

    assert verify(str(tmp_path), [add(tmp_path)]).ok


@pytest.mark.parametrize("kind", ["link", "fifo", "directory"])
def test_what_is_not_the_gate_s_own_file_counts_as_none(tmp_path: Path, listener: Listener, kind: str) -> None:
    elsewhere, file = tmp_path / "elsewhere", tmp_path / "log" / copies.FILE
    file.parent.mkdir()
    elsewhere.write_text(json.dumps({"copy_to": "syslog", "socket": listener.path}))
    makers: dict[str, Callable[[], object]] = {"link": lambda: file.symlink_to(elsewhere), "fifo": lambda: os.mkfifo(file), "directory": file.mkdir}  # fmt: skip
    makers[kind]()

    add(file.parent)

    assert listener.heard() == []
    with pytest.raises(log.AuditError, match=r"audit\.copy"):
        copies.keep_in_step(str(file.parent), "journald")
    assert "syslog" in elsewhere.read_text()


def test_where_copies_go_is_written_down_only_where_it_changes(tmp_path: Path) -> None:
    file = tmp_path / copies.FILE
    copies.keep_in_step(str(tmp_path), None)
    assert not file.exists()

    for copy_to, path in (("syslog", "/dev/log"), ("journald", "/run/systemd/journal/socket"), (None, None)):
        copies.keep_in_step(str(tmp_path), copy_to)
        assert json.loads(file.read_text()) == {"copy_to": copy_to, "socket": path}
        before = file.stat().st_mtime_ns
        copies.keep_in_step(str(tmp_path), copy_to)
        assert file.stat().st_mtime_ns == before
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_one_that_was_cut_short_is_written_anew(tmp_path: Path, listener: Listener) -> None:
    file = told(tmp_path, "syslog", listener)
    file.write_text(file.read_text()[:10])

    copies.keep_in_step(str(tmp_path), "syslog")

    assert json.loads(file.read_text())["copy_to"] == "syslog"


@pytest.mark.parametrize("copy_to", [None, "syslog"])
def test_sockets_are_loaded_only_where_there_is_a_copy(tmp_path: Path, listener: Listener, copy_to: str | None) -> None:
    if copy_to:
        told(tmp_path, copy_to, listener)
    code = f"""import sys
sys.path.insert(0, {ROOT!r})
from audit import log
log.append({str(tmp_path)!r}, {{"event": "ended", "request": "r"}}, version="0")
print("socket" in sys.modules)"""
    said = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)

    assert said.stdout == f"{bool(copy_to)}\n"
