"""Passwords: how they lie on disk, and that asking for somebody who has none costs as much (threats T26)."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
from functools import partial
from pathlib import Path
from typing import Any

import argon2
import pytest
from filelock import FileLock

from gate.page.auth import accounts
from gate.page.auth.accounts import PASSWORD_MAX_BYTES, PASSWORD_MIN_CHARACTERS, AccountError, Accounts, is_right
from gate.store.files import StateError
from tests.support.gate_state import IS_ROOT, fork, mode_of
from tests.support.peers import ended

PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="module")
def alices(tmp_path_factory: pytest.TempPathFactory) -> Accounts:
    """Hers, made once, since a hash takes long on purpose; nobody changes these."""
    made = Accounts(str(tmp_path_factory.mktemp("alices")))
    made.set_password("alice", PASSWORD)
    return made


@pytest.fixture
def kept(tmp_path: Path, alices: Accounts) -> Accounts:
    found = Accounts(str(tmp_path))
    shutil.copytree(alices.directory, found.directory)
    return found


def content(kept: Accounts, person: str = "alice") -> dict[str, Any]:
    with open(os.path.join(kept.directory, f"{person}.json"), encoding="utf-8") as source:
        return json.load(source)  # type: ignore[no-any-return]


def test_the_right_password_is_right_and_others_are_not(kept: Accounts) -> None:
    alice = kept.get("alice")
    assert is_right(alice, PASSWORD)
    for wrong in ("", PASSWORD[:-1], f"{PASSWORD} ", PASSWORD.upper(), "nobody's", content(kept)["hash"]):
        assert not is_right(alice, wrong)


@pytest.mark.parametrize("password", ["pässwörter", "ü" * 512, "x" * PASSWORD_MAX_BYTES, "a\0b\nc\td et cetera"])
def test_a_password_is_all_of_its_characters(kept: Accounts, password: str) -> None:
    whole = password.ljust(PASSWORD_MIN_CHARACTERS)
    kept.set_password("alice", whole)
    assert is_right(kept.get("alice"), whole)
    assert not is_right(kept.get("alice"), whole[:-1])


def test_on_disk_is_an_argon2id_hash_and_nothing_of_the_password(kept: Accounts) -> None:
    assert content(kept).keys() == {"v", "person", "hash", "changed_wall_s"}
    parameters = argon2.extract_parameters(content(kept)["hash"])
    assert parameters.type is argon2.Type.ID
    assert (parameters.memory_cost, parameters.time_cost) >= (64 * 1024, 3)  # KiB, passes: RFC 9106, section 4
    assert "horse" not in json.dumps(content(kept))


def test_the_same_password_is_another_hash_each_time(kept: Accounts) -> None:
    kept.set_password("bob", PASSWORD)
    assert content(kept, "bob")["hash"] != content(kept)["hash"]


@pytest.mark.parametrize("umask", [0, 0o077])
def test_only_the_page_s_user_can_read_them(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        Accounts(str(tmp_path)).set_password("alice", PASSWORD)
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "accounts") == 0o700
    assert mode_of(tmp_path / "accounts" / "alice.json") == 0o600


NO_PASSWORDS = {
    "nothing": ("", "at least 12 characters"),
    "a character too few": ("x" * (PASSWORD_MIN_CHARACTERS - 1), "at least 12 characters"),
    "a byte too many": ("x" * (PASSWORD_MAX_BYTES + 1), "at most 1024 bytes"),
    "bytes, not characters": ("ü" * 513, "at most 1024 bytes"),
    "no text": (f"{PASSWORD}\udcff", "UTF-8"),
}


@pytest.mark.parametrize("case", NO_PASSWORDS)
def test_a_password_that_cannot_be_changes_nothing(kept: Accounts, case: str) -> None:
    password, told = NO_PASSWORDS[case]
    for person in ("alice", "bob"):
        with pytest.raises(AccountError, match=told):
            kept.set_password(person, password)
    assert is_right(kept.get("alice"), PASSWORD)
    assert kept.get("bob") is None


class Counted:
    """A hasher that notes against what it verified."""

    def __init__(self) -> None:
        self.true, self.seen = accounts._HASHER, list[str]()

    def verify(self, hashed: str, password: str | bytes) -> bool:
        self.seen.append(hashed)
        return self.true.verify(hashed, password)


@pytest.mark.parametrize("password", [PASSWORD, "", "nobody's", "\udcff", "x" * 500])
def test_where_nobody_has_that_name_a_hash_is_computed_all_the_same(
    kept: Accounts, monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    hasher = Counted()
    monkeypatch.setattr(accounts, "_HASHER", hasher)
    assert is_right(None, password) is False
    is_right(kept.get("alice"), password)
    nobody, alice = map(argon2.extract_parameters, hasher.seen)
    assert nobody == alice  # so both take as long
    assert hasher.seen[0] != hasher.seen[1]


def test_what_is_too_long_for_a_password_is_not_even_hashed(kept: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    hasher = Counted()
    monkeypatch.setattr(accounts, "_HASHER", hasher)
    for account in (None, kept.get("alice")):
        assert is_right(account, "x" * (PASSWORD_MAX_BYTES + 1)) is False
    assert hasher.seen == []


@pytest.mark.parametrize("hashed", ["", "x", "$argon2id$", "$argon2id$v=19$m=8,t=1,p=1$AAAA$AAAA", PASSWORD])
def test_a_hash_that_is_none_lets_nobody_in(hashed: str) -> None:
    assert is_right(accounts.Account("alice", hashed), PASSWORD) is False


def test_who_has_none_is_nobody(kept: Accounts, tmp_path: Path) -> None:
    assert (kept.get("bob"), kept.people()) == (None, ["alice"])
    assert Accounts(str(tmp_path / "elsewhere")).people() == []
    assert Accounts(str(tmp_path / "elsewhere")).get("alice") is None


def test_another_password_takes_the_place_of_the_first(kept: Accounts) -> None:
    before = kept.get("alice")
    kept.set_password("alice", f"{PASSWORD}!")
    after = kept.get("alice")
    assert not is_right(after, PASSWORD)
    assert before != after
    assert os.listdir(kept.directory) == ["alice.json"]


def test_a_password_that_cannot_be_written_leaves_the_one_before(
    kept: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", full)
        with pytest.raises(StateError, match=r"alice\.json: No space left"):
            kept.set_password("alice", f"{PASSWORD}!")
    assert is_right(kept.get("alice"), PASSWORD)
    assert kept.people() == ["alice"]
    kept.set_password("alice", f"{PASSWORD}!")


def test_without_the_memory_that_a_hash_takes_nothing_is_changed_and_nobody_is_let_in(kept: Accounts) -> None:
    def in_little_memory() -> bool:
        alice, pages = kept.get("alice"), int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        limit = pages * os.sysconf("SC_PAGE_SIZE") + 8 * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        with pytest.raises(AccountError, match="cannot be hashed here"):
            kept.set_password("alice", f"{PASSWORD}!")
        return not is_right(alice, PASSWORD)

    assert ended(fork(in_little_memory))
    assert is_right(kept.get("alice"), PASSWORD)


def test_a_removed_account_is_gone_and_was_there_once(kept: Accounts) -> None:
    assert kept.remove("alice") is True
    assert kept.remove("alice") is False
    assert (kept.get("alice"), kept.people()) == (None, [])


def test_an_account_that_cannot_be_removed_is_told(kept: Accounts) -> None:
    os.unlink(os.path.join(kept.directory, "alice.json"))
    os.mkdir(os.path.join(kept.directory, "alice.json"))
    with pytest.raises(StateError, match=r"cannot remove .*alice\.json"):
        kept.remove("alice")


@pytest.mark.parametrize("what", ["not JSON", "a link", "a directory"])
def test_an_account_that_cannot_be_read_is_told(kept: Accounts, tmp_path: Path, what: str) -> None:
    path = tmp_path / "accounts" / "alice.json"
    elsewhere = path.rename(tmp_path / "elsewhere.json")
    actions: dict[str, Any] = {
        "not JSON": lambda: path.write_text("{"),
        "a link": lambda: path.symlink_to(elsewhere),
        "a directory": path.mkdir,
    }
    actions[what]()
    with pytest.raises(StateError, match=r"alice\.json"):
        kept.get("alice")


@pytest.mark.parametrize("text", ["{}", '{"hash": null}', '{"person": "alice"}'])
def test_an_account_without_a_hash_is_told(kept: Accounts, text: str) -> None:
    with open(os.path.join(kept.directory, "alice.json"), "w", encoding="utf-8") as target:
        target.write(text)
    with pytest.raises(StateError, match=r"alice\.json"):
        kept.get("alice")


def test_a_directory_that_is_another_s_is_not_written_to(tmp_path: Path) -> None:
    if not IS_ROOT:
        pytest.skip("a directory of another user needs root")
    (tmp_path / "accounts").mkdir()
    os.chown(tmp_path / "accounts", 20_001, -1)
    with pytest.raises(StateError, match="not a directory of uid"):
        Accounts(str(tmp_path)).set_password("alice", PASSWORD)


def alone(kept: Accounts, number: int, rounds: int) -> bool:
    """One writer of several: the same two people all the time, with passwords of its own."""
    for n in range(rounds):
        kept.set_password("alice", f"{PASSWORD} {number}")
        kept.set_password("bob", f"{PASSWORD} {number}")
        if n % 3 == number % 3:
            kept.remove("bob")
        for person in ("alice", "bob"):
            kept.get(person)  # raises where there is half a file
    return True


class Plain:
    """A hasher that costs nothing: here it is about the files."""

    def hash(self, password: str) -> str:
        return f"plain:{password}"


@pytest.mark.parametrize("writers", [2, 5])
def test_of_writers_at_once_each_writes_whole_files_and_none_fails(
    kept: Accounts, monkeypatch: pytest.MonkeyPatch, writers: int
) -> None:
    monkeypatch.setattr(accounts, "_HASHER", Plain())
    started = [fork(partial(alone, kept, number, 200 // writers)) for number in range(writers)]
    assert [ended(pid) for pid in started] == [True] * writers
    assert content(kept)["hash"] in {f"plain:{PASSWORD} {number}" for number in range(writers)}
    assert set(os.listdir(kept.directory)) <= {"alice.json", "bob.json"}


def test_of_two_who_add_the_same_person_at_once_one_is_told(kept: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "_HASHER", Plain())
    ready, go = os.pipe()

    def add() -> bool:
        os.close(go)
        os.read(ready, 1)  # until the last holder of the other end has closed it
        with contextlib.suppress(AccountError):
            kept.set_password("bob", PASSWORD, exists=False)
            return True
        return False

    started = [fork(add) for _ in range(4)]
    os.close(go)
    os.close(ready)
    assert [ended(pid) for pid in started].count(True) == 1


def test_one_who_is_removed_meanwhile_gets_no_new_password(kept: Accounts) -> None:
    kept.remove("alice")
    with pytest.raises(AccountError, match="alice was removed meanwhile; nothing was changed"):
        kept.set_password("alice", PASSWORD, exists=True)
    assert kept.people() == []


def test_a_writer_that_is_killed_holds_nobody_up_and_leaves_no_half_file(
    kept: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready, tell = os.pipe()

    def stand_still(_descriptor: int) -> None:
        os.write(tell, b"x")
        signal.pause()

    def write() -> bool:
        monkeypatch.setattr(os, "fsync", stand_still)  # with the lock, and half of its work done
        kept.set_password("alice", f"{PASSWORD}, killed")
        return True

    child = fork(write)
    assert os.read(ready, 1) == b"x"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert is_right(kept.get("alice"), PASSWORD)
    kept.set_password("alice", f"{PASSWORD}!")
    assert is_right(kept.get("alice"), f"{PASSWORD}!")
    assert os.listdir(kept.directory) == ["alice.json"]
    os.close(ready)
    os.close(tell)


def test_a_lock_that_is_not_let_go_is_told(kept: Accounts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(accounts, "LOCKED_WITHIN_S", 0.05)
    with FileLock(tmp_path / "accounts.lock"):
        with pytest.raises(StateError, match=r"accounts\.lock: another process has held it"):
            kept.set_password("alice", f"{PASSWORD}!")
        with pytest.raises(StateError, match=r"accounts\.lock"):
            kept.remove("alice")
    assert is_right(kept.get("alice"), PASSWORD)


def test_a_lock_that_cannot_be_had_is_told(kept: Accounts, tmp_path: Path) -> None:
    (tmp_path / "accounts.lock").unlink(missing_ok=True)
    (tmp_path / "accounts.lock").mkdir()
    with pytest.raises(StateError, match=r"cannot lock .*accounts\.lock: .*nothing was changed"):
        kept.set_password("alice", f"{PASSWORD}!")
