"""`turned-away/`: where drops go that do not count, each with one record.

A note of where the log ends, then the record, then the drop is moved here, then its note goes. After a crash in
between, the next one to come, a look or a sweep, finds by the note whether the record stands already: none of this
drop, which its inode and ctime tell from any other, is older than its note. Of two at once, the later one finds the
note, or no drop.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress

from audit import log
from audit.descriptor import held_directory
from gate.store import layout
from gate.store.beneath import stat_beneath
from gate.store.files import read_json, write_json_once
from gate.votes import drop_file


def note(state_dir: str, directory: int, name: str, file: os.stat_result) -> tuple[int, int] | None:
    """From which position of the log on a record of this drop may stand; None where the drop has gone by now.

    Called before it is recorded: one that has gone is recorded already.

    Raises:
        StateError, AuditError, OSError: it could not be noted.
    """
    path = _note(state_dir, file)
    noted = read_json(path)
    if noted is None:
        noted = {"v": 1, "log_position": list(log.position(layout.audit(state_dir)))}
        if not write_json_once(os.path.dirname(path), os.path.basename(path), noted):
            noted = read_json(path)
    if noted is None or not _is_there(directory, name, file):
        _remove_note(state_dir, file)
        return None
    return noted["log_position"][0], noted["log_position"][1]


def take_away(state_dir: str, directory: int, name: str, file: os.stat_result) -> str:
    """Move a drop here under a name of our own; returns its path, or "" where it was swapped or has gone.

    Raises:
        OSError: it could not be moved.
    """
    path = layout.turned_away(state_dir)
    with held_directory(path) as into:
        own_name = f"{int(time.time())}-{file.st_uid}-{os.urandom(8).hex()}"
        taken = drop_file.take(directory, name, file, into, own_name)
    _remove_note(state_dir, file)
    return os.path.join(path, own_name) if taken else ""


def _note(state_dir: str, file: os.stat_result) -> str:
    return os.path.join(layout.turned_away(state_dir), f"{file.st_ino}-{file.st_ctime_ns}.note")


def _remove_note(state_dir: str, file: os.stat_result) -> None:
    with suppress(FileNotFoundError):  # one that counted has none
        os.unlink(_note(state_dir, file))


def _is_there(directory: int, name: str, file: os.stat_result) -> bool:
    try:
        found = stat_beneath(directory, name)
    except OSError:  # gone, or a mount over it, which cannot be moved
        return False
    return (found.st_ino, found.st_dev) == (file.st_ino, file.st_dev)
