"""Owners and modes under state_dir, exactly as architecture "On disk" has them."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Any

import pytest

from gate.store import layout
from gate.store.files import StateError
from tests.support.cut_short import Crash
from tests.support.gate_state import IS_ROOT, UIDS, mode_of, policy_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

R = os.geteuid()
# As root a group of nobody's; else one of our own, the only kind that a file may be given to.
GID = 20_099 if IS_ROOT else os.getegid()
KEY = "git.example-42-1001"
PAGE_UID, PAGE_GID = (20_010, 20_011) if IS_ROOT else (os.geteuid(), os.getegid())
PAGE = {"user": "gitlab-gate", "uid": PAGE_UID, "gid": PAGE_GID}


@pytest.fixture(params=[0, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def tree(state_dir: Path) -> dict[str, tuple[int, int | None, str]]:
    """path -> (owner, group where it has rights of its own, mode)."""
    found = {}
    for path in [state_dir, *sorted(state_dir.rglob("*"))]:
        state = path.lstat()
        mode = stat.S_IMODE(state.st_mode)
        group = state.st_gid if mode & 0o070 and not mode & 0o005 else None
        found[str(path.relative_to(state_dir))] = (state.st_uid, group, f"{mode:04o}")
    return found


def expected(gid: int | None) -> dict[str, tuple[int, int | None, str]]:
    shared = (R, gid, "2750") if gid is not None else (R, None, "0700")
    return {
        ".": (R, None, "0755"),
        "archive": (R, None, "0700"),
        "archive/removing": (R, None, "0700"),
        "audit": shared,
        "cache": (R, None, "0711"),
        "compiled": (R, None, "0700"),
        "drop": (R, None, "0755"),
        **{f"drop/{person}": (uid, None, "0700") for person, uid in UIDS.items()},
        "jobs": shared,
        **({"drop/signed": (R, gid, "1770")} if gid is not None else {}),
        f"jobs/{KEY}": shared,
        f"jobs/{KEY}/votes": (R, None, "0700"),
        "reserve": (R, None, "0600"),
        "secret": (R, None, "0600"),
        "turned-away": (R, None, "0700"),
        "work": (R, None, "0711"),
    }


@pytest.mark.parametrize("gid", [None, GID])
def test_owners_and_modes_are_those_of_the_table(tmp_path: Path, umask: int, gid: int | None) -> None:
    policy = policy_of(tmp_path / "state", approvers_gid=gid)

    for _ in range(2):
        assert layout.make(policy) == []
        layout.make_job(policy, KEY)
        assert tree(tmp_path / "state") == expected(gid)


def test_files_of_a_request_belong_to_the_approvers(tmp_path: Path) -> None:
    policy = policy_of(tmp_path / "state", approvers_gid=GID)
    layout.make(policy)
    os.close(os.open(f"{layout.make_job(policy, KEY)}/plan.1.json", os.O_CREAT | os.O_WRONLY, 0o600))

    assert os.stat(f"{layout.job(policy['state_dir'], KEY)}/plan.1.json").st_gid == GID


@pytest.mark.parametrize(("first", "then"), [(None, GID), (GID, None)])
def test_a_change_of_approvers_group_is_followed(tmp_path: Path, first: int | None, then: int | None) -> None:
    for gid in (first, then):
        policy = policy_of(tmp_path / "state", approvers_gid=gid)
        layout.make(policy)
        layout.make_job(policy, KEY)

    closed = {"drop/signed": (R, None, "0700")} if then is None else {}
    assert tree(tmp_path / "state") == expected(then) | closed


def test_what_others_may_write_is_mended(tmp_path: Path) -> None:
    policy = policy_of(tmp_path / "state")
    layout.make(policy)
    for path in ("", "jobs", "audit", "turned-away", "drop", "work"):
        os.chmod(tmp_path / "state" / path, 0o777)
    layout.make(policy)
    layout.make_job(policy, KEY)

    assert tree(tmp_path / "state") == expected(None)


def test_an_existing_drop_directory_is_never_touched(tmp_path: Path) -> None:
    policy = policy_of(tmp_path / "state")
    layout.make(policy)
    own = tmp_path / "state" / "drop" / "alice"
    own.chmod(0o777)
    os.chown(own, R, -1)
    layout.make(policy)

    assert (own.stat().st_uid, mode_of(own)) == (R, 0o777)


@pytest.mark.parametrize("step", [(os, "chmod"), (os, "chown"), (layout, "rename_without_replacing")])
@pytest.mark.parametrize("fault", [Crash(), OSError(errno.EIO, os.strerror(errno.EIO))])
def test_a_drop_directory_is_whole_or_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: tuple[Any, str], fault: BaseException
) -> None:
    if not IS_ROOT:
        pytest.skip("giving a directory away needs root")
    policy = policy_of(tmp_path / "state")
    layout.make(policy)
    own = tmp_path / "state" / "drop" / "alice"
    own.rmdir()

    def cut_short(*_words: Any, **_named: Any) -> None:
        raise fault

    with monkeypatch.context() as patched:
        patched.setattr(*step, cut_short)
        if isinstance(fault, Crash):
            with pytest.raises(Crash):
                layout.make(policy)
        else:  # the others are served all the same
            assert layout.make(policy) == [f"alice cannot answer by drop: cannot make {own}: Input/output error"]
    assert not own.exists()
    layout.make(policy)
    assert (own.stat().st_uid, mode_of(own)) == (UIDS["alice"], 0o700)


def test_a_person_without_a_user_here_has_no_drop_directory(tmp_path: Path) -> None:
    policy = policy_of(tmp_path / "state")
    policy["people"]["bob"]["uid"] = None

    assert layout.make(policy) == []
    assert sorted(os.listdir(tmp_path / "state" / "drop")) == ["alice", "carol"]


def test_a_gate_that_is_not_root_serves_its_own_uid_only(tmp_path: Path) -> None:
    if IS_ROOT:
        pytest.skip("root serves everybody")
    policy = policy_of(tmp_path / "state")
    policy["people"]["bob"]["uid"] = R + 1

    (line,) = layout.make(policy)
    assert line.startswith("bob cannot answer by drop")
    assert sorted(os.listdir(tmp_path / "state" / "drop")) == ["alice", "carol"]


@pytest.mark.parametrize("path", ["jobs", "audit", "turned-away", "drop", "work", "cache"])
@pytest.mark.parametrize("what", ["file", "symlink", "another user's"])
def test_what_is_not_ours_is_refused(tmp_path: Path, path: str, what: str) -> None:
    state, elsewhere = tmp_path / "state", tmp_path / "elsewhere"
    state.mkdir()
    elsewhere.mkdir(mode=0o700)
    if what == "file":
        (state / path).write_text("")
    elif what == "symlink":
        (state / path).symlink_to(elsewhere)
    elif IS_ROOT:
        (state / path).mkdir()
        os.chown(state / path, UIDS["alice"], -1)
    else:
        pytest.skip("a directory of another user needs root")

    with pytest.raises(StateError, match="not a directory of uid"):
        layout.make(policy_of(state))
    assert mode_of(elsewhere) == 0o700


def test_the_secret_stays_the_same_and_is_random(tmp_path: Path) -> None:
    for name in ("a", "b"):
        layout.make(policy_of(tmp_path / name))
    first = layout.secret(str(tmp_path / "a"))
    layout.make(policy_of(tmp_path / "a"))

    assert layout.secret(str(tmp_path / "a")) == first
    assert len(first) == 32
    assert layout.secret(str(tmp_path / "b")) != first


@pytest.mark.parametrize("change", ["readable", "short", "long", "missing", "symlink", "another user's"])
def test_a_secret_that_others_could_have_is_refused(tmp_path: Path, change: str) -> None:
    layout.make(policy_of(tmp_path))
    path = tmp_path / "secret"
    actions: Any = {
        "readable": lambda: path.chmod(0o640),
        "short": lambda: path.write_bytes(b"x" * 31),
        "long": lambda: path.write_bytes(b"x" * 33),
        "missing": path.unlink,
        "symlink": lambda: path.symlink_to(path.rename(tmp_path / "other")),
        "another user's": lambda: os.chown(path, UIDS["alice"], -1),
    }
    if change == "another user's" and not IS_ROOT:
        pytest.skip("a file of another user needs root")
    actions[change]()

    with pytest.raises(StateError):
        layout.secret(str(tmp_path))


def test_a_page_has_its_own_directory_and_a_place_in_votes(tmp_path: Path, umask: int) -> None:
    policy = policy_of(tmp_path / "state", approvers_gid=GID, page=PAGE)
    for _ in range(2):
        assert layout.make(policy) == []
        layout.make_job(policy, KEY)
        votes = (R, PAGE_GID, "1770") if IS_ROOT else (R, None, "0700")  # tried out as one user, it needs no place
        assert tree(tmp_path / "state") == expected(GID) | {
            "page": (PAGE_UID, None, "0700"),
            f"jobs/{KEY}/votes": votes,
        }


def test_the_page_s_directory_is_in_the_page_s_group(tmp_path: Path) -> None:
    layout.make(policy_of(tmp_path / "state", page=PAGE))
    assert (tmp_path / "state" / "page").stat().st_gid == PAGE_GID


def test_votes_are_closed_again_where_the_page_has_gone(tmp_path: Path) -> None:
    for page in (PAGE, None):
        policy = policy_of(tmp_path / "state", page=page)
        layout.make(policy)
        votes = layout.votes(layout.make_job(policy, KEY))
    assert mode_of(votes) == 0o700


@pytest.mark.parametrize("what", ["link", "file", "open to all", "another user's"])
def test_what_stands_where_the_page_s_directory_belongs_is_never_touched(tmp_path: Path, what: str) -> None:
    state, elsewhere = tmp_path / "state", tmp_path / "elsewhere"
    state.mkdir()
    elsewhere.mkdir(mode=0o755)
    place_for_page(state / "page", elsewhere, what)
    before = {path: path.lstat() for path in (state / "page", elsewhere)}
    layout.make(policy_of(state, page=PAGE))
    after = {path: path.lstat() for path in before}
    assert [(path.st_uid, path.st_gid, path.st_mode, path.st_ino) for path in before.values()] == [
        (path.st_uid, path.st_gid, path.st_mode, path.st_ino) for path in after.values()
    ]


def place_for_page(path: Path, elsewhere: Path, what: str) -> None:
    if what == "link":
        path.symlink_to(elsewhere)
    elif what == "file":
        path.touch()
    else:
        path.mkdir(mode=0o700)
        os.chmod(path, 0o777 if what == "open to all" else 0o700)
    if IS_ROOT and what == "another user's":
        os.chown(path, UIDS["alice"], -1)


def test_a_gate_that_is_not_root_leaves_the_page_s_directory_to_the_operator(tmp_path: Path) -> None:
    if IS_ROOT:
        pytest.skip("root serves everybody")
    layout.make(policy_of(tmp_path / "state", page=PAGE | {"uid": R + 1}))
    assert not (tmp_path / "state" / "page").exists()


def test_the_page_finds_its_own_directory(tmp_path: Path) -> None:
    policy = policy_of(tmp_path, page=PAGE | {"uid": R})
    layout.make(policy)
    assert layout.own_page(policy) == str(tmp_path / "page")


@pytest.mark.parametrize("what", ["nothing", "link", "file", "open to all", "another user's"])
def test_a_directory_that_is_not_the_page_s_alone_is_told_with_the_command(tmp_path: Path, what: str) -> None:
    if what == "another user's" and not IS_ROOT:
        pytest.skip("a directory of another user needs root")
    if what != "nothing":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        place_for_page(tmp_path / "page", tmp_path / "elsewhere", what)
    with pytest.raises(StateError) as told:
        layout.own_page(policy_of(tmp_path, page=PAGE))
    assert f"install -d -o gitlab-gate -g {PAGE_GID} -m 0700 {tmp_path}/page" in str(told.value)
    assert "\n" not in str(told.value)
