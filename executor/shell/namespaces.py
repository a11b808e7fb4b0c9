"""The namespaces of a job: processes, mounts, what is shared by name. See unshare(2), setns(2), mount(2).

By system calls: unshare(1) would be two programs more for each stage. Python has these calls since 3.12, but no mount.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctypes import CDLL

RDONLY, NOSUID, NODEV, NOEXEC, REMOUNT, BIND, REC = 1, 2, 4, 8, 32, 4096, 16384  # mount(2)
_PRIVATE = 1 << 18
_NEW_MOUNTS, _NEW_IPC, _NEW_PIDS = 0x00020000, 0x08000000, 0x20000000  # clone(2)


def split_children() -> int:
    """Have this process's next child be pid 1 of a new namespace; returns what `rejoin_children` takes.

    Raises:
        OSError: it cannot be made.
    """
    own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _checked(_libc().unshare(_NEW_PIDS), "no process-id namespace can be made here")
    except OSError:
        os.close(own)
        raise
    return own


def rejoin_children(own: int) -> None:
    """Have the children after it be in this process's own namespace again.

    Raises:
        OSError: they are not.
    """
    try:
        _checked(_libc().setns(own, _NEW_PIDS), "cannot return to the process-id namespace")
    finally:
        os.close(own)


def enter() -> None:
    """As pid 1: have mounts of its own, which no other process sees, its own /proc, and nothing shared by name.

    Raises:
        OSError: it cannot be done.
    """
    _checked(_libc().unshare(_NEW_MOUNTS | _NEW_IPC), "no mount namespace can be made here")
    mount("none", "/", "", REC | _PRIVATE, "")
    mount("proc", "/proc", "proc", NOSUID | NODEV | NOEXEC, "")


def mount(source: str, target: str, kind: str, flags: int, data: str) -> None:
    """Mount, where an empty word is a null pointer.

    Raises:
        OSError: with `target` as its file.
    """
    import ctypes

    words = [os.fsencode(word) or None for word in (source, target, kind, data)]
    _checked(_libc().mount(*words[:3], ctypes.c_ulong(flags), words[3]), "cannot mount", target)


def _libc() -> CDLL:
    import ctypes

    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str, about: str | None = None) -> None:
    import ctypes

    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}", about)
