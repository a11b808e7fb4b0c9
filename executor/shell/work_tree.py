"""The directories of a job: its own `work/<key>`, removed after it, and its project's `cache/<project>`.

Another job of the same user may still be at it: every step goes through a descriptor of the directory itself, and no
link is followed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat

from gate.hashes import sha256
from gate.store import rmtree
from gate.store.rmtree import DIRECTORY, PRIVATE

_STICKY = 0o1777
# Each with its mode; only the job's user can pass through the tree above them. What is /tmp for the job is so for
# whomever it becomes by sudo, too.
_PARTS = {"builds": PRIVATE, "home": PRIVATE, "tmp": _STICKY, "var-tmp": _STICKY}


def make(path: str, uid: int, gid: int, *, short: bool) -> None:
    """Make `path` and what is in it for the job's user; `short`: with a short path to its tmp/, too.

    Raises OSError; FileExistsError if it is there already.
    """
    os.mkdir(path, PRIVATE)
    try:
        top = os.open(path, DIRECTORY)
        try:
            os.fchmod(top, PRIVATE)  # whatever the umask
            for name in _PARTS:
                _make_part(top, name, uid, gid)
            if short:
                os.symlink(os.path.join(os.path.basename(path), "tmp"), short_tmp(path))
            os.fchown(top, uid, gid)  # last: until now only we could get in
        finally:
            os.close(top)
    except OSError:
        remove(path)
        raise


def complete(path: str, uid: int, gid: int) -> None:
    """Make what a tree lacks, since the job removed it, or an older version of the gate made the tree.

    Raises OSError.
    """
    missing = [name for name in _PARTS if not os.path.lexists(os.path.join(path, name))]
    if not missing:
        return
    top = os.open(path, DIRECTORY)
    try:
        for name in missing:
            _make_part(top, name, uid, gid)
    finally:
        os.close(top)


def short_tmp(path: str) -> str:
    """A link beside the tree `path`, to its tmp/: a job's own paths are too long for names of sockets (107 bytes)."""
    parent, name = os.path.split(path)
    return os.path.join(parent, f".{sha256(name.encode()).hexdigest()[:16]}")


def _make_part(top: int, name: str, uid: int, gid: int) -> None:
    os.mkdir(name, PRIVATE, dir_fd=top)
    os.chmod(name, _PARTS[name], dir_fd=top)
    os.chown(name, uid, gid, dir_fd=top, follow_symlinks=False)


def make_cache(path: str, uid: int, gid: int) -> None:
    """Make a project's cache directory for the job's user, or check the one that is there; raises OSError."""
    parent = os.open(os.path.dirname(path), DIRECTORY)
    try:
        fcntl.flock(parent, fcntl.LOCK_EX)  # two jobs of one project; only R can read, and so lock, the parent
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
    os.mkdir(fresh, PRIVATE, dir_fd=parent)
    os.chmod(fresh, PRIVATE, dir_fd=parent)
    os.chown(fresh, uid, gid, dir_fd=parent, follow_symlinks=False)
    os.rename(fresh, name, src_dir_fd=parent, dst_dir_fd=parent)


def remove(path: str) -> None:
    """Remove a job's tree and all in it, however deep; nothing there is fine. Raises OSError if something is left."""
    rmtree.remove(path, rmtree.Allowance())
    if os.path.islink(short_tmp(path)):
        os.unlink(short_tmp(path))
