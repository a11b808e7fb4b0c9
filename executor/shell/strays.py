"""Processes of a job's user that are in no job: what got out by ssh, cron, at or a systemd of the user's own.

A job runs in a process-id namespace of its own, whichever gate it is of; or (`process_group`) below an init of root's.
So what else its user has in our namespace is no job's, and is ended when the user's last job ends. Services of
systemd's are spared: a deployment may well run as the user of what it deploys. Cron, at and ssh are services, too, but
what they start is not.
"""

from __future__ import annotations

import os
import re
import signal
import time
from contextlib import suppress

from gate.store import layout
from gate.store.files import read_json
from gate.store.request import keys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gate.shapes import Backend, Release

WITHIN_S = 2.0
_PAUSE_S = 0.01
_INITS = (b"/executor/shell/init.py\0group\0", b"/executor/init.py\0group\0")  # the second of an older version
NOBODY_UID = 65534  # the kernel's overflow uid: whose it is, many share, and what it runs is not of the jobs alone
# Compiled once there is a stray: it takes 8 ms, and hardly any job leaves one.
_SERVICE = r"^[^\n]*:/system\.slice/(?!(?:cron|crond|anacron|atd|ssh|sshd)[.@-])[^\n]*\.service"


def end(state_dir: str, key: str, proc: str = "/proc") -> str:
    """End the strays of the user of request `key`, unless another job of that user goes on; says what was ended.

    Only root can, and only for a user of the jobs' own.
    """
    backend = _running_as(state_dir, key)
    if backend is None or os.geteuid() != 0 or backend["allow_same_user"] or backend["isolate"] != "pid_namespace":
        return ""
    uid = backend["uid"]
    if uid in (0, None, NOBODY_UID, os.getuid()) or _others(state_dir, key, uid):
        return ""
    ended: dict[int, str] = {}
    deadline = time.monotonic() + WITHIN_S
    while (found := _strays(uid, proc)) and time.monotonic() < deadline:
        ended |= found
        for pid in found:
            _kill(pid, uid, proc)
        time.sleep(_PAUSE_S)
    if not ended:
        return ""
    names = ", ".join(f"{pid} ({name})" for pid, name in sorted(ended.items())[:10])
    rest = "; some of them live on" if found else ""
    return f"ended what jobs of {backend['run_as']} left running outside of their namespaces: {names}{rest}"


def _running_as(state_dir: str, key: str) -> Backend | None:
    released: Release | None = read_json(os.path.join(layout.job(state_dir, key), "release.json"))
    return released["backend"] if released else None


def _others(state_dir: str, key: str, uid: int) -> bool:
    """Whether another job of this user has been let through and has not ended."""
    for other in keys(state_dir):
        if other == key or os.path.lexists(os.path.join(layout.job(state_dir, other), "ended.json")):
            continue
        backend = _running_as(state_dir, other)
        if backend and backend["uid"] == uid:
            return True
    return False


def _strays(uid: int, proc: str) -> dict[int, str]:
    own = os.stat(f"{proc}/self/ns/pid").st_ino
    found = {}
    for pid in map(int, filter(str.isdecimal, os.listdir(proc))):
        with suppress(OSError):  # it has ended meanwhile
            name = _name_if_of(uid, pid, proc)
            if name and os.stat(f"{proc}/{pid}/ns/pid").st_ino == own and not _is_spared(pid, proc):
                found[pid] = name
    return found


def _is_spared(pid: int, proc: str) -> bool:
    return _is_service(pid, proc) or _is_in_job(pid, proc)


def _name_if_of(uid: int, pid: int, proc: str) -> str:
    """By its status: the owner of its directory in /proc is root for one that cannot be dumped, as sshd's."""
    fields = _status(pid, proc)
    is_alive = fields["State"][:1] != "Z"
    return fields["Name"] if is_alive and str(uid) in fields["Uid"].split() else ""


def _status(pid: int, proc: str) -> dict[str, str]:
    with open(f"{proc}/{pid}/status", encoding="ascii", errors="replace") as source:
        return dict(line.rstrip("\n").split(":\t", 1) for line in source if ":\t" in line)


def _is_in_job(pid: int, proc: str) -> bool:
    """Whether it descends from a root's init of a job without a namespace: no job can get out from below that."""
    while pid > 1:
        fields = _status(pid, proc)
        with open(f"{proc}/{pid}/cmdline", "rb") as source:
            words = source.read()
        if fields["Uid"].split()[1] == "0" and any(init in words for init in _INITS):
            return True
        pid = int(fields["PPid"])
    return False


def _is_service(pid: int, proc: str) -> bool:
    with open(f"{proc}/{pid}/cgroup", encoding="utf-8", errors="replace") as source:
        return bool(re.search(_SERVICE, source.read(), re.MULTILINE))


def _kill(pid: int, uid: int, proc: str) -> None:
    # By a descriptor, and looked at once more: the number may be another process's by now.
    with suppress(OSError):
        process = os.pidfd_open(pid)
        try:
            if _name_if_of(uid, pid, proc):
                signal.pidfd_send_signal(process, signal.SIGKILL)
        finally:
            os.close(process)
