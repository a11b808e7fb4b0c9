"""Looking at what others own without being led away: openat2(2), beneath a directory of ours.

The owner of a directory can plant links in it and mount file systems over its names, and a file system that its own
user serves (FUSE) may never answer. So a name there is opened relative to a descriptor of ours, across no mount and no
link: a mount gives EXDEV before the mounted file system is asked anything.

Python has no openat2, and the C library got it late, so it is called by its number, which is 437 on every architecture.
It is there since Linux 5.6 (docs/adr/0023-openat2.md).
"""

from __future__ import annotations

import ctypes
import errno
import os

from audit.descriptor import Held, held_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_OPENAT2 = 437
_NO_XDEV, _NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 0x01, 0x02, 0x04, 0x08
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_HANDLE = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_beneath(directory: int, path: str, flags: int = _HANDLE) -> int:
    """A descriptor on `path`, relative to the descriptor `directory`; by default one that only stands for it (O_PATH).

    Raises:
        OSError: it cannot be opened; EXDEV where a mount is on the way, ELOOP where a link is.
    """
    how = _OpenHow(flags, 0, _NO_XDEV | _NO_MAGICLINKS | _NO_SYMLINKS | _BENEATH)
    descriptor: int = _libc.syscall(
        ctypes.c_long(_OPENAT2),
        ctypes.c_long(directory),
        ctypes.c_char_p(os.fsencode(path)),
        ctypes.byref(how),
        ctypes.c_size_t(ctypes.sizeof(how)),
    )
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)
    return descriptor


def stat_beneath(directory: int, path: str) -> os.stat_result:
    """What lies at `path`, itself where it is a link.

    Raises:
        OSError: as open_beneath.
    """
    with Held(open_beneath(directory, path)) as handle:
        return os.fstat(handle)


def identity(directory: int, path: str) -> tuple[int, ...]:
    """What distinguishes states of `path`.

    Empty where nothing is there, the error's number where it cannot be looked at.
    """
    try:
        found = stat_beneath(directory, path)
    except FileNotFoundError:
        return ()
    except OSError as error:
        return (error.errno or 0,)
    return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_nlink, found.st_uid)


def missing(opener: Callable[[int, str], int] = open_beneath) -> str:
    """Why this host cannot look that way, in words; "" where it can."""
    try:
        with held_directory("/", os.O_PATH) as root:
            os.close(opener(root, "."))
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EPERM):
            return (
                f"the kernel has no openat2(2), or something forbids it ({error.strerror}): Linux 5.6 or "
                "newer is needed"
            )
        return f"openat2(2) does not work: {error.strerror}"
    return ""
