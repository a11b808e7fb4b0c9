"""What is not needed any more and was not removed: trees and caches of jobs, drops that did not count.

- `work/<key>/` of a request that has ended, or is gone: its runner never came to cleanup, or cleanup could not remove
  it.
- `cache/<project>/` of a project that no request on disk is of.
- What was moved to `turned-away/`, and to `archive/removing/`.

A job's tree is the job's user's: it is removed as gate/store/rmtree.py does, within what is allowed at once.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat

from audit.descriptor import held_directory
from gate.model.words import shown
from gate.store import layout, rmtree
from gate.store.request import keys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from gate.store.rmtree import Allowance

_GONE = ".gone."
_TURNED_AWAY = re.compile(r"([0-9]+)-[0-9]+-[0-9a-f]{16}")


def remove_set_aside(state_dir: str, allowed: Allowance) -> list[str]:
    """Empty `archive/removing/`; as all here, returns a line for each thing that cannot be removed.

    Raises:
        OSError: it cannot be gone on with.
        SpentError: more is left than is allowed.
    """
    return _remove_trees(layout.removing(state_dir), os.listdir(layout.removing(state_dir)), allowed)


def remove_turned_away(state_dir: str, before_s: float, allowed: Allowance) -> list[str]:
    """Remove what was turned away before that time."""
    directory, faults = layout.turned_away(state_dir), []
    for name in os.listdir(directory):
        path = os.path.join(directory, name)
        if _turned_away_s(path) >= before_s:
            continue
        if _is_directory(path):
            faults += _remove_trees(directory, [name], allowed)
        else:
            allowed.take()
            os.unlink(path)
    return faults


def remove_work(state_dir: str, own_key: str, allowed: Allowance) -> list[str]:
    """Remove the trees of jobs that are over."""
    # The trees first, then the requests: a job's directory is there before its tree is.
    names = os.listdir(layout.works(state_dir))
    found = [key for key in names if key != own_key and not key.startswith(".")]
    known = set(keys(state_dir))
    over = [key for key in found if key not in known or _has_ended(state_dir, key)]
    faults = _remove_trees(layout.works(state_dir), over, allowed)
    _remove_dangling(layout.works(state_dir), [name for name in names if name.startswith(".")], allowed)
    return faults


def _remove_dangling(directory: str, names: list[str], allowed: Allowance) -> None:
    """Remove the short paths to trees that are gone (executor/shell/work_tree.py)."""
    for path in [os.path.join(directory, name) for name in names]:
        if os.path.islink(path) and not os.path.exists(os.path.dirname(os.path.realpath(path))):
            allowed.take()
            os.unlink(path)


def remove_caches(state_dir: str, allowed: Allowance) -> list[str]:
    """Remove the caches of projects that have no request on disk, not even an ended one."""
    directory = layout.caches(state_dir)
    with held_directory(directory) as parent:
        # As a job that makes a cache does: its request is there before, so either we see that, or it finds none and
        # makes one.
        fcntl.flock(parent, fcntl.LOCK_EX)
        wanted = {key.rpartition("-")[0] for key in keys(state_dir)}
        for name in os.listdir(parent):
            if name[0] != "." and name.partition("@")[0] not in wanted and _is_directory(name, parent):
                os.rename(name, f"{_GONE}{name}.{os.urandom(8).hex()}", src_dir_fd=parent, dst_dir_fd=parent)
    return _remove_trees(directory, [name for name in os.listdir(directory) if name.startswith(_GONE)], allowed)


def _remove_trees(directory: str, names: Iterable[str], allowed: Allowance) -> list[str]:
    faults = []
    for name in names:
        try:
            rmtree.remove(os.path.join(directory, name), allowed)
        except OSError as error:
            faults.append(f"cannot remove {directory}/{shown(name)}: {error.strerror}: {shown(error.filename)}")
    return faults


def _is_directory(name: str, parent: int | None = None) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)


def _has_ended(state_dir: str, key: str) -> bool:
    return os.path.lexists(os.path.join(layout.job(state_dir, key), "ended.json"))


def _turned_away_s(path: str) -> float:
    """By its name where that is ours: the owner of a file can change its times."""
    found = _TURNED_AWAY.fullmatch(os.path.basename(path))
    return float(found[1]) if found else os.lstat(path).st_ctime
