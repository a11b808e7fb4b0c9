"""What is kept of the disk for when it is full."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest

from executor import steps
from gate.store import reserve
from gate.store.files import StateError
from tests.support.gate_state import made, mode_of

if TYPE_CHECKING:
    from pathlib import Path


def test_it_is_made_whole_once_and_freed_once(tmp_path: Path) -> None:
    state_dir = str(tmp_path)
    reserve.fill(state_dir)
    reserve.fill(state_dir)
    found = os.stat(tmp_path / reserve.NAME)
    assert (found.st_blocks * 512 >= reserve.BYTES, mode_of(tmp_path / reserve.NAME)) == (True, 0o600)
    assert [reserve.free(state_dir), reserve.free(state_dir)] == [True, False]


def test_where_there_is_no_room_there_is_none_and_no_half_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_words: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    reserve.fill(str(tmp_path))
    assert os.listdir(tmp_path) == []


def test_the_directories_come_with_it(tmp_path: Path) -> None:
    assert reserve.NAME in os.listdir(made(tmp_path / "state")["state_dir"])


@pytest.mark.parametrize("tries", [1, 2])
def test_what_ends_a_wait_is_tried_again_with_it_freed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tries: int
) -> None:
    policy = made(tmp_path / "state")
    monkeypatch.setattr(steps, "_plan", lambda: {"policy": policy})
    calls = []

    def work() -> Any:
        calls.append(os.path.lexists(os.path.join(policy["state_dir"], reserve.NAME)))
        if len(calls) <= tries:
            raise StateError("cannot write x: No space left on device")
        return {"state": "over"}

    if tries == 1:
        assert steps._at_any_cost(work)["state"] == "over"
    else:
        with pytest.raises(StateError):
            steps._at_any_cost(work)
    assert calls == [True, False]
