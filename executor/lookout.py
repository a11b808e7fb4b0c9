"""The lookout: two of all waiting jobs watch the drop directories, and ring the bells of those a name is meant for.

If each waiting job watched for itself, one drop would wake all of them: 4.3 ms of processor time for each hundred. So

- a lookout holds one of the two places (record locks on `state_dir/lookout`) for as long as it waits. Two, so that one
  may end, be killed, be stopped or be busy, and no job has to wait for the net (each looks by itself every POLL_MS);
- it opens no drop, and lists no directory that a person fills. It goes by the names that inotify hands it, and takes
  them for nothing but hints: it looks which waiting requests have such a number or key, and rings these
  (gate/store/bell.py);
- it rings everybody where it cannot know whom: where events were lost, where gate.yaml has changed, and where it comes
  to its place and nobody was at the other one, since nobody has listened until then;
- who makes HEARD_MAX things happen in a directory within REWATCH_MS is not listened to until these are over, and is
  heard by the net. So a person who makes 20,000 files, or a loop of them, costs what 10,000 events cost, and nobody
  else waits;
- who leaves a place rings CALLED of those who wait, and one of these takes it. Who is killed leaves it, too: the next
  who looks by itself takes it. Record locks, since a forked step does not inherit them (fcntl(2)).

A lookout that hangs, or lies, costs a delay of POLL_MS at most: each waiting job meets its deadline by itself, and
finds its answers by itself.
"""

from __future__ import annotations

import fcntl
import os
import time

from executor.inotify import NONE, Inotify
from gate.clock import boottime_ms
from gate.store import bell

PLACES = (0, 1)
CALLED = 3  # one of them may be the other lookout, and one about to leave
REWATCH_MS = 10_000
HEARD_MAX = 10_000
GAP_MS = 20  # between two times that it listens: what comes together is heard together
NO_INSTANCE = "no inotify instance is left on this host (fs.inotify.max_user_instances): looking once a second instead"
NO_WATCH = "no inotify watch is left on this host (fs.inotify.max_user_watches): looking once a second instead"
_FREE = -1


class Lookout:
    """A waiting job's part in it. `why` says why no job can be a lookout, as far as this one knows; "" where one is."""

    def __init__(self, state_dir: str, config_file: str) -> None:
        """No place yet: see `take`."""
        self.why = ""
        self._state_dir, self._config_file = state_dir, config_file
        self._place = _FREE
        self._lock = -1
        self._inotify: Inotify | None = None
        self._people: dict[int, int] = {}
        self._names: list[str] = []
        self._drops = NONE
        self._known: object = None
        self._watched_ms = self._heard_ms = 0

    @property
    def descriptor(self) -> int:
        """What to wait on, and then `hear`; -1 where this is no lookout."""
        return self._inotify.descriptor if self._inotify else -1

    @property
    def descriptors(self) -> list[int]:
        """All that a forked step need not hold."""
        return [each for each in (self._lock, self.descriptor) if each >= 0]

    def take(self) -> None:
        """Take a place, if one is free; where this has one, watch what there is to watch by now. Never raises."""
        if self._place == _FREE:
            self._take()
        elif boottime_ms() - self._watched_ms >= REWATCH_MS:
            self._watch()
        if self._place != _FREE and self._drops == NONE:
            self._give_up_place(NO_WATCH)

    def hear(self) -> None:
        """Ring those whom the names that have come may be meant for."""
        time.sleep(max(0, min(self._heard_ms + GAP_MS - boottime_ms(), GAP_MS)) / 1000)
        self._heard_ms = boottime_ms()
        meant: set[str] = set()
        everybody = self._hear(meant) or self._changed()
        if everybody or meant:
            self._ring(None if everybody else meant)

    def leave(self) -> None:
        """Leave the place to another who waits; one's own bell is to be taken down before that."""
        if self._place == _FREE:
            return
        self._give_up_place()
        called = 0
        for key in self._keys():
            called += bell.ring(os.path.join(self._state_dir, "jobs", key))
            if called == CALLED:
                return

    def _take(self) -> None:
        try:
            if self._lock < 0:
                path = os.path.join(self._state_dir, "lookout")
                self._lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            free = [place for place in PLACES if self._locks(place)]
        except OSError as error:
            self._give_up_place(f"cannot hear of answers at once ({error.strerror}): looking once a second instead")
            return
        self.why = ""
        if not free:
            return
        self._inotify = Inotify()
        if self._inotify.descriptor < 0:
            self._give_up_place(NO_INSTANCE)
            return
        self._place, self._known = free[0], _identity(self._config_file)
        for place in free[1:]:
            self._unlocks(place)
        self._watch()
        if len(free) == len(PLACES):
            self._ring(None)

    def _give_up_place(self, why: str = "") -> None:
        self.why = why
        if self._inotify:
            self._inotify.close()
        self._inotify, self._place = None, _FREE
        for place in PLACES:
            self._unlocks(place)

    def _locks(self, place: int) -> bool:
        try:
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except (BlockingIOError, PermissionError):  # fcntl(2): EAGAIN or EACCES
            return False
        return True

    def _unlocks(self, place: int) -> None:
        try:
            fcntl.lockf(self._lock, fcntl.LOCK_UN, 1, place)
        except OSError:  # then it stays, until this process ends
            return

    def _watch(self) -> None:
        """Watch what is there by now, also what was not listened to.

        `drop/` itself last, which shows whether there was room.
        """
        assert self._inotify  # noqa: S101
        self._watched_ms = boottime_ms()
        path = os.path.join(self._state_dir, "drop")
        self._inotify.watch(os.path.dirname(self._config_file))
        try:
            root = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            self._drops = NONE
            return
        try:
            self._names = _listed(path)
            people = [self._inotify.watch_beneath(root, name) for name in self._names]
        finally:
            os.close(root)
        self._people = dict.fromkeys([watch for watch in people if watch != NONE], 0)
        self._drops = self._inotify.watch(path)

    def _hear(self, meant: set[str]) -> bool:
        """Add what the names that have come are meant for, as their authors say; whether some may be lost."""
        assert self._inotify  # noqa: S101
        lost = comes = False
        for watch, name in self._inotify.events():
            lost = lost or watch == NONE
            # By its name: the mode of a directory that is there already is its owner's to change, and shows here, too.
            comes = comes or (watch == self._drops and name not in self._names)
            if watch in self._people:
                meant.update(stems_of(name))
                self._count(watch)
        meant.discard("")
        if comes:
            self._watch()
        return lost

    def _count(self, watch: int) -> None:
        assert self._inotify  # noqa: S101
        self._people[watch] += 1
        if self._people[watch] == HEARD_MAX:
            self._inotify.forget(watch)

    def _changed(self) -> bool:
        """Whether gate.yaml has changed, which everybody goes by."""
        before, self._known = self._known, _identity(self._config_file)
        return self._known != before

    def _ring(self, meant: set[str] | None) -> None:
        for key in self._keys():
            if meant is None or key in meant or key.rpartition("-")[2] in meant:
                bell.ring(os.path.join(self._state_dir, "jobs", key))

    def _keys(self) -> list[str]:
        return _listed(os.path.join(self._state_dir, "jobs"))


def stems_of(name: str) -> tuple[str, str]:
    """What a drop's name may say that it is for: `<stem>.<answer>`, or `<stem>.<person>.<answer>`.

    Nothing of it is certain.
    """
    stem = name.rpartition(".")[0]
    return stem, stem.rpartition(".")[0]


def _listed(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []


def _identity(path: str) -> tuple[int, ...]:
    try:
        found = os.lstat(path)
    except OSError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
