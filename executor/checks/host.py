"""The host: the disk under state_dir, namespaces for jobs, and the clock."""

from __future__ import annotations

import os
import shlex
from datetime import datetime
from typing import TYPE_CHECKING

from audit import reading, segments
from audit.errors import AuditError
from config import host
from executor.checks.editor import in_editor, owns
from executor.checks.finding import Finding, fail, ok, warn
from executor.shell import backend
from gate.model import rules
from gate.store import layout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from executor.checks.context import Context

MIB = 1024**2
LEAST_MIB, LITTLE_MIB = 64, 1024  # one segment of the audit log; a few jobs' trees
LEAST_INODES, LITTLE_INODES = 1_000, 50_000
BACK_S = 60
HARD_LINKS, HARD_LINKS_FILE = "fs.protected_hardlinks", "/etc/sysctl.d/60-gitlab-runner-gate-links.conf"
_PASSING = {
    "tmpfs": "is gone after a reboot",
    "ramfs": "is gone after a reboot",
    "overlay": "is gone with the container",
}


def disk(context: Context) -> Iterator[Finding]:
    """The file system under state_dir: local, makes nameless files, and really writes."""
    state_dir = context.policy["state_dir"]
    kind, flags = host.file_system(state_dir), os.statvfs(state_dir).f_flag
    if kind and host.is_network(kind):
        yield fail(f"{state_dir} lies on {kind}, where locks and appends cannot be relied on: name one on a local disk")
        return
    try:
        probe = os.open(state_dir, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            os.write(probe, b"gate check\n")
            os.fsync(probe)
        finally:
            os.close(probe)
    except OSError as error:
        yield fail(f"{state_dir}, on {kind or 'an unknown file system'}, takes no file: {host.reason(error)}")
        return
    if kind in _PASSING:
        message = f"{state_dir} lies on {kind}, which {_PASSING[kind]}, and the audit log with it: name one on a disk"
        yield warn(message, in_editor(context.gate_yaml.path))
    if flags & os.ST_NOEXEC:
        message = f"{state_dir} is mounted noexec: no job can start a program that it has checked out or built"
        place = _mount_point(state_dir)
        if owns(context, place):
            yield warn(message, f"mount -o remount,exec {shlex.quote(place)}  # and in /etc/fstab")
        else:
            yield warn(
                f"{message}: take noexec from {place}, if that is right there, or name a state_dir on another disk"
            )
    if kind not in _PASSING and not flags & os.ST_NOEXEC:
        yield ok(f"{state_dir} lies on {kind or 'an unknown file system'}, which writes what it is given")


def _mount_point(path: str) -> str:
    while not os.path.ismount(path):
        path = os.path.dirname(path)
    return path


def hard_links(context: Context) -> Iterator[Finding]:
    """fs.protected_hardlinks, and second names of the log's segments; no harm is done by these, but somebody did it."""
    audit = layout.audit(context.policy["state_dir"])
    numbers = segments.numbers(audit) if os.path.isdir(audit) else []
    paths = [os.path.join(audit, segments.name(number)) for number in numbers]
    linked = [path for path in paths if os.lstat(path).st_nlink > 1]
    for path in linked:
        find = f"find {shlex.quote(_mount_point(path))} -xdev -samefile {shlex.quote(path)}"
        yield warn(f"{path} has a second name: the log goes on, but look who made it, and remove that name", find)
    if (context.system.text("/proc/sys/fs/protected_hardlinks") or "").strip() == "0":
        message = f"{HARD_LINKS} is 0: people can make hard links to the gate's files (packaging/sysctl.d sets it)"
        setting = f"{HARD_LINKS} = 1"
        yield warn(
            message, f"install -d /etc/sysctl.d && echo '{setting}' > {HARD_LINKS_FILE} && sysctl -p {HARD_LINKS_FILE}"
        )
    elif not linked:
        yield ok("no one can make hard links to the gate's files, and no one has")


def space(context: Context) -> Iterator[Finding]:
    """Room for the audit log and for what jobs write."""
    state_dir = context.policy["state_dir"]
    found = os.statvfs(state_dir)
    free_mib = found.f_bavail * found.f_frsize // MIB
    inodes = found.f_favail if found.f_files else LITTLE_INODES  # btrfs counts none
    message = f"{free_mib} MiB and {found.f_favail} files are free under {state_dir}"
    if free_mib < LEAST_MIB or inodes < LEAST_INODES:
        yield fail(f"{message}: on a full disk no job is let through; make room")
    elif free_mib < LITTLE_MIB or inodes < LITTLE_INODES:
        yield warn(f"{message}: jobs' trees and the audit log go there; make room")
    else:
        yield ok(message)


def namespaces(context: Context) -> Iterator[Finding]:
    """Whether scripts can be run here as gate.yaml says; really tries namespaces and setpriv."""
    policy = context.policy
    backends = [rules.backend_of(policy, rule) for rule in policy["rules"]] or [policy["backend"]]
    gone = [each for each in backends if each["run_as"] and each["uid"] is None]  # gate-yaml tells
    faults = list(dict.fromkeys(why for each in backends if each not in gone and (why := backend.check(each))))
    for why in faults:
        yield fail(why, in_editor(context.gate_yaml.path))
    if not faults:
        users = ", ".join(sorted({str(each["run_as"] or context.runner_user) for each in backends}))
        yield ok(f"scripts can be run as {users}, with isolate {policy['backend']['isolate']}")


def clock(context: Context) -> Iterator[Finding]:
    """The wall clock, which the audit log's times are of; no deadline goes by it."""
    last = _last_record_s(layout.audit(context.policy["state_dir"]))
    if last and last > context.system.now_s() + BACK_S:
        yield fail("the clock is behind the audit log's last record: the log's times would go back", _SET)
    elif context.system.clock_is_set() is None:
        yield warn("whether something keeps the clock right is not known here, as in a container: look on its host")
    elif not context.system.clock_is_set():
        yield warn("nothing keeps this host's clock right, and the times in the audit log are its", _SET)
    else:
        yield ok("the clock is kept right")


_SET = "timedatectl set-ntp true"


def _last_record_s(directory: str) -> float:
    try:
        newest = reading.newest(directory, 1)
    except AuditError:
        return 0  # the check of the log tells
    return datetime.fromisoformat(newest[-1][2]["time"]).timestamp() if newest else 0
