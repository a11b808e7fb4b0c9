"""The directories of a job: its own `work/<key>`, made for it and removed after it, and its project's `cache/<project>`.

The job may have filled its tree with anything, and another job of the same user may still be at it: every step goes
through a descriptor of the directory itself, and no link is followed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat

_PRIVATE = 0o700
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def make(path: str, uid: int, gid: int) -> None:
    """Make `path` with builds/ and tmp/ for the job's user; raises OSError, FileExistsError if it is there already."""
    os.mkdir(path, _PRIVATE)
    try:
        top = os.open(path, _DIRECTORY)
        try:
            os.fchmod(top, _PRIVATE)  # whatever the umask
            for name in ("builds", "tmp"):
                os.mkdir(name, _PRIVATE, dir_fd=top)
                os.chmod(name, _PRIVATE, dir_fd=top)
                os.chown(name, uid, gid, dir_fd=top, follow_symlinks=False)
            os.fchown(top, uid, gid)  # last: until now only we could get in
        finally:
            os.close(top)
    except OSError:
        remove(path)
        raise


def make_cache(path: str, uid: int, gid: int) -> None:
    """Make a project's cache directory for the job's user, or check the one that is there; raises OSError."""
    parent = os.open(os.path.dirname(path), _DIRECTORY)
    try:
        fcntl.flock(parent, fcntl.LOCK_EX)  # two jobs of one project; nobody but R can read, and so lock, the parent
        name = os.path.basename(path)
        try:
            found = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            _make_whole(parent, name, uid, gid)
            return
        if not stat.S_ISDIR(found.st_mode):
            raise OSError(errno.ENOTDIR, "is not a directory: remove it", path)
        if found.st_uid != uid:
            raise OSError(errno.EPERM, f"is uid {found.st_uid}'s, not the job's user's ({uid}): remove it", path)
    finally:
        os.close(parent)


def _make_whole(parent: int, name: str, uid: int, gid: int) -> None:
    # Renamed into place: one that is not the job's yet is never seen there, not after a crash either.
    fresh = f".{name}.new"
    if fresh in os.listdir(parent):
        os.rmdir(fresh, dir_fd=parent)
    os.mkdir(fresh, _PRIVATE, dir_fd=parent)
    os.chmod(fresh, _PRIVATE, dir_fd=parent)
    os.chown(fresh, uid, gid, dir_fd=parent, follow_symlinks=False)
    os.rename(fresh, name, src_dir_fd=parent, dst_dir_fd=parent)


def remove(path: str) -> None:
    """Remove a directory and all in it, however deep; nothing there is fine. Raises OSError if something is left."""
    try:
        top = _take(path)
    except FileNotFoundError:
        return
    try:
        _empty(top)
    finally:
        os.close(top)
    os.rmdir(path)


def _take(name: str, parent: int | None = None) -> int:
    """Open a directory for reading, once it is ours alone: a descriptor that a job's process kept is no use any more."""
    handle = os.open(name, os.O_PATH | _DIRECTORY, dir_fd=parent)
    try:
        itself = f"/proc/self/fd/{handle}"  # chmod and chown cannot be told not to follow a link, or take O_PATH
        if os.geteuid() == 0:
            os.chown(itself, 0, 0)
        os.chmod(itself, _PRIVATE)
        return os.open(itself, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    finally:
        os.close(handle)


def _empty(top: int) -> None:
    # Each directory found is moved up to the top and emptied there: paths and descriptors stay few however deep it is.
    waiting = _unlink_files(top)
    fresh = os.urandom(8).hex()
    moved = 0
    while waiting:
        name = waiting.pop()
        directory = _take(name, top)
        try:
            for child in _unlink_files(directory):
                moved += 1
                waiting.append(f".{fresh}.{moved}")
                _move(child, directory, waiting[-1], top)
        finally:
            os.close(directory)
        os.rmdir(name, dir_fd=top)


def _unlink_files(directory: int) -> list[str]:
    with os.scandir(directory) as entries:
        found = list(entries)
    for entry in found:
        if not entry.is_dir(follow_symlinks=False):
            os.unlink(entry.name, dir_fd=directory)
    return [entry.name for entry in found if entry.is_dir(follow_symlinks=False)]


def _move(name: str, parent: int, new_name: str, top: int) -> None:
    if os.geteuid() != 0:
        os.close(_take(name, parent))  # moving a directory writes to it, its "..", and it may be read-only
    os.rename(name, new_name, src_dir_fd=parent, dst_dir_fd=top)
