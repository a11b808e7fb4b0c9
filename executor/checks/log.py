"""The audit log: that it verifies, that copies of it are taken, and what the kernel protects it from."""

from __future__ import annotations

import errno
import fcntl
import os
import shlex
import struct
from typing import TYPE_CHECKING

from audit import copies, segments
from audit.errors import AuditError
from audit.lock import LOCK
from audit.verify import verify
from executor.checks.finding import Finding, fail, ok, warn
from gate.store import layout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from executor.checks.context import Context

_GETFLAGS = 0x80086601  # FS_IOC_GETFLAGS of a 64-bit Linux, see ioctl_iflags(2)
_IMMUTABLE, _APPEND = 0x10, 0x20


def find(context: Context) -> Iterator[Finding]:
    """See the module."""
    yield from _chain(context)
    copy_to = context.policy["audit"]["copy_to"]
    if copy_to and not os.path.exists(copies.SOCKETS[copy_to]):
        message = (
            f"copy_to is {copy_to}, and nothing listens at {copies.SOCKETS[copy_to]}: no copy is taken of any record"
        )
        yield warn(message, f"systemctl enable --now {'rsyslog' if copy_to == 'syslog' else 'systemd-journald'}")


def append_only(context: Context) -> Iterator[Finding]:
    """`chattr +a` and `+i`, on the log's directory and on what is in it."""
    directory = layout.audit(context.policy["state_dir"])
    if not os.path.isdir(directory):
        yield ok(f"{directory} is not there yet")
        return
    flags = {name: _flags(os.path.join(directory, name)) for name in ("", *sorted(os.listdir(directory)))}
    faults = list(_hindered(directory, flags)) + list(_unprotected(directory, flags))
    yield from faults
    if not faults:
        logs = [flag & _APPEND for name, flag in flags.items() if segments_of(name)]
        is_on = bool(logs) and all(logs)
        yield ok("the log is append-only for the kernel, too" if is_on else "chattr +a is not set; nothing rests on it")


def segments_of(name: str) -> bool:
    """Whether a name in the log's directory is a segment's."""
    return name.startswith("audit.") and name.endswith(".jsonl")


def _chain(context: Context) -> Iterator[Finding]:
    state_dir = context.policy["state_dir"]
    directory = layout.audit(state_dir)
    try:
        if not os.path.isdir(directory) or not segments.numbers(directory):
            yield _empty(state_dir, directory)
            return
        report = verify(directory)
    except AuditError as error:
        yield fail(str(error))
        return
    if report.ok and report.head:
        head = f"{report.head.seq}:{report.head.sha256}"
        yield ok(
            f"{report.records} records verify, up to {head}; only a head kept elsewhere shows what was cut off there"
        )
        return
    message = f"{report.problems[0]}: `gate audit verify` tells all, and docs/how-to/audit.md what to do"
    yield fail(f"{directory} is not what was written: {message}")


def _empty(state_dir: str, directory: str) -> Finding:
    jobs = layout.jobs(state_dir)
    keys = os.listdir(jobs) if os.path.isdir(jobs) else []
    if any(os.path.exists(os.path.join(jobs, key, "decision.json")) for key in keys):
        return fail(f"{directory} holds no log, and {jobs} holds decided requests: look who took it away")
    return ok(f"{directory} holds no record yet; the first job begins the log")


def _flags(path: str) -> int:
    """The inode's flags; none where the file system has no such thing, or what is there is no file or directory."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        answer = fcntl.ioctl(descriptor, _GETFLAGS, struct.pack("l", 0))
        return int(struct.unpack("i", answer[:4])[0])
    except OSError as error:
        if error.errno not in (errno.ENOTTY, errno.EOPNOTSUPP, errno.EINVAL):
            raise
        return 0
    finally:
        os.close(descriptor)


def _hindered(directory: str, flags: dict[str, int]) -> Iterator[Finding]:
    for name, found in flags.items():
        path = os.path.join(directory, name).rstrip("/")
        if found & _IMMUTABLE:
            yield fail(f"{path} is immutable: nothing can be recorded", f"chattr -i {shlex.quote(path)}")
        elif found & _APPEND and name in (LOCK, copies.FILE):
            yield fail(f"{path} is append-only, and the gate rewrites it", f"chattr -a {shlex.quote(path)}")


def _unprotected(directory: str, flags: dict[str, int]) -> Iterator[Finding]:
    """A new segment does not have the flag until somebody sets it."""
    if not any(found & _APPEND for name, found in flags.items() if not name or segments_of(name)):
        return
    for name, found in flags.items():
        if segments_of(name) and not found & _APPEND:
            path = os.path.join(directory, name)
            yield warn(f"{path} is not append-only, and others of the log are", f"chattr +a {shlex.quote(path)}")
