"""The job response file: only what the runner makes is read (threats T2)."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any

import pytest

from executor import response
from executor.response import read_response, sha256
from executor.runner_contract import StageError
from tests.support.gate_state import IS_ROOT

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "custom-executor123"
    directory.mkdir()
    directory.chmod(0o700)
    path = directory / "response.json"
    path.write_bytes(b'{"id": 1001}')
    path.chmod(0o600)
    monkeypatch.setenv("JOB_RESPONSE_FILE", str(path))
    return path


def test_the_bytes_are_read_as_they_are(file: Path) -> None:
    content = b'{"id": 1001, "x": "\xff\r\n"}  '
    file.write_bytes(content)

    assert read_response() == content
    assert sha256(content) == hashlib.sha256(content).hexdigest()


def moved(file: Path) -> Path:
    return file.rename(file.with_name("other"))


def fifo(file: Path) -> None:
    file.unlink()
    os.mkfifo(file, 0o600)


CHANGES: dict[str, Any] = {
    "missing": lambda f: f.unlink(),
    "directory missing": lambda f: (f.unlink(), f.parent.rmdir()),
    "symlink": lambda f: f.symlink_to(moved(f)),
    "dangling symlink": lambda f: (f.unlink(), f.symlink_to("nowhere")),
    "second link": lambda f: os.link(f, f.with_name("other")),
    "fifo": fifo,
    "directory": lambda f: (f.unlink(), f.mkdir(0o700)),
    "group may read": lambda f: f.chmod(0o640),
    "others may read": lambda f: f.chmod(0o604),
    "group may write": lambda f: f.chmod(0o620),
    "directory others may enter": lambda f: f.parent.chmod(0o701),
    "directory others may write": lambda f: f.parent.chmod(0o722),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_the_runner_does_not_make_is_refused_in_one_line(file: Path, change: str) -> None:
    CHANGES[change](file)

    with pytest.raises(StageError) as refused:
        read_response()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("whose", ["file", "directory"])
def test_another_users_is_refused(file: Path, whose: str) -> None:
    if not IS_ROOT:
        pytest.skip("a file of another user needs root")
    os.chown(file if whose == "file" else file.parent, 20_001, -1)

    with pytest.raises(StageError, match="has uid 20001"):
        read_response()


@pytest.mark.parametrize("path", [None, "", "response.json", "./response.json"])
def test_a_path_that_the_runner_never_gives_is_refused(
    file: Path, monkeypatch: pytest.MonkeyPatch, path: str | None
) -> None:
    monkeypatch.chdir(file.parent)
    monkeypatch.delenv("JOB_RESPONSE_FILE")
    if path is not None:
        monkeypatch.setenv("JOB_RESPONSE_FILE", path)

    with pytest.raises(StageError, match="called by gitlab-runner's custom executor"):
        read_response()


def test_custom_env_does_not_name_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JOB_RESPONSE_FILE")
    monkeypatch.setenv("CUSTOM_ENV_JOB_RESPONSE_FILE", str(file))

    with pytest.raises(StageError):
        read_response()


@pytest.mark.parametrize(("size", "fits"), [(100, True), (101, False)])
def test_too_large_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch, size: int, fits: bool) -> None:
    monkeypatch.setattr(response, "MAX_BYTES", 100)
    file.write_bytes(b"x" * size)

    if fits:
        assert len(read_response()) == size
        return
    with pytest.raises(StageError, match="too large"):
        read_response()


def test_one_that_changes_while_it_is_read_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    true_check = response._check

    def check(*words: Any) -> None:
        true_check(*words)
        if words[1] == str(file):
            file.write_bytes(b'{"id": 1002, "longer": true}')

    monkeypatch.setattr(response, "_check", check)
    with pytest.raises(StageError, match="changed while it was read"):
        read_response()
