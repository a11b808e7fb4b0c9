"""A glance at what could be an answer: cheap, without a fork, and nothing of it is read.

Looked for are the few names that answer one request: `places` of gate/votes/inbox.py, and in the directories of people
who may bring signed answers of others, which `places` names as they are, those of `carried`. A directory that nothing
has come to since none of them was there is not even looked into: its change time tells. (Other names to look for come
with a changed gate.yaml only, and so with a step that has looked for them.)
"""

from __future__ import annotations

import os
import time

from gate.store import beneath

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gate.shapes import StepResult

SETTLED_NS = 1_000_000_000  # the clock that stamps files is coarse: in one tick more may come than it tells
_WHOLE = 6  # of an identity that is no error's number
_CHANGED = 3  # its place of the change time
_UNKNOWN = "/.vote"
_NONE: tuple[int, ...] = ()


class Glance:
    """The glances of one waiting job."""

    def __init__(self) -> None:
        """Nothing is known."""
        self._quiet: dict[str, tuple[int, ...]] = {}
        """Where a source had none of its names: the directory, as it was just before."""

    def found(self, now: StepResult) -> dict[str, frozenset[object]]:
        """The names that are there, for each source, each with what tells its content."""
        root = open_root(now["root"])
        carried, directories = now.get("carried"), dict[str, tuple[int, ...]]()
        found: dict[str, frozenset[object]] = {}
        for source, paths in now["places"].items():
            directory = paths[0].partition("/")[0]
            if directory not in directories:
                directories[directory] = _settled(beneath.identity(root, directory))
            if directories[directory] and directories[directory] == self._quiet.get(source):
                found[source] = frozenset()
                continue
            names = names_of(paths, carried)
            found[source] = frozenset((name, there) for name in names if (there := beneath.identity(root, name)))
            self._quiet[source] = _NONE if found[source] else directories[directory]
        close_root(root)
        return found | {"page": frozenset(name for name in _listed(now["votes"]) if name[-5:] == ".vote")}


def names_of(paths: list[str], carried: list[str] | None) -> list[str]:
    """Where a source's answers can lie.

    A directory stands for what is carried there, if the step has said what that is.
    """
    if carried is None:
        return paths
    named = [path for path in paths if "/" in path]
    return named + [f"{path}/{name}" for path in paths if "/" not in path for name in carried]


def open_root(path: str) -> int:
    """A descriptor on `drop/`.

    -1 where the host has none left, so that a look is due.
    """
    try:
        return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return -1


def close_root(root: int) -> None:
    """Let go of it."""
    if root >= 0:
        os.close(root)


def _settled(directory: tuple[int, ...]) -> tuple[int, ...]:
    """Empty where the same mark could soon be that of another state, or there is no mark at all."""
    if len(directory) != _WHOLE or time.time_ns() - directory[_CHANGED] < SETTLED_NS:
        return _NONE
    return directory


def _listed(directory: str) -> list[str]:
    """The names there; where the host cannot tell them (no file handle left, a failing disk), one that no vote has.

    So that a look is due, which says why.
    """
    try:
        return os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []
    except OSError:
        return [_UNKNOWN]
