"""What a sweep ends, and what it leaves alone (architecture "Resuming and ending")."""

from __future__ import annotations

import os
import signal
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from audit import log
from executor import cleanup
from gate.clock import boottime_ms
from gate.store import heartbeat, layout, liveness
from gate.store.files import write_json_once
from gate.store.request import Request, load
from gate.upkeep import sweep
from gate.votes import drop_file as drop
from gate.votes.inbox import Inbox
from tests.support.cut_short import STEPS, Crash, cut_short
from tests.support.gate_state import (
    HOUR_MS,
    drop_file,
    fork,
    in_children,
    made,
    open_request,
    records,
    rule_of,
    same_json,
)
from tests.support.notified import Notified

if TYPE_CHECKING:
    from pathlib import Path

KEY = "git.example-42-1001"
DECISION = {"comment": "", "why": "because", "rule": "all", "config": "", "by": None}


@pytest.fixture
def policy(tmp_path: Path) -> Any:
    return made(tmp_path / "state")


def ago(ms: int) -> int:
    return boottime_ms() - ms


def beat(request: Request, beat_ms: int, attempt: int = 1) -> None:
    with open(os.path.join(request.directory, f"waiting.{attempt}"), "w", encoding="ascii") as target:
        target.write(f"{beat_ms:020d}\n")


def decided(request: Request, decision: str) -> None:
    write_json_once(request.directory, "decision.json", DECISION | {"decision": decision})


def released(request: Request, ms_ago: int) -> None:
    decided(request, "approved")
    write_json_once(request.directory, "release.json", {"released_boottime_ms": ago(ms_ago)})


def started(request: Request) -> None:
    open(os.path.join(request.directory, "started"), "wb").close()


CASES: dict[str, tuple[Any, list[Any], bool]] = {
    "just opened": ({}, [], False),
    "opened a minute ago, no beat": ({"ms": 61_000}, [], True),
    "opened less than a minute ago": ({"ms": 55_000}, [], False),
    "a young beat": ({"ms": HOUR_MS}, [lambda r: beat(r, ago(55_000))], False),
    "a stale beat": ({"ms": HOUR_MS}, [lambda r: beat(r, ago(61_000))], True),
    "an old attempt's beat": (
        {"ms": HOUR_MS},
        [lambda r: beat(r, ago(90_000)), lambda r: beat(r, ago(1000), 2)],
        False,
    ),
    "a beat that cannot be read": ({"ms": HOUR_MS}, [lambda r: open(f"{r.directory}/waiting.1", "wb").close()], True),
    "another boot": ({"boot_id": "another"}, [], True),
    "another boot, a beat from its future": ({"boot_id": "another"}, [lambda r: beat(r, ago(-HOUR_MS))], True),
    "decided, stale": ({"ms": HOUR_MS}, [lambda r: decided(r, "rejected")], True),
    "decided just now": ({}, [lambda r: decided(r, "rejected")], False),
    "released just now": ({"ms": HOUR_MS}, [lambda r: released(r, 1000)], False),
    "released 9 min ago": ({"ms": HOUR_MS}, [lambda r: released(r, 540_000)], False),
    "released 11 min ago": ({"ms": HOUR_MS}, [lambda r: released(r, 660_000)], True),
    "released, of another boot": ({"boot_id": "another"}, [lambda r: released(r, 1000)], True),
    "started": ({"ms": HOUR_MS}, [lambda r: released(r, 660_000), started], False),
    "started in another boot": ({"boot_id": "another"}, [lambda r: released(r, 660_000), started], True),
}


@pytest.mark.parametrize("case", CASES)
def test_which_requests_are_over(policy: Any, case: str) -> None:
    opened, steps, over = CASES[case]
    opened = opened | {"opened_boottime_ms": ago(opened["ms"])} if "ms" in opened else opened
    request = open_request(policy, **opened)
    for step in steps:
        step(request)

    assert liveness.over(request) is over
    assert sweep.sweep(policy, "own") == []
    assert request.has("ended.json") is over
    assert len(records(policy, "ended")) == over


def stale(policy: Any, key: str = KEY) -> Request:
    return open_request(policy, key, opened_boottime_ms=ago(HOUR_MS))


def test_a_request_that_nobody_holds_is_abandoned_and_ended_once(policy: Any) -> None:
    request = stale(policy)

    for _ in range(2):
        assert sweep.sweep(policy, "own") == []
    assert [record["event"] for record in records(policy)] == ["genesis", "decided", "ended"]
    assert records(policy, "decided")[0]["decision"] == "abandoned"
    assert same_json(os.path.join(request.directory, "decision.json"))["decision"] == "abandoned"


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_of_an_abandoned_request_people_are_told(policy: Any, tmp_path: Path) -> None:
    request = stale(policy)
    with Notified(tmp_path / "told") as told:
        assert sweep.sweep(policy | {"on_event": told.command}, "own") == []
        assert (told.one("decided")["decision"], told.one("decided")["request"]) == ("abandoned", request.key)


