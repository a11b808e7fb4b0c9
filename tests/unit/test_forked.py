"""A child that hangs is left behind, and holds nothing of its parent's."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from executor import forked, prepare

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGIO)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    signal.set_wakeup_fd(-1)
    for number, handler in before.items():
        signal.signal(number, handler)


def stepping(monkeypatch: pytest.MonkeyPatch, work: Any, within_ms: int = 60_000, own: tuple[int, ...] = ()) -> Any:
    def result(_name: str, context: Any, _interrupted: object) -> Any:
        return work(context)

    monkeypatch.setattr(prepare, "_result", result)
    return prepare.step("looking", {}, prepare.Signals(), within_ms, own)


def test_the_result_comes_back_whatever_its_length(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["x" * 300_000, "\0"]
    assert stepping(monkeypatch, lambda _context: {"lines": lines}) == {"lines": lines}


def test_one_that_hangs_is_killed_and_said_with_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(context: Any) -> None:
        for source in ("alice", "bob"):
            context["at"](source)
        time.sleep(600)

    result = stepping(monkeypatch, hang, 500)
    assert (result["state"], result["hung"]) == ("fault", "bob")
    assert result["lines"] == ["a process of the gate hung while looking, at the answers of bob"]
    give_up = time.monotonic() + 60
    while forked._left_behind and time.monotonic() < give_up:
        forked.reap()
    assert forked._left_behind == []


def test_one_that_dies_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    result = stepping(monkeypatch, lambda _context: os.kill(os.getpid(), signal.SIGKILL))
    assert result == prepare.fault("a process of the gate died while looking")


def test_a_child_holds_neither_the_job_log_nor_the_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()

    def held(_context: Any) -> Any:
        return {
            "held": [os.path.exists(f"/proc/self/fd/{writer}"), *(os.readlink(f"/proc/self/fd/{n}") for n in (1, 2))]
        }

    assert stepping(monkeypatch, held, own=(writer,)) == {"held": [False, "/dev/null", "/dev/null"]}
    os.close(reader)
    os.close(writer)
