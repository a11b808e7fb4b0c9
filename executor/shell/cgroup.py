"""The cgroup of a job: what limits its processes and memory, and ends all that is in it. cgroups(7), of both versions.

`gitlab-runner-gate/<state_dir's hash>.<key>` in each hierarchy that is used: in the unified one, where there is one,
for ending; and where the controllers of `limits` are. Below the root, since a cgroup with processes in it, as the
runner's, gives its children no controllers. Only root can, and without limits a job goes without a cgroup where none
can be made.
"""

from __future__ import annotations

import os
import time

from gate.errors import GateError
from gate.hashes import sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = "/sys/fs/cgroup"
END_WITHIN_S = 5.0
_TOP = "gitlab-runner-gate"
_PAUSE_S = 0.01
# Each limit with its controller, and the file that it stands in, in version 2 and 1.
_LIMITS = (
    ("processes", "pids", "pids.max", "pids.max"),
    ("memory_bytes", "memory", "memory.max", "memory.limit_in_bytes"),
)


class CgroupError(GateError):
    """A limit cannot be kept here; one plain line."""


def make(work_dir: str, limits: dict[str, int], root: str = ROOT) -> list[str]:
    """Make the cgroup of the job with this tree, unless it is there; returns its directories.

    Raises:
        CgroupError: one of the limits cannot be kept here. Without limits there may just be no directory.
    """
    wanted = {name for name, value in limits.items() if value}
    found: list[str] = []
    try:
        unified = _unified(root)
        if unified:
            found.append(_made(unified, work_dir, _controllers(unified, wanted)))
        elif os.path.isdir(os.path.join(root, "pids")):
            found.append(_made(os.path.join(root, "pids"), work_dir, []))
        for limit, controller, new, old in _LIMITS:
            if limit in wanted:
                _set(limit, limits[limit], (controller, new, old), work_dir, unified, root, found)
    except OSError as fault:
        if wanted:
            raise CgroupError(f"limits cannot be kept: {fault.strerror}: {fault.filename!r}") from fault
        return []
    return list(dict.fromkeys(found))


def _set(
    limit: str, value: int, names: tuple[str, str, str], work_dir: str, unified: str, root: str, found: list[str]
) -> None:
    controller, new, old = names
    own = os.path.join(root, controller)
    if unified and controller in _read(os.path.join(unified, "cgroup.controllers")).split():
        directory, file = _path(unified, work_dir), new
    elif os.path.isdir(own):
        directory, file = _made(own, work_dir, []), old
    else:
        raise CgroupError(f"limits: {limit.partition('_')[0]} cannot be kept: no cgroup controller {controller!r} here")
    found.append(directory)
    _write(os.path.join(directory, file), str(value))
    swap = os.path.join(directory, "memory.swap.max")
    if controller == "memory" and os.path.exists(swap):
        _write(swap, "0")  # otherwise it would be a limit of what is not swapped


def end(work_dir: str, root: str = ROOT) -> list[str]:
    """End all that is in the job's cgroup, and remove it; returns a line for each that stays."""
    return [fault for directory in _existing(work_dir, root) if (fault := _end(directory))]


def sweep(state_dir: str, kept: list[str], root: str = ROOT) -> list[str]:
    """As `end`, for each job of this gate that is not one of the `kept` keys: its runner never came to cleanup."""
    from contextlib import suppress

    works, faults = os.path.join(state_dir, "work"), []
    mark = os.path.basename(_path("", os.path.join(works, "")))
    for hierarchy in _hierarchies(root):
        with suppress(OSError):
            for name in os.listdir(os.path.join(hierarchy, _TOP)):
                key = name.removeprefix(mark)
                if name.startswith(mark) and key not in kept:
                    faults += end(os.path.join(works, key), root)
    return faults


def check(limits: dict[str, int], root: str = ROOT) -> str | None:
    """Say in one line why these limits cannot be kept here, or None; really makes a cgroup with them."""
    if not any(limits.values()):
        return None
    if os.geteuid() != 0:
        return "limits can be kept by a runner that is root only: leave them out, or run it as root"
    probe = f"/check/work/{os.getpid()}"
    try:
        make(probe, limits, root)
    except CgroupError as fault:
        return str(fault)
    finally:
        end(probe, root)
    return None


def _unified(root: str) -> str:
    found = [place for place in (root, os.path.join(root, "unified")) if os.path.exists(f"{place}/cgroup.controllers")]
    return found[0] if found else ""


def _hierarchies(root: str) -> Iterator[str]:
    unified = _unified(root)
    yield from [unified] if unified else []
    yield from (os.path.join(root, controller) for _, controller, _, _ in _LIMITS)


def _existing(work_dir: str, root: str) -> list[str]:
    return [path for each in _hierarchies(root) if os.path.isdir(path := _path(each, work_dir))]


def _path(hierarchy: str, work_dir: str) -> str:
    parent, key = os.path.split(work_dir)
    return os.path.join(hierarchy, _TOP, f"{sha256(parent.encode()).hexdigest()[:8]}.{key}")


def _controllers(unified: str, wanted: set[str]) -> list[str]:
    there = _read(os.path.join(unified, "cgroup.controllers")).split()
    return [controller for limit, controller, _, _ in _LIMITS if limit in wanted and controller in there]


def _made(hierarchy: str, work_dir: str, controllers: list[str]) -> str:
    path = _path(hierarchy, work_dir)
    top = os.path.dirname(path)
    os.makedirs(top, 0o755, exist_ok=True)
    for place in (hierarchy, top) if controllers else ():
        _write(os.path.join(place, "cgroup.subtree_control"), " ".join(f"+{each}" for each in controllers))
    os.makedirs(path, 0o755, exist_ok=True)
    return path


def _end(directory: str) -> str:
    deadline = time.monotonic() + END_WITHIN_S
    while True:
        try:
            os.rmdir(directory)
        except FileNotFoundError:
            return ""
        except OSError as fault:
            if time.monotonic() > deadline:
                return f"cannot remove the cgroup {directory}: {fault.strerror}"
        else:
            return ""
        _kill(directory)
        time.sleep(_PAUSE_S)


def _kill(directory: str) -> None:
    from contextlib import suppress

    try:
        _write(os.path.join(directory, "cgroup.kill"), "1")
    except OSError:  # version 1, or Linux before 5.14; a number is read and used at once
        with suppress(OSError):
            for pid in _read(os.path.join(directory, "cgroup.procs")).split():
                with suppress(ProcessLookupError):
                    os.kill(int(pid), 9)


def _read(path: str) -> str:
    with open(path, encoding="ascii") as source:
        return source.read()


def _write(path: str, text: str) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CLOEXEC), "w", encoding="ascii") as target:
        target.write(text)
