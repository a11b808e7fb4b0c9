"""Removing a tree that somebody else filled, with anything, and may still be filling.

Every step goes through a descriptor of the directory itself, which is taken over first, so no link is followed and no
one is raced. A directory is never entered below the top: what it holds moves up there, so paths, descriptors and memory
stay few however deep or wide the tree is, and a removal that was cut short is gone on with by the next. What is mounted
in it is no part of it, and stays.
"""

from __future__ import annotations

import errno
import itertools
import os

from audit.descriptor import Held, held_directory
from gate.errors import GateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

PRIVATE = 0o700
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
BATCH_NAMES = 1000


class SpentError(GateError):
    """As much was removed as was allowed; the rest is for another time."""


class Allowance:
    """How many names may still be removed while a job has to wait for it."""

    def __init__(self, names: float = float("inf")) -> None:
        """Without a number there is no end."""
        self.left = names

    def take(self) -> None:
        """Use one.

        Raises:
            SpentError: there is none left.
        """
        if self.left < 1:
            raise SpentError
        self.left -= 1


def remove(path: str, allowed: Allowance) -> None:
    """Remove a directory and all in it; nothing there is fine.

    Raises:
        OSError: something is left.
        SpentError: more is left than is allowed.
    """
    name = os.path.basename(path)
    with held_directory(os.path.dirname(path), os.O_PATH | os.O_NOFOLLOW) as parent:
        try:
            top = take_over(name, parent)
        except FileNotFoundError:
            return
        with Held(top):
            _empty(top, allowed)
        allowed.take()
        os.rmdir(name, dir_fd=parent)


def take_over(name: str, parent: int) -> int:
    """Open a directory for reading, once it is ours alone: then descriptors that a job's process kept are of no use."""
    with Held(os.open(name, os.O_PATH | DIRECTORY, dir_fd=parent)) as handle:
        if _mount_of(handle) != _mount_of(parent):
            raise OSError(errno.EBUSY, "is a mount: unmount it", name)
        itself = f"/proc/self/fd/{handle}"  # chmod and chown have no way not to follow a link, and take no O_PATH
        if os.geteuid() == 0:
            os.chown(itself, 0, 0)
        os.chmod(itself, PRIVATE)
        return os.open(itself, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _empty(top: int, allowed: Allowance) -> None:
    fresh = (f".{os.urandom(8).hex()}.{number}" for number in itertools.count())
    while found := _some(top):
        for name, is_directory in found:
            if is_directory:
                _dissolve(name, top, fresh, allowed)
            else:
                allowed.take()
                os.unlink(name, dir_fd=top)


def _dissolve(name: str, top: int, fresh: Iterator[str], allowed: Allowance) -> None:
    """Remove a directory in `top`, after its files; its directories move up."""
    with Held(take_over(name, top)) as directory:
        while found := _some(directory):
            for child, is_directory in found:
                allowed.take()
                if is_directory:
                    _move(child, directory, next(fresh), top)
                else:
                    os.unlink(child, dir_fd=directory)
    allowed.take()
    os.rmdir(name, dir_fd=top)


def _some(directory: int) -> list[tuple[str, bool]]:
    with os.scandir(directory) as entries:
        return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in itertools.islice(entries, BATCH_NAMES)]


def _move(name: str, parent: int, new_name: str, top: int) -> None:
    if os.geteuid() != 0:
        os.close(take_over(name, parent))  # moving a directory writes to it, its "..", and it may be read-only
    os.rename(name, new_name, src_dir_fd=parent, dst_dir_fd=top)


def _mount_of(descriptor: int) -> str:
    """The id of the mount that a descriptor is on (proc(5), fdinfo): a bind mount has the same device."""
    with open(f"/proc/self/fdinfo/{descriptor}", encoding="ascii") as source:
        return next(line for line in source if line.startswith("mnt_id:"))
