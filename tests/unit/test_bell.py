"""The bell of a waiting job: a ring wakes it, nobody else's file passes for one, and no ring holds anybody up."""

from __future__ import annotations

import os
import stat
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from gate.flow.related import supersede_older
from gate.page.voting import Answer, leave
from gate.store import bell, layout
from gate.store.files import StateError
from tests.support.gate_state import made, open_request, rule_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IS_ROOT = os.geteuid() == 0
GID = 20_099 if IS_ROOT else os.getegid()


@pytest.fixture
def hung(tmp_path: Path) -> Iterator[int]:
    bell.make(str(tmp_path))
    descriptor = bell.hang_up(str(tmp_path))
    assert descriptor >= 0
    yield descriptor
    os.close(descriptor)


def test_a_ring_is_heard_once(tmp_path: Path, hung: int) -> None:
    assert not bell.was_rung(hung)
    assert bell.ring(str(tmp_path))
    assert bell.ring(str(tmp_path))
    assert bell.was_rung(hung)
    assert not bell.was_rung(hung)


def test_a_ring_for_nobody_is_none(tmp_path: Path) -> None:
    assert not bell.ring(str(tmp_path))
    bell.make(str(tmp_path))
    assert not bell.ring(str(tmp_path))


def test_who_rings_without_an_end_holds_up_neither_side(tmp_path: Path, hung: int) -> None:
    pipe = os.open(tmp_path / "bell", os.O_WRONLY | os.O_NONBLOCK)
    assert os.write(pipe, b"\n" * 1_000_000) < 1_000_000
    os.close(pipe)
    assert bell.ring(str(tmp_path))
    assert bell.was_rung(hung)


@pytest.mark.parametrize("what", ["file", "link", "directory"])
def test_what_is_no_fifo_is_no_bell_and_is_replaced_where_it_can_be(tmp_path: Path, what: str) -> None:
    path, other = tmp_path / "bell", tmp_path / "other"
    other.write_text("kept")
    {"file": path.touch, "link": lambda: path.symlink_to(other), "directory": path.mkdir}[what]()
    assert bell.hang_up(str(tmp_path)) == -1
    assert not bell.ring(str(tmp_path))
    if what == "directory":
        with pytest.raises(StateError, match=r"cannot make .*/bell: Is a directory"):
            bell.make(str(tmp_path))
    else:
        bell.make(str(tmp_path))
        assert stat.S_ISFIFO(path.lstat().st_mode)
    assert other.read_text() == "kept"


@pytest.mark.parametrize(("gid", "mode"), [(-1, 0o600), (GID, 0o620)])
def test_only_the_gate_and_the_page_may_ring_and_only_the_gate_hears(tmp_path: Path, gid: int, mode: int) -> None:
    before = os.umask(0o077)
    try:
        for _ in range(2):
            bell.make(str(tmp_path), gid)
    finally:
        os.umask(before)
    found = (tmp_path / "bell").lstat()
    assert stat.S_IMODE(found.st_mode) == mode
    assert gid in (-1, found.st_gid)


@pytest.mark.parametrize(("uid", "mode"), [(os.geteuid(), 0o600), (20_010, 0o620)])
def test_a_page_of_another_user_may_ring(tmp_path: Path, uid: int, mode: int) -> None:
    policy = made(tmp_path / "state", page={"user": "gitlab-gate", "uid": os.geteuid(), "gid": GID})
    request = open_request(policy)
    layout.make_bell(policy | {"page": policy["page"] | {"uid": uid}}, request.directory)
    assert stat.S_IMODE(os.lstat(os.path.join(request.directory, "bell")).st_mode) == mode


def test_a_vote_on_the_page_rings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    request = open_request(made(tmp_path / "state"))
    bell.make(request.directory)
    descriptor = bell.hang_up(request.directory)
    page: Any = SimpleNamespace(answers=SimpleNamespace(note=lambda *_: None))
    who: Any = SimpleNamespace(person="alice", door="socket")
    leave(page, who, request, Answer("a" * 32, "approve", "", "2" * 64))
    assert bell.was_rung(descriptor)
    assert "alice (socket) leaves a vote" in "".join(capsys.readouterr())
    os.close(descriptor)


def test_a_newer_job_rings_the_one_that_it_supersedes(tmp_path: Path) -> None:
    policy = made(tmp_path / "state")
    older = open_request(policy)
    bell.make(older.directory)
    descriptor = bell.hang_up(older.directory)
    supersede_older(open_request(policy, "git.example-42-1002"), rule_of(supersede=True), "c" * 64)
    assert bell.was_rung(descriptor)
    os.close(descriptor)
