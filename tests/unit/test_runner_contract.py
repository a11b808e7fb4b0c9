"""Exit codes never read as success, and are told to the runner whole or not at all (threats T5)."""

from __future__ import annotations

import os
import resource
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor import runner_contract, surroundings
from executor.runner_contract import StageError, from_config, say, tell_exit_code
from tests.support.gate_state import in_children, mode_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CODES: list[tuple[str, Callable[[], int], int]] = [
    ("BUILD_FAILURE_EXIT_CODE", runner_contract.build_failure_code, 1),
    ("SYSTEM_FAILURE_EXIT_CODE", runner_contract.system_failure_code, 2),
]


@pytest.mark.parametrize(("name", "code", "default"), CODES)
@pytest.mark.parametrize("value", [None, "", "0", "00", "256", "-1", "+1", " 33", "33 ", "0x21", "3.3", "٣", "x"])
def test_a_code_that_the_runner_never_gives_is_the_default(
    monkeypatch: pytest.MonkeyPatch, name: str, code: Callable[[], int], default: int, value: str | None
) -> None:
    monkeypatch.delenv(name, raising=False)
    if value is not None:
        monkeypatch.setenv(name, value)

    assert code() == default


@pytest.mark.parametrize(("name", "code", "default"), CODES)
@pytest.mark.parametrize(("value", "exit_code"), [("33", 33), ("1", 1), ("255", 255)])
def test_the_runners_code_is_taken(
    monkeypatch: pytest.MonkeyPatch, name: str, code: Callable[[], int], default: int, value: str, exit_code: int
) -> None:
    monkeypatch.setenv(name, value)

    assert code() == exit_code


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])) | st.integers().map(str))
def test_no_code_is_ever_0(value: str) -> None:
    with pytest.MonkeyPatch.context() as patched:
        for name, code, _default in CODES:
            patched.setenv(name, value)
            assert 0 < code() <= 255


@pytest.mark.parametrize("umask", [0, 0o077])
@pytest.mark.parametrize("there", [None, "123456\n"])
def test_exit_code_is_one_number_for_the_runner_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, umask: int, there: str | None
) -> None:
    path = tmp_path / "code"
    if there is not None:
        path.write_text(there)
        path.chmod(0o600)
    monkeypatch.setenv("BUILD_EXIT_CODE_FILE", str(path))
    before = os.umask(umask)
    try:
        tell_exit_code(81)
    finally:
        os.umask(before)

    assert path.read_text() == "81\n"
    assert mode_of(path) == 0o600


@pytest.mark.parametrize("what", ["not set", "directory missing", "symlink", "directory"])
def test_a_code_that_cannot_be_told_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    path = tmp_path / "a" / "code"
    monkeypatch.setenv("BUILD_EXIT_CODE_FILE", "" if what == "not set" else str(path))
    if what != "directory missing":
        path.parent.mkdir()
    if what == "symlink":
        path.symlink_to(tmp_path / "elsewhere")
    if what == "directory":
        path.mkdir()

    with pytest.raises(StageError, match="BUILD_EXIT_CODE_FILE"):
        tell_exit_code(81)
    assert not (tmp_path / "elsewhere").exists()


def test_a_code_that_does_not_fit_on_the_disk_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUILD_EXIT_CODE_FILE", str(tmp_path / "code"))

    def fails(_n: int) -> bool:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        with pytest.raises(StageError, match="cannot write BUILD_EXIT_CODE_FILE"):
            tell_exit_code(81)
        return True

    assert in_children(1, fails) == [True]


def test_what_config_hands_on_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE_PLAN", "/plan")
    assert from_config("GATE_PLAN") == "/plan"

    for value in ("", None):
        monkeypatch.delenv("GATE_PLAN", raising=False)
        if value is not None:
            monkeypatch.setenv("GATE_PLAN", value)
        with pytest.raises(StageError, match="wire config_exec"):
            from_config("GATE_PLAN")


def test_say_writes_one_line_and_stops_for_nobody() -> None:
    reader, writer = os.pipe()
    say("grüß \ud800", writer)
    os.close(writer)
    with open(reader, "rb") as told:
        assert told.read() == "gate: grüß \\ud800\n".encode()

    say("nobody reads this", writer)  # closed


def test_what_waits_since_before_its_name_finds_in_words_where_it_was() -> None:
    """A process that waits may be of an older version.

    Each of its steps imports this name (executor/prepare.py, _result).
    """
    assert surroundings.in_words is runner_contract.in_words
