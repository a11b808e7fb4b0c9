"""What others own is looked at across no mount and no link, and what is wrong with it is theirs alone."""

from __future__ import annotations

import errno
import os
import signal
import socket
from typing import TYPE_CHECKING, Any

import pytest

from gate.store import beneath, layout
from gate.upkeep import sweep
from gate.votes import drop_file as drop
from gate.votes.inbox import Inbox
from tests.support.gate_state import UIDS, drop_file, made, open_request, records, rule_of
from tests.support.silent_mount import silent_mount

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _no_sigio() -> Iterator[None]:
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)  # as prepare does
    yield
    signal.signal(signal.SIGIO, before)


@pytest.fixture
def policy(tmp_path: Path) -> Any:
    return made(tmp_path / "state")


def own(policy: Any, name: str = "") -> str:
    return os.path.join(layout.drops(policy["state_dir"]), "alice", name).rstrip("/")


MOUNTED = {
    "her directory": ("", "drop/alice"),
    "a directory of that name": ("1001.approve", "drop/alice/1001.approve"),
    "the other answer": ("1001.reject", "drop/alice/1001.reject"),
}


@pytest.mark.parametrize("is_file", [True, False])
@pytest.mark.parametrize("where", MOUNTED)
def test_a_file_system_that_never_answers_is_never_asked(policy: Any, where: str, is_file: bool) -> None:
    """By a look, by what makes the directories, and by a sweep."""
    name, place = MOUNTED[where]
    if name:
        made_here = os.mknod if is_file else os.mkdir
        made_here(own(policy, name))
        os.chown(own(policy, name), UIDS["alice"], -1)
    request = open_request(policy)
    drop_file(policy, "bob", "1001.approve")
    with silent_mount(own(policy, name), UIDS["alice"]):
        for _ in range(2):
            box = Inbox(request, policy, rule_of())
            assert [vote["person"] for vote in box.collect()] == ["bob"]
            assert f"{place} is a mount: unmount it; what is there does not count" in box.lines
        assert layout.make(policy) == []
        faults = sweep.sweep(policy, "own")
    assert faults == ([f"cannot sweep {place}: [Errno 18] Invalid cross-device link: {name!r}"] if name else [])
    (record,) = records(policy, "drop-turned-away")
    assert (record["by"], record["drop"]) == ({"person": "alice", "via": "drop"}, {"name": place})


@pytest.mark.parametrize("fault", sorted(set(errno.errorcode) - {*drop.HOSTS_OWN, errno.ENOENT}))
def test_no_error_of_one_persons_drop_holds_up_another(
    policy: Any, monkeypatch: pytest.MonkeyPatch, fault: int
) -> None:
    true = beneath.open_beneath

    def failing(directory: int, path: str, *flags: int) -> int:
        if path == "alice":
            raise OSError(fault, os.strerror(fault))
        return true(directory, path, *flags)

    monkeypatch.setattr(drop, "open_beneath", failing)
    request = open_request(policy)
    drop_file(policy, "bob", "1001.approve")
    for _ in range(2):
        assert [vote["person"] for vote in Inbox(request, policy, rule_of()).collect()] == ["bob"]
    assert len(records(policy, "drop-turned-away")) == 1


def a_socket(path: str) -> None:
    here = os.getcwd()
    os.chdir(os.path.dirname(path))  # a socket's path has 107 bytes at most
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(os.path.basename(path))
    finally:
        os.chdir(here)


TYPES: dict[str, Callable[[str], object]] = {
    "directory": os.mkdir,
    "directory that is not empty": lambda path: os.makedirs(f"{path}/x"),
    "FIFO": os.mkfifo,
    "socket": a_socket,
    "symlink": lambda path: os.symlink("/etc/passwd", path),
    "symlink to itself": lambda path: os.symlink(path, path),
    "device": lambda path: os.mknod(path, 0o020600, os.makedev(1, 3)),
}


