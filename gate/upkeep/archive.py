"""The archive: an ended request gives up its directory, and leaves its name (docs/adr/0015-archive.md).

`archive/<year>-<month>/<key>` is an empty file that no job gets by: what comes again under the key of a request that
was decided, and ended, is refused, as it was while jobs/<key>/ was there. What else was to be kept is in the audit log.

The name is durable first, then the directory moves to `archive/removing/`, then it is emptied there. What is cut short
in between is gone on with by the next sweep. Only what is certainly over goes: ended.json is old, and the log has its
record.
"""

from __future__ import annotations

import os
import time

from audit import log
from gate.model.words import shown
from gate.store import layout
from gate.store.files import StateError, fsync_directory, make_directory, write_once
from gate.store.request import keys, load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gate.store.request import Request
    from gate.store.rmtree import Allowance

AT_ONCE_MAX = 10  # requests in one sweep, each with its fsyncs: no job waits long for the end of others
_STATE_FILES = ("request.json", "decision.json", "release.json", "started", "ended.json")
_POSITION_PARTS = 2  # segment and offset


def is_archived(state_dir: str, key: str) -> bool:
    """Whether a request of that key was here once, and its directory is gone or going.

    Raises:
        StateError: it cannot be looked up.
    """
    try:
        return any(_is_there(os.path.join(layout.archive(state_dir), month, key)) for month in _months(state_dir))
    except OSError as error:
        raise StateError(f"cannot look into {layout.archive(state_dir)}: {error.strerror}") from error


def refusal(key: str) -> str:
    """What is said to a job whose key is archived."""
    return (
        f"{key} was here before, has ended, and is archived (a restored GitLab?): refused; run the job "
        "again, so that it"
        " gets a new number"
    )


def untouched(state_dir: str, own_key: str, before_s: float) -> list[str]:
    """The keys of all directories in jobs/ but the job's own to which no name was added since: what may be due.

    Raises:
        OSError: jobs/ cannot be read.
    """
    return [
        key for key in keys(state_dir) if key != own_key and os.lstat(layout.job(state_dir, key)).st_mtime < before_s
    ]


def archive_ended(state_dir: str, found: list[str], before_s: float, now_s: float) -> list[str]:
    """Archive some of `found` that ended before that; returns a line for each that is odd, and stays.

    Raises:
        StateError, AuditError, OSError: it cannot be gone on with.
    """
    faults, over = [], []
    for key in _some([key for key in found if _is_old(state_dir, key, before_s)]):
        try:
            over.append(_over(state_dir, key))
        except (StateError, OSError) as error:
            faults.append(_cannot(key, error))
    recorded = _recorded(state_dir, over)
    for request in over:
        if request.key in recorded:
            _leave_name(state_dir, request.key, now_s)
            _set_aside(state_dir, request.key)
        else:
            faults.append(
                _cannot(request.key, "the audit log has no record of its end; look who changed one of the two")
            )
    return faults


def set_aside_unopened(state_dir: str, found: list[str]) -> None:
    """Set aside those of `found` that never began to wait: config made them, and prepare never came.

    Raises:
        OSError: it cannot be gone on with.
    """
    for key in found:
        if _is_unopened(layout.job(state_dir, key)):
            _set_aside(state_dir, key)


def forget(state_dir: str, keep_s: int, now_s: float, allowed: Allowance) -> None:
    """Remove the names that were left more than `keep_s` before `now_s`, by whole months.

    Raises:
        OSError: it cannot be gone on with.
        SpentError: more is left than is allowed.
    """
    last = time.strftime("%Y-%m", time.gmtime(now_s - keep_s))
    for month in _months(state_dir):
        if month < last:
            path = os.path.join(layout.archive(state_dir), month)
            for name in os.listdir(path):
                allowed.take()
                os.unlink(os.path.join(path, name))
            os.rmdir(path)


def _months(state_dir: str) -> list[str]:
    try:
        found = os.listdir(layout.archive(state_dir))
    except FileNotFoundError:  # an older version of the gate ran here
        return []
    return [name for name in found if name != os.path.basename(layout.removing(state_dir))]


def _some(due: list[str]) -> list[str]:
    """At most AT_ONCE_MAX, from anywhere on: those that cannot go must not keep out the others."""
    first = int.from_bytes(os.urandom(4)) % max(len(due), 1)
    return (due[first:] + due[:first])[:AT_ONCE_MAX]


def _is_old(state_dir: str, key: str, before_s: float) -> bool:
    try:
        return os.lstat(os.path.join(layout.job(state_dir, key), "ended.json")).st_mtime < before_s
    except (FileNotFoundError, NotADirectoryError):
        return False


def _over(state_dir: str, key: str) -> Request:
    """A request that says itself that it has ended.

    Raises:
        StateError: it does not, or cannot be read.
    """
    request = load(state_dir, key)
    ended = request.file("ended.json") if request else None
    whole = ended and ended.get("key") == key and request and request.has("decision.json")
    if request is None or not whole or len(request.opened.get("log_position", ())) != _POSITION_PARTS:
        raise StateError("it has an ended.json, and not all that belongs to it; look who changed it")
    return request


def _recorded(state_dir: str, over: list[Request]) -> set[str]:
    """The keys of those whose end is certainly in the audit log."""
    if not over:
        return set()
    since = min((request.opened["log_position"][0], request.opened["log_position"][1]) for request in over)
    return log.find_all(layout.audit(state_dir), "ended", {request.key for request in over}, since=since)


def _leave_name(state_dir: str, key: str, now_s: float) -> None:
    month = os.path.join(layout.archive(state_dir), time.strftime("%Y-%m", time.gmtime(now_s)))
    make_directory(month, 0o700)
    write_once(month, key, b"", 0o600)


def _set_aside(state_dir: str, key: str) -> None:
    own_name = f"{key}.{os.urandom(8).hex()}"
    os.rename(layout.job(state_dir, key), os.path.join(layout.removing(state_dir), own_name))
    # Before anything of it goes: after a power cut it must not be back, in part.
    fsync_directory(layout.removing(state_dir))
    fsync_directory(layout.jobs(state_dir))


def _is_unopened(directory: str) -> bool:
    try:
        found = os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):  # archived just now, or odd
        return False
    return not any(name in _STATE_FILES or name.startswith("waiting.") for name in found)


def _is_there(path: str) -> bool:
    try:
        os.lstat(path)
    except FileNotFoundError:
        return False
    return True


def _cannot(key: str, why: object) -> str:
    return f"cannot archive {shown(key)}: {why}"
