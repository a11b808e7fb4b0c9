"""Whether a path can be trusted on this host: whose it is, who may write to it, what it lies on.

R is the uid that the runner, and so the gate, runs as. A path is R's alone when every directory that the kernel passes
on the way to it belongs to root or R, and no one else can write there. The walk goes from the top down, so that what
has been looked at cannot be exchanged by anybody else afterwards. A sticky directory of root's (/tmp) is fine: in it
only an entry's owner may exchange it, and the entry's owner is looked at next.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

OURS = "gitlab-runner-gate"  # the name of a directory that only the gate has
CHOICE = " if that is right for this host, or move what the gate has there elsewhere"
MAX_LINKS = 40  # the kernel's own limit, path_resolution(7)

# fuseblk is a local disk. Anything else on FUSE is a program, and locks and links are what it makes of them.
# fmt: off
NETWORK_TYPES = frozenset({
    "9p", "acfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "fuse", "gfs2", "glusterfs", "gpfs", "lustre",
    "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "panfs", "prl_fs", "pvfs2", "smb3", "smbfs", "vboxsf", "virtiofs",
    "vmhgfs",
})
# fmt: on


class Weakness:
    """One place that somebody else could exchange or write: what is wrong, what to do, and the command that does it."""

    def __init__(self, place: str, fault: str, advice: str, fix: str) -> None:
        """Keep all of it."""
        self.place, self.fault, self.advice, self.fix = place, fault, advice, fix

    @property
    def message(self) -> str:
        """What is wrong and what to do, in one line.

        Of what may be the host's own, as /home/bob, what the choices are.
        """
        is_ours = any(part.startswith(OURS) for part in self.place.split("/"))
        return f"{self.fault}: {self.advice}{'' if is_ours else CHOICE}"


def check_state_dir(path: str, uid: int) -> list[str]:
    """Return what is wrong with `path` as the state directory of the gate that runs as `uid`, a line each."""
    try:
        state = os.lstat(path)
        problems = path_problems(path, uid)
        kind = file_system(path)
    except OSError as error:
        return [f"{path}: {reason(error)}: make it a directory of {_user(uid)}, mode 0755"]
    if not stat.S_ISDIR(state.st_mode):
        return [f"{path} is not a directory: name one, and no symbolic link to one"]
    if state.st_uid != uid:
        problems.append(f"{path} belongs to uid {state.st_uid}: chown it to {_user(uid)}, which the gate runs as")
    return list(dict.fromkeys([*problems, *_kind_problems(path, kind)]))


def path_problems(path: str, uid: int) -> list[str]:
    """Return why somebody beside root and `uid` could exchange or write what is at `path`, a line each.

    Raises:
        OSError: something on the way does not exist or cannot be looked at.
    """
    return [weakness.message for weakness in weaknesses(path, uid)]


def weaknesses(path: str, uid: int) -> list[Weakness]:
    """Return what `path_problems` does, each with its place and the command that fixes it.

    Raises:
        OSError: something on the way does not exist or cannot be looked at.
    """
    return [weakness for place, state in walk(path) for weakness in entry_weaknesses(place, state, uid)]


def weaknesses_so_far(path: str, uid: int) -> list[Weakness]:
    """Return what `weaknesses` does, as far as the way to `path` can be followed: what is behind may not be there."""
    found: list[Weakness] = []
    try:
        for place, state in walk(path):
            found += entry_weaknesses(place, state, uid)
    except OSError:
        return found
    return found


def walk(path: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield every directory, link and file that the kernel passes on the way to `path`, from / down, itself last.

    Raises:
        OSError: one of them does not exist or cannot be looked at, or there are more than `MAX_LINKS` links.
    """
    todo = deque((path if os.path.isabs(path) else os.path.join(os.getcwd(), path)).split("/"))
    here, links = "/", 0
    yield here, os.lstat(here)
    while todo:
        part = todo.popleft()
        if part in ("", ".", ".."):
            here = os.path.dirname(here) if part == ".." else here
            continue
        place = os.path.join(here, part)
        state = os.lstat(place)
        yield place, state
        if not stat.S_ISLNK(state.st_mode):
            here = place
            continue
        links += 1
        if links > MAX_LINKS:
            raise OSError(errno.ELOOP, "too many symbolic links", path)
        target = os.readlink(place)
        todo.extendleft(reversed(target.split("/")))
        here = "/" if target.startswith("/") else here


def entry_weaknesses(place: str, state: os.stat_result, uid: int) -> Iterator[Weakness]:
    """Yield why somebody beside root and `uid` could change the one entry at `place`, whose status is `state`."""
    if state.st_uid not in (0, uid):
        fault = f"{place} belongs to uid {state.st_uid}, who could change it"
        yield Weakness(place, fault, f"chown it to {_user(uid)}", f"chown -h {uid or 'root'} {_quoted(place)}")
    if stat.S_ISLNK(state.st_mode) or not state.st_mode & 0o022:
        return
    if not (stat.S_ISDIR(state.st_mode) and state.st_mode & stat.S_ISVTX and state.st_uid == 0):
        mode = f"{state.st_mode & 0o7777:04o}"
        fault = f"{place} can be written by others than its owner (mode {mode})"
        yield Weakness(place, fault, "chmod go-w it", f"chmod go-w {_quoted(place)}")


def _quoted(place: str) -> str:
    import shlex

    return shlex.quote(place)


def _user(uid: int) -> str:
    return "root" if uid == 0 else f"uid {uid} (or root)"


def _kind_problems(path: str, kind: str | None) -> Iterator[str]:
    if kind is None:
        yield f"{path}: /proc/self/mountinfo does not show which file system it is on: choose another directory"
    elif is_network(kind):
        yield f"{path} lies on {kind}, where locks and appends cannot be relied on: choose a directory on a local disk"


def is_network(kind: str) -> bool:
    """Return whether file systems of this type, as mountinfo names it, are refused for state."""
    return kind.lower() in NETWORK_TYPES or kind.startswith("fuse.")


def file_system(path: str) -> str | None:
    """Return the type of the file system that `path` lies on, None where it is unknown.

    By mount id (proc(5), fdinfo): device numbers differ on btrfs, and the longest prefix is wrong on overmounts.

    Raises:
        OSError: `path` or /proc cannot be opened.
    """
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as lines:
            mount_id = next((line.split()[1] for line in lines if line.startswith("mnt_id:")), "")
    finally:
        os.close(fd)
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
        return type_of_mount(mounts.read(), mount_id)


def type_of_mount(mountinfo: str, mount_id: str) -> str | None:
    """Return the type of the mount with this id (proc(5), mountinfo: after the field that is a lone hyphen)."""
    for line in mountinfo.split("\n"):
        fields = line.split(" ")
        if fields[0] == mount_id and "-" in fields[6:]:
            return fields[fields.index("-", 6) + 1]
    return None


def reason(error: OSError) -> str:
    """Return what the system says, in lower case, without the number and the path."""
    return (error.strerror or str(error)).lower()