@pytest.mark.parametrize("what", TYPES)
def test_no_kind_of_file_holds_up_another(policy: Any, what: str) -> None:
    request = open_request(policy)
    try:
        TYPES[what](own(policy, "1001.approve"))
    except PermissionError:
        pytest.skip(f"making a {what} needs root")
    os.chown(own(policy, "1001.approve"), UIDS["alice"], -1, follow_symlinks=False)
    drop_file(policy, "bob", "1001.approve")

    for _ in range(2):
        assert [vote["person"] for vote in Inbox(request, policy, rule_of()).collect()] == ["bob"]
    (record,) = records(policy, "drop-turned-away")
    assert (record["by"]["person"], record["why"]) == ("alice", "not a regular file")


def test_links_are_not_followed_and_nothing_above_is_reached(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path / "out")
    root = os.open(tmp_path / "in", os.O_PATH | os.O_DIRECTORY)
    try:
        for path, fault in (
            ("link/x", errno.ELOOP),
            ("../out", errno.EXDEV),
            ("/etc", errno.EXDEV),
            ("x", errno.ENOENT),
        ):
            with pytest.raises(OSError, match=r".") as caught:
                beneath.open_beneath(root, path)
            assert caught.value.errno == fault
    finally:
        os.close(root)


def test_a_kernel_without_it_is_said_in_one_line() -> None:
    def missing(_directory: int, _path: str) -> int:
        raise OSError(errno.ENOSYS, "Function not implemented")

    assert beneath.missing() == ""
    assert "Linux 5.6 or newer is needed" in beneath.missing(missing)


def test_a_full_directory_is_never_listed_by_a_look(policy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1000):
        os.mknod(own(policy, str(number)))
    request = open_request(policy)
    drop_file(policy, "alice", "1001.approve")
    listed: list[str] = []
    for name in ("listdir", "scandir"):
        true = getattr(os, name)

        def noting(path: Any, true: Any = true) -> Any:
            listed.append(os.readlink(f"/proc/self/fd/{path}") if isinstance(path, int) else path)
            return true(path)

        monkeypatch.setattr(os, name, noting)
    assert len(Inbox(request, policy, rule_of()).collect()) == 1
    assert not [path for path in listed if "/drop" in path]


def test_people_on_no_list_are_not_looked_at(policy: Any) -> None:
    request = open_request(policy)
    drop_file(policy, "carol", "1001.approve", "")
    os.chmod(os.path.dirname(own(policy).rstrip("/")) + "/carol", 0o777)
    box = Inbox(request, policy, rule_of())
    assert (box.collect(), box.lines, records(policy)) == ([], [], [])


def test_what_hung_before_is_passed_over_once_recorded_and_others_count(policy: Any) -> None:
    request = open_request(policy)
    drop_file(policy, "bob", "1001.approve")
    for _ in range(2):
        box = Inbox(request, policy, rule_of())
        box.hung.add("alice")
        assert [vote["person"] for vote in box.collect()] == ["bob"]
    assert [record["drop"] for record in records(policy, "drop-turned-away")] == [{"name": "drop/alice"}]


def test_a_sweep_does_only_so_much_at_a_time(policy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "TURN_AWAY_MAX", 3)
    monkeypatch.setattr(sweep, "DROP_MAX_AGE_S", -1)
    for number in range(5):
        drop_file(policy, "alice", f"{number}.approve")
    drop_file(policy, "bob", "1.approve")
    sweep.sweep(policy, "own")
    assert len(os.listdir(own(policy))) == 2
    assert len(records(policy, "drop-turned-away")) == 4


def test_sweeps_do_not_wait_for_one_another(policy: Any) -> None:
    import fcntl

    drop_file(policy, "alice", "1.approve")
    alone = os.open(layout.turned_away(policy["state_dir"]), os.O_RDONLY)
    fcntl.flock(alone, fcntl.LOCK_EX)
    try:
        assert sweep.sweep(policy, "own") == []
    finally:
        os.close(alone)
