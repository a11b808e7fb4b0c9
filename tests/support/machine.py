"""The machine that tests run on, which they must leave as it is: how a test's namespace is shut, and what is compared."""

from __future__ import annotations

import os
import shlex
import stat
import tempfile

# What a test that runs advice as root could open to others, or take from root, if its namespace were not shut.
COMPARED = (
    "/",
    "/etc",
    "/home",
    "/opt",
    "/root",
    "/run",
    "/tmp",
    "/usr",
    "/usr/local",
    "/usr/local/bin",
    "/var",
    "/var/lib",
)
_TEMPORARY = shlex.quote(tempfile.gettempdir())
# Last in a mount namespace: all of the machine's disk is read-only there, / itself too, but for what was bound before.
SHUT = (f"mount --bind {_TEMPORARY} {_TEMPORARY}", "mount -o remount,bind,ro /")

Look = dict[str, str]


def look(paths: tuple[str, ...] = COMPARED) -> Look:
    """The owner, group and mode of each path that there is."""
    return {path: _words(os.lstat(path)) for path in paths if os.path.lexists(path)}


def changes(before: Look, after: Look) -> list[str]:
    """What is not as it was, a line each."""
    paths = sorted({*before, *after})
    pairs = [(path, before.get(path, "not there"), after.get(path, "not there")) for path in paths]
    return [f"{path} was {old}, and is {new}" for path, old, new in pairs if old != new]


def _words(state: os.stat_result) -> str:
    return f"{state.st_uid}:{state.st_gid} {stat.S_IMODE(state.st_mode):04o}"
