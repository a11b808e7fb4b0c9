"""A second copy of each record, to syslog or journald: for people and log hosts, after the record is on disk.

Best effort: nothing waits for it, and no fault of it is one of the log's. Where it goes stands in `audit.copy` beside
the log, so that appending needs no gate.yaml: one JSON object, `copy_to` and the `socket` that listens. It is written
in place, under the log's lock, since the directory may be under `chattr +a`; what a crash leaves of it counts as
nowhere.
"""

from __future__ import annotations

import json
import os
import time

from audit.descriptor import Held, held_directory
from audit.errors import AuditError
from audit.lock import Locked
from audit.reading import unusable
from audit.record import decode
from audit.segments import refuse_strange

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

FILE = "audit.copy"
SOCKETS = {"syslog": "/dev/log", "journald": "/run/systemd/journal/socket"}
TAG = "gate-audit"
_FILE_MAX_BYTES = 4096
_AUTHPRIV, _NOTICE = 10, 5  # syslog(3)
_OPEN = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def keep_in_step(directory: str, copy_to: str | None) -> None:
    """Write down where copies go, if that is not what stands there: "syslog", "journald", or None for nowhere.

    Raises:
        AuditError: it cannot be written, or what is there is not ours.
    """
    try:
        if _is_told(directory, copy_to):
            return
        with Locked(directory) as folder:
            _write(directory, folder, {"copy_to": copy_to, "socket": SOCKETS.get(copy_to or "")})
    except OSError as error:
        raise unusable(directory, error) from error


def send(folder: int, lines: list[bytes]) -> None:
    """Send these lines, which are on disk now, to where the log's directory says; never raises, never waits."""
    try:
        told = _told(folder)
        if told and told["copy_to"]:
            _send(told["copy_to"], told["socket"], lines)
    except Exception:  # noqa: BLE001 - the record is on disk, which the writer must learn
        return


def _send(copy_to: str, path: str, lines: list[bytes]) -> None:
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as target:
        target.setblocking(False)  # a listener that is behind loses this one; no job waits for it
        for line in lines:
            target.sendto(_MESSAGES[copy_to](line), path)


def _is_told(directory: str, copy_to: str | None) -> bool:
    with held_directory(directory) as folder:
        return (_told(folder) or {}).get("copy_to") == copy_to


def _told(folder: int) -> dict[str, Any] | None:
    """What the file says; None where it is not there, or not what keep_in_step() wrote."""
    try:
        descriptor = os.open(FILE, os.O_RDONLY | _OPEN, dir_fd=folder)
    except OSError:
        return None
    try:
        refuse_strange(descriptor, FILE)
        told = json.loads(os.read(descriptor, _FILE_MAX_BYTES))
    except (OSError, AuditError, ValueError, RecursionError):
        return None
    finally:
        os.close(descriptor)
    return told if isinstance(told, dict) and told.get("copy_to") in (None, *SOCKETS) else None


def _write(directory: str, folder: int, told: dict[str, Any]) -> None:
    path = os.path.join(directory, FILE)
    with Held(os.open(FILE, os.O_RDWR | os.O_CREAT | _OPEN, 0o600, dir_fd=folder)) as descriptor:
        refuse_strange(descriptor, path)
        os.ftruncate(descriptor, 0)
        content = json.dumps(told, sort_keys=True).encode("ascii") + b"\n"
        if os.write(descriptor, content) != len(content):
            raise AuditError(f"no room to write {path}")
        os.fsync(descriptor)
        os.fsync(folder)


def _syslog(line: bytes) -> bytes:
    """As syslog(3) writes it to /dev/log: RFC 3164 without the host."""
    stamp = time.strftime("%b %e %H:%M:%S")
    return f"<{_AUTHPRIV * 8 + _NOTICE}>{stamp} {TAG}[{os.getpid()}]: ".encode("ascii") + line[:-1]


def _journald(line: bytes) -> bytes:
    """The native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): a field a line, or with its length before it."""
    return b"".join(_journal_field(name, value) for name, value in _journal_fields(line))


def _journal_fields(line: bytes) -> Iterator[tuple[str, str]]:
    import hashlib

    record = decode(line)
    yield "MESSAGE", line[:-1].decode("ascii")
    yield "PRIORITY", str(_NOTICE)
    yield "SYSLOG_FACILITY", str(_AUTHPRIV)
    yield "SYSLOG_IDENTIFIER", TAG
    yield "GATE_EVENT", record["event"]
    if "request" in record:
        yield "GATE_REQUEST", str(record["request"])
    yield "GATE_SEQ", str(record["seq"])
    yield "GATE_SHA256", hashlib.sha256(line).hexdigest()


def _journal_field(name: str, value: str) -> bytes:
    content = value.encode("utf-8")
    if b"\n" not in content:
        return name.encode("ascii") + b"=" + content + b"\n"
    return name.encode("ascii") + b"\n" + len(content).to_bytes(8, "little") + content + b"\n"


_MESSAGES = {"syslog": _syslog, "journald": _journald}
