"""How state reaches the disk: each file is written once, whole, and durably, or not at all.

A file is made without a name (O_TMPFILE), filled, fsynced and closed for writing; only then is it linked in from a read
descriptor. link(2) never replaces, so the first of two writers wins, and a reader never meets half a file. A crash
before the link leaves nothing behind. See open(2) O_TMPFILE and threats T17, T31.
"""

from __future__ import annotations

import errno
import os
import stat

from audit.descriptor import Held, held_directory
from gate.errors import GateError
from gate.store.json_text import parsed as parsed_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

STATE_FILE_MAX_BYTES = 4 * 1024 * 1024
STATE_MODE = 0o640
STATE_VERSION = 1  # of every state file's form; one that is none of this gate's is not guessed at


class StateError(GateError):
    """The state on disk could not be read or written; the message is one line for people."""


class MissingError(StateError):
    """There is nothing to read."""


def write_once(directory: str, name: str, content: bytes, mode: int = STATE_MODE) -> bool:
    """Make `directory/name` with exactly `content`, durably; False where the name was taken already.

    Raises:
        StateError: it could not be written, or not made durable; then nothing has that name because of us, unless only
            the directory's fsync failed.
    """
    try:
        written = _nameless_file(directory, content, mode)
    except OSError as error:
        raise StateError(f"cannot write {os.path.join(directory, name)}: {error.strerror}") from error
    try:
        return _link_in(written, directory, name)
    except OSError as error:
        raise StateError(f"cannot write {os.path.join(directory, name)}: {error.strerror}") from error
    finally:
        os.close(written)


def write_json_once(directory: str, name: str, value: Mapping[str, object], mode: int = STATE_MODE) -> bool:
    """As write_once, for one JSON object."""
    import json

    return write_once(directory, name, json.dumps(value, sort_keys=True, indent=1).encode() + b"\n", mode)


def read_json(path: str) -> Any:
    """The JSON object in a state file, or None where there is none; the caller says which of gate/shapes.py it has.

    Raises:
        StateError: there is something else there, or it cannot be read.
    """
    try:
        content, _found = read_file(path, STATE_FILE_MAX_BYTES)
    except MissingError:
        return None
    if len(content) > STATE_FILE_MAX_BYTES:
        raise StateError(f"{path} is larger than {STATE_FILE_MAX_BYTES} bytes")
    try:
        value = parsed_json(content.decode())
    except (ValueError, RecursionError) as error:
        raise StateError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise StateError(f"{path} holds no JSON object")
    if value.get("v", STATE_VERSION) != STATE_VERSION:
        raise StateError(
            f"{path} is not of this version of the gate: it has v {value['v']!r}, so a newer one wrote it; "
            "install that one"
        )
    return value


def read_file(path: str, limit: int) -> tuple[bytes, os.stat_result]:
    """What is in a regular file, at most one byte more than `limit`, and its status, both from one descriptor.

    Raises:
        MissingError: there is nothing.
        StateError: there is something else there, or it cannot be read.
    """
    try:
        with Held(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)) as descriptor:
            found = os.fstat(descriptor)
            # Looked at before open(), which raises by itself on a directory.
            if not stat.S_ISREG(found.st_mode):
                raise StateError(f"{path} is not a regular file")
            with open(descriptor, "rb", closefd=False) as source:
                return source.read(limit + 1), found
    except OSError as error:
        kind = MissingError if isinstance(error, FileNotFoundError) else StateError
        raise kind(f"cannot read {path}: {error.strerror}") from error


def exists(path: str) -> bool:
    """Whether something has that name.

    os.path.lexists() answers no where the disk answers nothing at all, and a request would seem not to have ended.

    Raises:
        StateError: it cannot be looked for.
    """
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise StateError(f"cannot look for {path}: {error.strerror}") from error
    return True


def rename_without_replacing(source: int, name: str, target: int, new_name: str) -> None:
    """renameat2(2) with RENAME_NOREPLACE, between two directories given by their descriptors.

    Raises:
        OSError: it could not be renamed; FileExistsError where that name is taken.
    """
    import ctypes

    rename_noreplace = 1
    renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    if renameat2(source, os.fsencode(name), target, os.fsencode(new_name), rename_noreplace) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), name)


def fsync_directory(directory: str) -> None:
    """Make a new name in `directory` durable: fsync of a file does not (fsync(2))."""
    with held_directory(directory) as descriptor:
        os.fsync(descriptor)


def make_directory(path: str, mode: int, *, gid: int = -1) -> None:
    """Make a directory of ours with exactly `mode`, or bring an existing one of ours to it.

    Raises:
        StateError: it cannot be made, or what is there is not a directory of this uid.
    """
    try:
        _make_directory(path, mode, gid)
    except OSError as error:
        raise StateError(f"cannot make {path}: {error.strerror}") from error


def _make_directory(path: str, mode: int, gid: int) -> None:
    try:
        os.mkdir(path, 0o700)
        fsync_directory(os.path.dirname(path))
    except FileExistsError:
        pass
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise StateError(f"{path} is not a directory of uid {os.geteuid()}; move it away")
    if gid not in (-1, found.st_gid):
        os.chown(path, -1, gid)
    if stat.S_IMODE(os.lstat(path).st_mode) != mode:
        os.chmod(path, mode)


def _nameless_file(directory: str, content: bytes, mode: int) -> int:
    """A durable file without a name; returns a read descriptor on it, with no writer left."""
    with Held(os.open(directory, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)) as writer:
        # A full disk shows as a short write first, and as ENOSPC only at the next one.
        if os.write(writer, content) != len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fchmod(writer, mode)
        os.fsync(writer)
        return os.open(f"/proc/self/fd/{writer}", os.O_RDONLY | os.O_CLOEXEC)


def _link_in(descriptor: int, directory: str, name: str) -> bool:
    with held_directory(directory) as target:
        # src_dir_fd makes Python call linkat(2) with AT_SYMLINK_FOLLOW; plain link() would link the /proc symlink
        # itself.
        try:
            os.link(f"/proc/self/fd/{descriptor}", name, src_dir_fd=target, dst_dir_fd=target)
            first = True
        except FileExistsError:
            first = False
        # Also where another was first: it may have been killed before its fsync, and we go on from its file.
        os.fsync(target)
        return first
