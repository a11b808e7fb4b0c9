"""Reading a drop: a file that a person leaves in their own drop directory, with the comment as its text.

Rules, in this order; the first that fails decides (threats T9, T15 to T17):

- The directory is opened across no link and no mount (gate/store/beneath.py) and counts only if its owner is the
  person's uid and no one else has any right on it (an ACL shows in the mode's group bits, as its mask).
- The file is opened by O_PATH first, relative to that directory and likewise: nothing that is not a regular file is
  ever opened for reading. Its owner is the person, it has one link.
- It is ready when no process has it open for writing: a read lease is granted then and only then (fcntl(2),
  F_SETLEASE). A writer that comes while we read breaks the lease, and what was read is thrown away. Where leases are
  not allowed, a file is ready when it has not changed for SETTLED_S.
- An approval has content: a disk that is full leaves empty files. People with nothing to say write `ok`.
- In `drop/signed/`, which is the gate's own and shared, a file may be anybody's: its signature tells whose answer it
  is.
- Whatever is wrong with a directory or a file is its owner's: a DropError, and no one else's answer waits for it. Only
  where this process or the host has nothing left to look with (HOSTS_OWN), the error is raised as it is: then no one's
  answer can be known, and nothing may be decided.
- What is counted or turned away is first moved to a directory of ours by rename(2). If the inode that arrives is not
  the one judged, somebody swapped it: it is moved back without replacing anything.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from contextlib import suppress

from audit.descriptor import Held
from gate.errors import GateError
from gate.model.words import ascii_json_bytes
from gate.named_tuple import NamedTuple
from gate.store.beneath import DIRECTORY, open_beneath
from gate.store.files import rename_without_replacing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

ANSWERS = ("approve", "reject")
FILE_MAX_BYTES = 16 * 1024
COMMENT_MAX_CHARACTERS = 1000
COMMENT_MAX_RECORD_BYTES = 5000  # as ASCII JSON, so that a record with it stays under the log's 8 KiB
SETTLED_S = 1.0
SECOND_LINK_GRACE_S = 5.0
OK = "ok"  # what an approval without a comment says: that it is one, and not what a full disk left
HOSTS_OWN = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class Reading(NamedTuple):
    """What became of one drop: state is ready, later, gone or bad; `why` says more; `file` identifies the inode."""

    state: Literal["ready", "later", "gone", "bad"]
    text: str
    why: str
    file: os.stat_result | None


class DropError(GateError):
    """A drop, or a directory of drops, that cannot be looked at; the message says why and what to do."""


class DropDirectoryError(DropError):
    """A drop directory whose drops do not count."""


def open_directory(root: int, person: str, uid: int) -> int:
    """A descriptor on `drop/<person>/`, relative to a descriptor on `drop/`.

    Raises:
        DropDirectoryError: it is not there, or is not the person's alone.
        OSError: this process has nothing left to open it with.
    """
    directory = _open(root, person)
    why = _directory_fault(os.fstat(directory), uid)
    if why:
        os.close(directory)
        raise DropDirectoryError(f"drop/{person} {why}")
    return directory


def _directory_fault(found: os.stat_result, uid: int) -> str | None:
    if found.st_uid != uid:
        return f"belongs to uid {found.st_uid}, not {uid}; chown it"
    if found.st_mode & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        return f"has mode {mode:04o}, others have rights on it; remove any ACL (setfacl -b) and chmod 0700"
    return None


def open_signed(root: int) -> int:
    """A descriptor on `drop/signed/`, relative to a descriptor on `drop/`; what lies in it proves itself.

    Raises:
        DropDirectoryError: it is not there, or is not the gate's own.
        OSError: this process has nothing left to open it with.
    """
    directory = _open(root, "signed")
    found = os.fstat(directory)
    if found.st_uid == os.geteuid():
        return directory
    os.close(directory)
    raise DropDirectoryError(f"drop/signed belongs to uid {found.st_uid}; move it away")


def _open(root: int, name: str) -> int:
    try:
        return open_beneath(root, name, DIRECTORY)
    except OSError as error:
        if error.errno in HOSTS_OWN:
            raise
        raise DropDirectoryError(f"drop/{name} {fault_words(error)}") from error


def fault_words(error: OSError) -> str:
    """What is wrong with something that open_beneath() could not open; goes on after its path."""
    if error.errno == errno.EXDEV:
        return "is a mount: unmount it"
    return f"cannot be opened: {error.strerror}"


def is_read(name: str) -> bool:
    """Whether a file of that name is ever looked at: careful writers write under another one first."""
    return not name.startswith(".") and not name.endswith(".tmp")


def names_of(job_id: int, key: str) -> list[str]:
    """The names of drops that answer this request: by its job number or by its key.

    Approvals first: where one person left both, the rejection is the later one.
    """
    return [f"{stem}.{answer}" for answer in ANSWERS for stem in (str(job_id), key)]


def misnamed(job_id: int) -> list[str]:
    """The names that people give an answer by mistake: few, so that each is looked up, and no directory is listed."""
    return [f"{job_id}.{wrong}" for wrong in ("approved", "rejected", "approve.txt", "reject.txt")]


def answer_of(name: str) -> tuple[str, str] | None:
    """(job number or key, answer) of a drop's name, or None where it is not one."""
    stem, _, answer = name.rpartition(".")
    if not stem or stem.startswith(".") or answer not in ANSWERS:
        return None
    return stem, answer