@pytest.mark.parametrize("decision", ["approved", "rejected", "expired", "canceled"])
def test_one_that_was_decided_is_only_ended(policy: Any, decision: str) -> None:
    request = stale(policy)
    decided(request, decision)

    assert sweep.sweep(policy, "own") == []
    assert [record["decision"] for record in records(policy, "decided")] == [decision]
    assert same_json(os.path.join(request.directory, "decision.json"))["decision"] == decision
    assert len(records(policy, "ended")) == 1
    assert not request.has("release.json")


def test_its_own_request_is_left_alone(policy: Any) -> None:
    request = stale(policy)

    assert sweep.sweep(policy, KEY) == []
    assert not request.has("decision.json")
    assert records(policy) == []


def test_one_whose_lock_is_held_is_left_alone_however_old_its_beat(policy: Any) -> None:
    """A waiter that was stopped for a while, or on a disk that takes no beat, still waits."""
    request = stale(policy)
    reader, writer = os.pipe()

    def hold() -> bool:
        setattr(heartbeat, "boottime_ms", lambda: 0)  # noqa: B010 - in the child only
        heartbeat.start_beating(request.directory, 1)
        os.write(writer, b"+")
        signal.pause()
        return False

    child = fork(hold)
    try:
        assert os.read(reader, 1) == b"+"
        assert heartbeat.last_beat_ms(request.directory) == 0
        assert sweep.sweep(policy, "own") == []
        assert not request.has("decision.json")
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reader)
        os.close(writer)
    assert sweep.sweep(policy, "own") == []
    assert request.has("ended.json")


def test_a_plan_without_a_request_is_left_alone(policy: Any) -> None:
    layout.make_job(policy, KEY)

    assert sweep.sweep(policy, "own") == []
    assert records(policy) == []


def test_a_request_that_cannot_be_read_is_told_and_hinders_no_other(policy: Any) -> None:
    directory = layout.make_job(policy, "a.example-1-1")
    with open(os.path.join(directory, "request.json"), "w", encoding="utf-8") as target:
        target.write("{")
    os.mkfifo(os.path.join(layout.jobs(policy["state_dir"]), "b.example-1-1"))
    request = stale(policy)

    faults = sweep.sweep(policy, "own")
    assert [fault.split(":")[0] for fault in faults] == ["cannot sweep a.example-1-1", "cannot sweep b.example-1-1"]
    assert request.has("ended.json")


def test_a_log_that_cannot_be_written_ends_nothing(policy: Any) -> None:
    request = stale(policy)
    os.rename(layout.audit(policy["state_dir"]), layout.audit(policy["state_dir"]) + ".away")

    fault, other = sweep.sweep(policy, "own")
    assert fault.startswith(f"cannot sweep {KEY}: ")
    assert other.startswith("cannot begin a new segment of the audit log: there is no directory ")
    assert not request.has("ended.json")
    os.rename(layout.audit(policy["state_dir"]) + ".away", layout.audit(policy["state_dir"]))
    assert sweep.sweep(policy, "own") == []
    assert [record["event"] for record in records(policy)] == ["genesis", "decided", "ended"]


def left(policy: Any, person: str = "alice") -> list[str]:
    return sorted(os.listdir(os.path.join(layout.drops(policy["state_dir"]), person)))


def ended(policy: Any, key: str) -> None:
    write_json_once(open_request(policy, key).directory, "ended.json", {})


DROPS = {
    "for an ended job": ("1001.approve", [KEY], [], False),
    "for an ended job, by key": (f"{KEY}.reject", [KEY], [], False),
    "for one that waits": ("1001.approve", [], [KEY], True),
    "for a number that ended and waits": ("1001.approve", [KEY], ["other.example-1-1001"], True),
    "by the key that ended": (f"{KEY}.approve", [KEY], ["other.example-1-1001"], False),
    "for a job still to come": ("1002.approve", [KEY], [], True),
    "for no job": ("1001", [KEY], [], True),
    "hidden": (".1001.approve", [KEY], [], True),
    "unfinished": ("1001.approve.tmp", [KEY], [], True),
}


@pytest.mark.parametrize("case", DROPS)
def test_drops_for_ended_jobs_are_swept(policy: Any, case: str) -> None:
    name, over, waits, stays = DROPS[case]
    for key in over:
        ended(policy, key)
    for key in waits:
        open_request(policy, key)
    drop_file(policy, "alice", name)

    assert sweep.sweep(policy, "own") == []
    assert left(policy) == ([name] if stays else [])
    found = records(policy, "drop-turned-away")
    assert [record["drop"]["name"] for record in found] == ([] if stays else [name])
    assert all(f"its job has ended: {KEY}" in record["why"] for record in found)
    assert len(os.listdir(layout.turned_away(policy["state_dir"]))) == (not stays)


