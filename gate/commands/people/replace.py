"""gate.yaml, replaced by another text: whole, checked beforehand, with the same owner and mode.

Two at once take turns.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from config.faults import ConfigError
from config.load import load_policy_as_reader, policy_from, state_owner
from gate.commands.fault import CommandError
from gate.store.files import fsync_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gate.shapes import Policy

LOCKED_WITHIN_S = 10


@dataclass(frozen=True)
class Replaced:
    """The texts before and after, and the policies that they come to."""

    before: str
    after: str
    old: Policy
    new: Policy


def replace(path: str, edit: Callable[[str, Policy], str], *, dry_run: bool = False) -> Replaced:
    """Write what `edit` makes of gate.yaml's text and policy; with `dry_run` only return it.

    Raises:
        ConfigError: gate.yaml has faults already.
        CommandError: `edit` raised it, the new text has faults, or it cannot be written; nothing was changed then.
    """
    with nullcontext() if dry_run else _alone(path):
        old, _digest = load_policy_as_reader(path)
        found, data = _read(path)
        before = data.decode("utf-8-sig")
        after = edit(before, old)
        try:
            new = policy_from(after.encode(), path, runner_uid=state_owner(path))
        except ConfigError as error:
            raise CommandError(f"nothing was changed, since gate.yaml would not be right any more:\n{error}") from error
        if not dry_run and after != before:
            _write(path, after.encode(), found, data)
        return Replaced(before, after, old, new)


@contextmanager
def _alone(path: str) -> Iterator[None]:
    """Keep out others like this.

    An editor takes no lock: what it changes meanwhile is seen before the file is replaced.
    """
    from filelock import FileLock, Timeout

    directory, name = os.path.split(os.path.abspath(path))
    lock_file = os.path.join(directory, f".{name}.lock")
    if not os.access(directory, os.W_OK, effective_ids=True):
        raise CommandError(f"{path} is its operator's to change: try sudo; nothing was changed")
    lock = FileLock(lock_file, timeout=LOCKED_WITHIN_S, mode=0o600)
    try:
        lock.acquire()
    except Timeout as error:
        words = f"another process has held it for {LOCKED_WITHIN_S} s; nothing was changed"
        raise CommandError(f"{lock_file}: {words}") from error
    except (OSError, NotImplementedError) as error:
        words = getattr(error, "strerror", None) or str(error)
        raise CommandError(f"cannot lock {lock_file}: {words}; nothing was changed") from error
    try:
        yield
    finally:
        lock.release()


def _read(path: str) -> tuple[os.stat_result, bytes]:
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as source:
        return os.fstat(source.fileno()), source.read()


def _write(path: str, content: bytes, found: os.stat_result, read: bytes) -> None:
    fresh = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.{os.urandom(8).hex()}")
    try:
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as target:
            target.write(content)
            target.flush()
            _make_alike(path, target.fileno(), found)
            os.fsync(target.fileno())
        if _read(path)[1] != read:
            raise CommandError(
                f"{path} was changed by somebody else meanwhile: look at it, and try again; nothing was changed"
            )
        os.rename(fresh, path)
        fsync_directory(os.path.dirname(path) or ".")
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}; nothing was changed") from error
    finally:
        if os.path.lexists(fresh):
            os.unlink(fresh)


def _make_alike(path: str, descriptor: int, found: os.stat_result) -> None:
    """Owner, group, ACL and other attributes first: with a new owner, mode bits can go."""
    if (found.st_uid, found.st_gid) != (os.geteuid(), os.getegid()):
        os.fchown(descriptor, found.st_uid, found.st_gid)
    for name in os.listxattr(path):
        os.setxattr(descriptor, name, os.getxattr(path, name))
    os.fchmod(descriptor, found.st_mode & 0o7777)