def read(directory: int, name: str, uid: int) -> Reading:
    """Judge and read one drop of that user; see the module's rules. Its text is the comment.

    Raises:
        DropError: it cannot be looked at.
        OSError: this process has nothing left to open it with.
    """
    reading = _read(directory, name, uid, _judge_comment)
    if reading.state != "ready":
        return reading
    if not reading.text and name.endswith(".approve"):
        return reading._replace(state="bad", why=f"is empty, and an approval needs content: write {OK!r} into it")
    return reading._replace(text="" if reading.text == OK else reading.text)


def read_ascii(directory: int, name: str, uid: int | None = None) -> Reading:
    """As `read`; without a uid, any owner is right; its text is all that is in it, ASCII."""
    return _read(directory, name, uid, _judge_ascii)


def _read(directory: int, name: str, uid: int | None, judge: Callable[[bytes, os.stat_result], Reading]) -> Reading:
    try:
        held = open_beneath(directory, name)
    except FileNotFoundError:
        return Reading("gone", "", "", None)
    except OSError as error:
        if error.errno in HOSTS_OWN:
            raise
        raise DropError(fault_words(error)) from error
    with Held(held):
        found = os.fstat(held)
        why = _file_fault(found, uid)
        if why:
            return Reading("bad", "", why, found)
        if found.st_nlink != 1:
            return _second_link(found)
        return _read_when_ready(held, found, judge)


def _file_fault(found: os.stat_result, uid: int | None) -> str | None:
    if not stat.S_ISREG(found.st_mode):
        return "not a regular file"
    if uid not in (None, found.st_uid):
        return f"belongs to uid {found.st_uid}, not {uid}"
    return None


def _second_link(found: os.stat_result) -> Reading:
    """A second name may be a half-done `ln` and `rm` of a careful writer: it gets a moment."""
    if found.st_nlink == 0:
        return Reading("gone", "", "", None)
    if time.time() - found.st_ctime < SECOND_LINK_GRACE_S:
        return Reading("later", "", "has a second link", found)
    return Reading("bad", "", "has a second link", found)