@pytest.mark.parametrize(("days", "stays"), [(6.99, True), (7.01, False)])
def test_drops_over_seven_days_old_are_swept(
    policy: Any, monkeypatch: pytest.MonkeyPatch, days: float, stays: bool
) -> None:
    drop_file(policy, "alice", "1002.approve")
    drop_file(policy, "bob", "whatever \x1b[31m\n")
    monkeypatch.setattr(
        sweep, "time", SimpleNamespace(time=lambda: time.time() + days * 86_400, monotonic=time.monotonic)
    )

    assert sweep.sweep(policy, "own") == []
    assert left(policy) + left(policy, "bob") == (["1002.approve", "whatever \x1b[31m\n"] if stays else [])
    told = [(record["drop"]["name"], record["why"]) for record in records(policy, "drop-turned-away")]
    assert told == (
        [] if stays else [("1002.approve", "it is over 7 days old"), ("whatever \\x1b[31m\\n", "it is over 7 days old")]
    )


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", [(log, "append_once"), (drop, "take"), (os, "unlink")])
def test_a_sweep_cut_short_anywhere_records_a_drop_once(
    policy: Any, monkeypatch: pytest.MonkeyPatch, step: tuple[Any, str], when: str
) -> None:
    ended(policy, KEY)
    drop_file(policy, "alice", "1001.approve")
    with monkeypatch.context() as patched:
        cut_short(patched, step, when)
        with pytest.raises(Crash):
            sweep.sweep(policy, "own")
    for _ in range(2):
        assert sweep.sweep(policy, "own") == []
    assert (len(records(policy, "drop-turned-away")), left(policy)) == (1, [])


def test_a_drop_that_a_look_has_recorded_is_not_recorded_by_a_sweep(
    policy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = open_request(policy)
    drop_file(policy, "bob", "1001.approve", "")
    with monkeypatch.context() as patched:
        cut_short(patched, STEPS["move"], "before")
        with pytest.raises(Crash):
            Inbox(request, policy, rule_of()).collect()
    write_json_once(request.directory, "ended.json", {})

    assert sweep.sweep(policy, "own") == []
    assert (len(records(policy, "drop-turned-away")), left(policy, "bob")) == (1, [])


def test_sweeps_at_once_record_each_drop_once(policy: Any) -> None:
    ended(policy, KEY)
    names = [f"{KEY}.approve", f"{KEY}.reject", "1001.approve", "1001.reject"]
    for person in ("alice", "bob", "carol"):
        for name in names:
            drop_file(policy, person, name)

    in_children(6, lambda _n: sweep.sweep(policy, "own") == [])
    swept = [record["drop"]["inode"] for record in records(policy, "drop-turned-away")]
    assert (len(swept), len(set(swept))) == (12, 12)
    assert not [name for name in os.listdir(layout.turned_away(policy["state_dir"])) if name.endswith(".note")]


def test_a_name_that_is_no_text_is_swept_too(policy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    drop_file(policy, "alice", os.fsdecode(b"\xff\xfe" * 100))
    monkeypatch.setattr(sweep, "time", SimpleNamespace(time=lambda: time.time() + 8 * 86_400, monotonic=time.monotonic))

    assert sweep.sweep(policy, "own") == []
    assert left(policy) == []


def test_a_directory_that_does_not_count_is_left_alone(policy: Any) -> None:
    ended(policy, KEY)
    for person in ("alice", "bob"):
        drop_file(policy, person, "1001.approve")
    os.chmod(os.path.join(layout.drops(policy["state_dir"]), "alice"), 0o770)

    assert sweep.sweep(policy, "own") == []
    assert (left(policy), left(policy, "bob")) == (["1001.approve"], [])


def test_no_jobs_directory_is_told(policy: Any) -> None:
    os.rmdir(layout.jobs(policy["state_dir"]))

    (fault,) = sweep.sweep(policy, "own")
    assert fault.startswith("cannot sweep ")


def test_a_sweep_leaves_no_descriptor(policy: Any) -> None:
    stale(policy)
    ended(policy, "git.example-42-1002")
    drop_file(policy, "alice", "1002.approve")
    before = len(os.listdir("/proc/self/fd"))

    sweep.sweep(policy, "own")
    assert len(os.listdir("/proc/self/fd")) == before
    assert load(policy["state_dir"], KEY) is not None


def test_where_nothing_was_made_yet_there_is_nothing_to_sweep(tmp_path: Path) -> None:
    """Else the line about that stands behind the true reason, why config could not make it."""
    assert sweep.sweep(made(tmp_path / "state") | {"state_dir": str(tmp_path / "nowhere")}, "") == []


@pytest.mark.parametrize(("odd", "said"), [(0, 0), (3, 3), (4, 4), (50, 4)])
def test_cleanup_says_little_of_others_faults(
    policy: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], odd: int, said: int
) -> None:
    for number in range(odd):
        os.mkdir(layout.job(policy["state_dir"], f"a.example-1-{number + 1}"))
        with open(
            os.path.join(layout.job(policy["state_dir"], f"a.example-1-{number + 1}"), "request.json"), "w"
        ) as file:
            file.write("{")
    monkeypatch.delenv("GATE_PLAN", raising=False)
    monkeypatch.setattr(cleanup, "_policy", lambda _file: policy)
    assert cleanup.cleanup("gate.yaml") == 0
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == said
    assert odd <= 3 or lines[-1] == f"gate: and {odd - 3} more such faults: `gate check` names them"
