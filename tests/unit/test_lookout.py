"""A lookout rings whom a name is meant for: whatever names there are, however many, and whatever is lost."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from executor import lookout
from executor.inotify import NONE, Inotify
from executor.lookout import NO_INSTANCE, NO_WATCH, PLACES, Lookout
from gate.store import bell, layout
from tests.support.gate_state import made, open_request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEYS = ["git.example-42-1001", "git.example-42-1002", "other.example-7-1001"]
HOLD = (
    "import fcntl, os, sys\nfile = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)\n"
    "for place in sys.argv[2:]: fcntl.lockf(file, fcntl.LOCK_EX, 1, int(place))\nprint('held', flush=True)\ninput()\n"
)


class NoInstance:
    descriptor = NONE

    def close(self) -> None:
        return


class Watched:
    """A state_dir with three requests that wait, and one lookout; `config` is its gate.yaml."""

    def __init__(self, base: Path) -> None:
        self.policy: Any = made(base / "state")
        self.state = base / "state"
        self.config = base / "gate.yaml"
        self.config.write_text("version: 1\n")
        self.bells = {}
        for key in KEYS:
            directory = open_request(self.policy, key).directory
            bell.make(directory)
            self.bells[key] = bell.hang_up(directory)
        self.lookout = Lookout(str(self.state), str(self.config))

    def close(self) -> None:
        for descriptor in [*self.bells.values(), *self.lookout.descriptors]:
            os.close(descriptor)

    def drop(self, directory: str, name: str | bytes) -> None:
        os.mknod(os.path.join(os.fsencode(self.state / "drop" / directory), os.fsencode(name)))

    def rung(self) -> list[str]:
        return [key for key in KEYS if bell.was_rung(self.bells[key])]

    def held_places(self) -> int:
        """How many another process cannot have."""
        code = HOLD.replace("fcntl.LOCK_EX", "fcntl.LOCK_EX | fcntl.LOCK_NB")
        path = str(self.state / "lookout")
        words = [sys.executable, "-I", "-S", "-c", code, path]
        tries = [
            subprocess.run([*words, str(place)], input="\n", capture_output=True, text=True, check=False)
            for place in PLACES
        ]
        return sum(done.returncode != 0 for done in tries)


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Watched]:
    watched = Watched(tmp_path)
    (watched.state / "drop" / "signed").mkdir(exist_ok=True)
    yield watched
    watched.close()


@pytest.fixture
def watched(fresh: Watched) -> Watched:
    fresh.lookout.take()
    assert (fresh.lookout.why, fresh.rung()) == ("", KEYS)
    return fresh


@pytest.mark.parametrize(
    ("directory", "name", "rung"),
    [
        ("alice", "1001.approve", [KEYS[0], KEYS[2]]),
        ("bob", "1002.reject", [KEYS[1]]),
        ("bob", "1002.an-answer-of-later", [KEYS[1]]),
        ("alice", f"{KEYS[2]}.approve", [KEYS[2]]),
        ("signed", f"{KEYS[0]}.alice.reject", [KEYS[0]]),
        ("bob", f"{KEYS[0]}.alice.approve", [KEYS[0]]),
        ("bob", ".1001", []),
        ("bob", "1001", []),
        ("bob", "1003.approve", []),
        ("bob", b"\xff\xfe.\xff", []),
        ("bob", "....", []),
        ("bob", "x" * 255, []),
    ],
)
def test_a_name_rings_those_whom_it_may_be_meant_for(
    watched: Watched, directory: str, name: str | bytes, rung: list[str]
) -> None:
    watched.drop(directory, name)
    watched.lookout.hear()
    assert watched.rung() == rung


def test_it_opens_no_drop_and_lists_no_directory_of_a_person(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    listed: list[str] = []
    true_listdir = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: listed.append(str(path)) or true_listdir(path))  # type: ignore[func-returns-value]
    watched.drop("alice", "1001.approve")
    watched.lookout.hear()
    watched.lookout._watch()
    assert set(listed) == {str(watched.state / "jobs"), str(watched.state / "drop")}


def test_where_events_were_lost_everybody_is_rung(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Inotify, "events", lambda _self: iter([(NONE, "")]))
    watched.lookout.hear()
    assert watched.rung() == KEYS


def test_the_kernel_s_own_overflow_rings_everybody(watched: Watched) -> None:
    with open("/proc/sys/fs/inotify/max_queued_events", encoding="ascii") as source:
        limit = int(source.read())
    if limit > 50_000:
        pytest.skip(f"fs.inotify.max_queued_events is {limit}: too many files to make")
    for number in range(limit + 10):
        watched.drop("bob", f"{number}.x")
    for _ in range(limit // 1000):  # some 2,000 are heard at once
        watched.lookout.hear()
    assert watched.rung() == KEYS


def test_who_makes_too_much_happen_is_not_listened_to_for_a_while_and_others_are(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookout, "HEARD_MAX", 20)
    for number in range(20):
        watched.drop("bob", f"{number}.x")
    watched.lookout.hear()
    watched.drop("bob", "1001.approve")
    watched.drop("alice", "1002.approve")
    watched.lookout.hear()
    assert watched.rung() == [KEYS[1]]

    watched.lookout.take()
    watched.drop("bob", "1001.reject")
    watched.lookout.hear()
    assert watched.rung() == []
    monkeypatch.setattr(lookout, "REWATCH_MS", 0)
    watched.lookout.take()
    watched.drop("bob", f"{KEYS[0]}.reject")
    watched.lookout.hear()
    assert watched.rung() == [KEYS[0]]


def test_the_directory_of_a_new_person_is_watched_and_one_s_own_mode_changes_nothing(watched: Watched) -> None:
    before = watched.lookout._watched_ms
    (watched.state / "drop" / "bob").chmod(0o700)
    watched.lookout.hear()
    assert watched.lookout._watched_ms == before

    (watched.state / "drop" / "dora").mkdir()
    watched.lookout.hear()
    watched.drop("dora", "1002.approve")
    watched.lookout.hear()
    assert watched.rung() == [KEYS[1]]


def test_another_gate_yaml_rings_everybody_and_another_file_beside_it_nobody(watched: Watched) -> None:
    (watched.config.parent / "beside").touch()
    watched.lookout.hear()
    assert watched.rung() == []

    fresh = watched.config.with_suffix(".new")
    fresh.write_text("version: 1 \n")
    fresh.rename(watched.config)
    watched.lookout.hear()
    assert watched.rung() == KEYS


def test_a_request_without_a_bell_is_an_older_one_s_and_is_passed_over(watched: Watched) -> None:
    open_request(watched.policy, "git.example-42-1003")
    watched.drop("alice", "1003.approve")
    watched.lookout.hear()
    assert not os.path.lexists(os.path.join(layout.job(str(watched.state), "git.example-42-1003"), "bell"))


def test_two_places_and_no_third(fresh: Watched) -> None:
    command = [sys.executable, "-I", "-S", "-c", HOLD, str(fresh.state / "lookout")]
    pipe = subprocess.PIPE
    with subprocess.Popen([*command, "0"], stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout
        assert other.stdout.readline() == "held\n"
        fresh.lookout.take()
        assert (fresh.lookout.descriptor >= 0, fresh.rung()) == (True, [])  # somebody listened already
        fresh.lookout.leave()
        with subprocess.Popen([*command, "1"], stdin=pipe, stdout=pipe, text=True) as another:
            assert another.stdout
            assert another.stdout.readline() == "held\n"
            fresh.rung()
            fresh.lookout.take()
            assert (fresh.lookout.descriptor, fresh.lookout.why, fresh.rung()) == (-1, "", [])
            another.communicate("\n")
        fresh.lookout.take()
        assert fresh.lookout.descriptor >= 0
        other.communicate("\n")


def test_a_place_that_is_left_is_free_and_some_are_called_to_it(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert watched.held_places() == 1
    monkeypatch.setattr(lookout, "CALLED", 2)
    watched.lookout.leave()
    assert watched.held_places() == 0
    assert len(watched.rung()) == 2
    watched.lookout.leave()
    assert watched.rung() == []


def test_a_forked_step_holds_no_place(watched: Watched) -> None:
    child = os.fork()
    if child == 0:
        for descriptor in watched.lookout.descriptors:
            os.close(descriptor)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert watched.held_places() == 1


def test_without_an_instance_there_is_no_lookout_and_the_place_stays_free(
    fresh: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(lookout, "Inotify", NoInstance)
        fresh.lookout.take()
        assert (fresh.lookout.why, fresh.lookout.descriptor, fresh.held_places()) == (NO_INSTANCE, -1, 0)
    fresh.lookout.take()
    assert (fresh.lookout.why, fresh.held_places()) == ("", 1)


def test_without_room_for_a_watch_there_is_none_either(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Inotify, "watch", lambda *_: NONE)
    monkeypatch.setattr(lookout, "REWATCH_MS", 0)
    watched.lookout.take()
    assert (watched.lookout.why, watched.lookout.descriptor, watched.held_places()) == (NO_WATCH, -1, 0)


def test_a_lock_that_cannot_be_had_is_said(fresh: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(37, os.strerror(37))

    monkeypatch.setattr(fcntl, "lockf", no_locks)
    fresh.lookout.take()
    assert fresh.lookout.why == f"cannot hear of answers at once ({os.strerror(37)}): looking once a second instead"