def _read_when_ready(held: int, judged: os.stat_result, judge: Callable[[bytes, os.stat_result], Reading]) -> Reading:
    try:
        # The link in /proc leads to the very inode that was judged, whatever has that name by now.
        source = os.open(f"/proc/self/fd/{held}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in HOSTS_OWN:
            raise
        if error.errno in (errno.EWOULDBLOCK, errno.ENOENT):
            return Reading("later", "", "is open for writing", judged)
        if error.errno in (errno.EACCES, errno.EPERM):
            return Reading("bad", "", f"cannot be opened: {error.strerror}", judged)
        raise DropError(fault_words(error)) from error
    try:
        return _read_leased(source, judged, judge)
    except OSError as error:
        if error.errno in HOSTS_OWN:
            raise
        raise DropError(f"cannot be read: {error.strerror}") from error
    finally:
        os.close(source)


def _read_leased(source: int, judged: os.stat_result, judge: Callable[[bytes, os.stat_result], Reading]) -> Reading:
    leased = _lease(source, judged)
    if leased is None:
        return Reading("later", "", "is open for writing", judged)
    content = _read_up_to(source, FILE_MAX_BYTES + 1)
    intact = not leased or fcntl.fcntl(source, fcntl.F_GETLEASE) == fcntl.F_RDLCK
    now = os.fstat(source)
    if not intact or _version(now) != _version(judged):
        return Reading("later", "", "changed while it was read", now)
    if len(content) > FILE_MAX_BYTES:
        return Reading("bad", "", f"is larger than {FILE_MAX_BYTES // 1024} KiB", judged)
    return judge(content, judged)


def _lease(source: int, judged: os.stat_result) -> bool | None:
    """True: leased. False: leases are not allowed here, but the file has settled. None: somebody writes, or may."""
    try:
        fcntl.fcntl(source, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        if error.errno == errno.EAGAIN:
            return None
        settled = time.time() - max(judged.st_mtime, judged.st_ctime) >= SETTLED_S
        return False if settled else None
    return True


def _read_up_to(source: int, limit: int) -> bytes:
    content = b""
    while len(content) < limit:
        piece = os.read(source, limit - len(content))
        if not piece:
            break
        content += piece
    return content


def _version(found: os.stat_result) -> tuple[int, ...]:
    return (found.st_ino, found.st_dev, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _judge_comment(content: bytes, judged: os.stat_result) -> Reading:
    try:
        text = content.decode("utf-8").strip()
    except UnicodeDecodeError:
        return Reading("bad", "", "is not UTF-8 text", judged)
    fault = comment_fault(text)
    return Reading("bad", "", fault, judged) if fault else Reading("ready", text, "", judged)


def _judge_ascii(content: bytes, judged: os.stat_result) -> Reading:
    if not content.isascii():
        return Reading("bad", "", "is not ASCII text", judged)
    return Reading("ready", content.decode("ascii"), "", judged)


def comment_fault(text: str) -> str | None:
    """Why `text` cannot be a comment, or None."""
    if len(text) > COMMENT_MAX_CHARACTERS:
        return f"its comment has {len(text)} characters, more than {COMMENT_MAX_CHARACTERS}"
    if ascii_json_bytes(text) > COMMENT_MAX_RECORD_BYTES:
        return f"its comment needs more than {COMMENT_MAX_RECORD_BYTES} bytes in the audit log; write less"
    if "\0" in text:
        return "its comment holds a NUL character"
    return None


def take(directory: int, name: str, judged: os.stat_result, into: int, new_name: str) -> bool:
    """Move a judged drop to `new_name` in our directory `into`; False where it was swapped or has gone.

    Raises:
        OSError: it could not be moved.
    """
    try:
        os.rename(name, new_name, src_dir_fd=directory, dst_dir_fd=into)
    except FileNotFoundError:
        return False
    moved = os.lstat(new_name, dir_fd=into)
    if (moved.st_ino, moved.st_dev) == (judged.st_ino, judged.st_dev):
        return True
    with suppress(OSError):  # that name is taken again already: what we hold stays turned away
        rename_without_replacing(into, new_name, directory, name)
    return False
