"""Which drop directories count, and which names in them (threats T9)."""

from __future__ import annotations

import errno
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from gate.votes import drop_file
from tests.support.gate_state import IS_ROOT, UIDS
from tests.support.tools import need

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

UID = UIDS["alice"]
KEY = "git.example-42-1001"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """drop/alice/."""
    path = tmp_path / "drop" / "alice"
    path.mkdir(parents=True)
    path.chmod(0o700)
    os.chown(path, UID, -1)
    return path


def opened(own: Path) -> str:
    """Why drop/alice/ does not count, or ""."""
    root = os.open(own.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.close(drop_file.open_directory(root, "alice", UID))
    except drop_file.DropDirectoryError as error:
        return str(error)
    finally:
        os.close(root)
    return ""


@pytest.mark.parametrize("mode", [0o700, 0o500, 0o1700, 0o2700])
def test_a_directory_of_the_persons_alone_counts(own: Path, mode: int) -> None:
    if not IS_ROOT and mode == 0o2700:
        pytest.skip("keeping the set-group-id bit needs root here")
    own.chmod(mode)

    assert opened(own) == ""


@pytest.mark.parametrize("bits", [0o010, 0o020, 0o040, 0o001, 0o002, 0o004, 0o077])
def test_a_directory_that_others_have_rights_on_counts_for_nobody(own: Path, bits: int) -> None:
    own.chmod(0o700 | bits)

    assert "others have rights on it" in opened(own)
    assert f"{0o700 | bits:04o}" in opened(own)


def test_a_directory_with_an_acl_counts_for_nobody(own: Path) -> None:
    need("setfacl")
    done = subprocess.run(["setfacl", "-m", "u:1:rwx", str(own)], check=False, capture_output=True)
    if done.returncode != 0:
        pytest.skip("this file system has no ACLs")

    assert "others have rights on it" in opened(own)
    subprocess.run(["setfacl", "-b", str(own)], check=True)
    assert opened(own) == ""


def test_a_directory_of_another_users_counts_for_nobody(own: Path) -> None:
    if not IS_ROOT:
        pytest.skip("a directory of another user needs root")
    os.chown(own, UID + 1, -1)

    assert f"belongs to uid {UID + 1}, not {UID}" in opened(own)


def test_a_symlink_to_ones_own_directory_counts_for_nobody(own: Path) -> None:
    own.rename(own.parent / "real")
    own.symlink_to("real")

    assert "cannot be opened" in opened(own)


@pytest.mark.parametrize("what", ["missing", "file", "fifo"])
def test_no_directory_counts_for_nobody(own: Path, what: str) -> None:
    own.rmdir()
    if what == "file":
        own.write_text("")
    if what == "fifo":
        os.mkfifo(own)

    assert "cannot be opened" in opened(own)


def test_a_directory_on_another_file_system_counts_for_nobody(own: Path) -> None:
    if not IS_ROOT:
        pytest.skip("mounting needs root")
    options = f"size=16k,uid={UID},mode=0700"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "x", str(own)], check=False).returncode != 0:
        pytest.skip("mounting is not allowed here")
    why = opened(own)
    subprocess.run(["umount", str(own)], check=True)

    assert why == "drop/alice is a mount: unmount it"


@pytest.mark.parametrize("fault", drop_file.HOSTS_OWN)
def test_where_the_process_has_nothing_left_that_is_raised(
    own: Path, monkeypatch: pytest.MonkeyPatch, fault: int
) -> None:
    monkeypatch.setattr(drop_file, "open_beneath", failing(fault))
    with pytest.raises(OSError, match=os.strerror(fault)):
        opened(own)


@pytest.mark.parametrize("fault", sorted(set(errno.errorcode) - set(drop_file.HOSTS_OWN)))
def test_any_other_error_is_the_directorys(own: Path, monkeypatch: pytest.MonkeyPatch, fault: int) -> None:
    monkeypatch.setattr(drop_file, "open_beneath", failing(fault))
    assert opened(own).startswith("drop/alice ")


def failing(fault: int) -> Callable[..., int]:
    def fail(*_words: object) -> int:
        raise OSError(fault, os.strerror(fault))

    return fail


def test_a_refused_directory_leaves_no_descriptor(own: Path) -> None:
    own.chmod(0o770)
    before = len(os.listdir("/proc/self/fd"))

    assert opened(own)
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_names_that_count_are_approvals_first() -> None:
    assert drop_file.names_of(1001, KEY) == ["1001.approve", f"{KEY}.approve", "1001.reject", f"{KEY}.reject"]


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("1001.approve", ("1001", "approve")),
        (f"{KEY}.reject", (KEY, "reject")),
        ("a.b.reject", ("a.b", "reject")),
        (".approve", None),
        ("..approve", None),
        (".1001.approve", None),
        ("1001.approve.tmp", None),
        ("1001", None),
        ("", None),
    ],
)
def test_answer_of(name: str, answer: tuple[str, str] | None) -> None:
    assert drop_file.answer_of(name) == answer
