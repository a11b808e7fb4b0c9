"""What a job sees of the host's files, in the mount namespace that its init is in: nothing of another job.

- Under state_dir: its own tree and its project's cache, at their usual paths, and nothing else.
- /tmp and /var/tmp are directories of its own tree, the same for all its stages. Memory that is shared by name, locks,
  message queues and terminals (/dev/shm, /run/lock, /dev/mqueue, /dev/pts) are made afresh for each stage, as its
  processes are.
- The home that its user has in the host's database is its own tree's home/; or the one that gate.yaml names, read-only.

Init makes it as root, before the job's user can do anything there. Sources and targets are held as descriptors, and no
link is followed below what a job can write: what an earlier stage left in its /tmp leads root nowhere.
"""

from __future__ import annotations

import os

from executor.shell.namespaces import BIND, NODEV, NOEXEC, NOSUID, RDONLY, REC, REMOUNT, mount

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_SHARED_PLACES = (("/tmp", "tmp"), ("/var/tmp", "var-tmp"))  # noqa: S108  each with what is its own there
_FRESH_PLACES = ("/dev/shm", "/run/lock", "/var/lock", "/var/crash")  # noqa: S108


class View:
    """The steps, in the order in which `make` takes them; each raises OSError with what it was about."""

    def __init__(self, work_dir: str, cache_dir: str, named_home: str, own_home: str) -> None:
        """Open what will be hidden.

        `named_home`: gate.yaml's; `own_home`: that of the job's user; each may be empty.
        """
        self._work, self._cache = _opened(work_dir), _opened(cache_dir)
        self._named = _opened(named_home) if named_home else None
        self._job_uid = os.fstat(self._work).st_uid
        self._paths = (work_dir, cache_dir, named_home, own_home)
        self._kept: list[tuple[str, int]] = []  # real paths, and what is to be seen there

    def make(self) -> None:
        """Hide, and show again what is the job's own."""
        self._cover_state()
        self._cover_homes()
        for place, name in _SHARED_PLACES:
            self._cover_shared(place, name)
        for place in _FRESH_PLACES:
            if os.path.isdir(place) and not os.path.islink(place):
                self._fresh("tmpfs", place, "mode=1777")
        if os.path.ismount("/dev/mqueue"):
            self._fresh("mqueue", "/dev/mqueue", "")
        if os.path.ismount("/dev/pts"):  # a terminal is its user's, so that each job of that user could read from it
            mount("devpts", "/dev/pts", "devpts", NOSUID | NOEXEC, "ptmxmode=0666,mode=0600")
        runtime = f"/run/user/{self._job_uid}"  # with the sockets of a systemd of the user's own, if it has one
        if os.path.isdir(runtime):
            self._fresh("tmpfs", runtime, f"mode=0700,uid={self._job_uid}")

    def _cover_state(self) -> None:
        work_dir, cache_dir, _, _ = self._paths
        state_dir = os.path.realpath(os.path.dirname(os.path.dirname(work_dir)))
        self._fresh("tmpfs", state_dir, "mode=0711,size=256k")
        for path, source in ((work_dir, self._work), (cache_dir, self._cache)):
            os.makedirs(path, 0o711)
            self._bind(source, path)
        self._kept.append((state_dir, _opened(state_dir)))

    def _cover_homes(self) -> None:
        """The named home is seen where it is, and where programs look that ask the user database (ssh does)."""
        _, _, named_home, own_home = self._paths
        home = self._named if self._named is not None else _opened("home", self._work)
        places = {os.path.realpath(place) for place in (named_home, own_home) if place}
        for place in sorted(places):
            os.makedirs(place, 0o711, exist_ok=True)  # it is hidden by now where it is below state_dir
            self._bind(home, place)
            if named_home:
                mount("", place, "", REMOUNT | BIND | RDONLY | NOSUID | NODEV, "")
            self._kept.append((place, _opened(place)))

    def _cover_shared(self, place: str, name: str) -> None:
        place = os.path.realpath(place)
        if not os.path.isdir(place):
            return
        self._bind(_opened(name, self._work), place)
        for path, shown in self._kept:
            if path.startswith(f"{place}/"):
                self._bind(shown, _itself(_made(place, path)), with_all_in_it=True)

    def _fresh(self, kind: str, place: str, data: str) -> None:
        mount(kind, place, kind, NOSUID | NODEV, data)

    def _bind(self, source: int, target: str, *, with_all_in_it: bool = False) -> None:
        mount(_itself(source), target, "", BIND | (REC if with_all_in_it else 0), "")


def _itself(descriptor: int) -> str:
    return f"/proc/self/fd/{descriptor}"


def _opened(path: str, directory: int | None = None) -> int:
    return os.open(path, _DIRECTORY | (0 if directory is None else os.O_NOFOLLOW), dir_fd=directory)


def _made(top: str, path: str) -> int:
    """Open the directory `path` below `top`, where a job can write; made as far as it is missing, through no link."""
    here = _opened(top)
    for name in os.path.relpath(path, top).split("/"):
        try:  # noqa: SIM105  contextlib costs 2 ms, of each stage
            os.mkdir(name, 0o755, dir_fd=here)
        except FileExistsError:
            pass
        below = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
        os.close(here)
        here = below
    return here
