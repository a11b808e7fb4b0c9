"""What nobody took away: trees of jobs, caches, what was turned away. And that nothing grows for ever."""

from __future__ import annotations

import fcntl
import itertools
import os
import subprocess
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from audit import log
from audit.verify import verify
from gate.flow.decide import decide, end, record_decided
from gate.page.history.index import wall_ms
from gate.store import layout, liveness, rmtree
from gate.upkeep import prune, sweep
from tests.support.gate_state import DAY_S, IS_ROOT, drop_file, made, open_request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gate.store.request import Request

KEY, OTHER = "git.example-42-1001", "git.example-42-1002"
JOB_UID = 20_050 if IS_ROOT else os.geteuid()


@pytest.fixture
def policy() -> Iterator[Any]:
    """In a place that other users can get at."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        policy = made(Path(name) / "state")
        os.chmod(policy["state_dir"], 0o755)
        yield policy


def tidy(policy: Any, days: float = 0, own_key: str = "own") -> list[str]:
    return prune.tidy(policy, own_key, time.time() + days * DAY_S)


def names(policy: Any, *parts: str) -> list[str]:
    return sorted(os.listdir(os.path.join(policy["state_dir"], *parts)))


def ended(policy: Any, key: str = KEY) -> Request:
    request = open_request(policy, key)
    record_decided(request, decide(request, "rejected", "because", rule="all", config=""))
    end(request, "rejected")
    return request


def tree_of(path: str, script: str) -> None:
    """A tree, filled by the job's user."""
    os.mkdir(path, 0o700)
    os.chown(path, JOB_UID, -1)
    user = JOB_UID if IS_ROOT else None
    subprocess.run(["bash", "-euc", script], cwd=path, user=user, check=True, env={"PATH": os.environ["PATH"]})


def size_of(path: str) -> int:
    """How many names there are below."""
    return sum(len(files) + len(directories) for _, directories, files in os.walk(path))


HOSTILE = {
    "links": "mkdir -p a/b; ln -s ../../../secret a/b/x; ln -s /etc etc; ln -s .. up; ln -s loop loop",
    "no permissions": "mkdir -p a/b/c; touch a/b/c/d; chmod 000 a/b/c a/b a .",
    "odd names": "mkfifo fifo; touch -- -rf $'a\\nb' $'\\xff\\xfe' .hidden .gone.x; mkdir .. -p; mkdir $'\\xff'",
    "deep": 'python3 -I -S -c \'import os; [(os.mkdir("d"), os.chdir("d")) for _ in range(1500)]\'',
    "wide": "touch {1..900}; mkdir d{1..100}",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_tree_of_an_ended_job_goes_and_nothing_else(policy: Any, kind: str) -> None:
    ended(policy)
    tree_of(layout.work(policy["state_dir"], KEY), HOSTILE[kind])
    before = len(os.listdir("/proc/self/fd"))

    for _ in range(10):
        assert tidy(policy) == []
    assert names(policy, "work") == []
    assert names(policy, "jobs") == [KEY]
    assert os.path.exists(os.path.join(policy["state_dir"], "secret"))
    assert os.path.exists("/etc/passwd")
    assert len(os.listdir("/proc/self/fd")) == before


def test_trees_of_jobs_that_are_not_over_stay(policy: Any) -> None:
    open_request(policy, KEY)
    ended(policy, OTHER)
    for key in (KEY, OTHER, "git.example-42-1003"):
        tree_of(layout.work(policy["state_dir"], key), "touch x")

    assert tidy(policy, own_key=OTHER) == []
    assert names(policy, "work") == [KEY, OTHER]
    assert tidy(policy) == []
    assert names(policy, "work") == [KEY]


def test_no_tree_goes_where_it_cannot_be_told_whose_job_is_over(policy: Any) -> None:
    open_request(policy, KEY)
    tree_of(layout.work(policy["state_dir"], KEY), "touch x")
    os.rename(layout.jobs(policy["state_dir"]), layout.jobs(policy["state_dir"]) + ".away")

    faults = tidy(policy)
    assert any("cannot tidy up: No such file or directory" in fault for fault in faults)
    assert names(policy, "work", KEY) == ["x"]


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_is_no_tree_stays_and_is_told(policy: Any, kind: str) -> None:
    odd = Path(layout.work(policy["state_dir"], KEY))
    odd.write_text("33") if kind == "file" else odd.symlink_to("/etc")

    (fault,) = tidy(policy)
    assert fault.startswith(f"cannot remove {layout.works(policy['state_dir'])}/{KEY}: ")
    assert names(policy, "work") == [KEY]


@pytest.mark.parametrize("where", ["a", "."])
def test_what_is_mounted_in_a_tree_is_not_emptied(policy: Any, where: str) -> None:
    """A bind mount is of the same device, and what it leads to is somebody's."""
    path, kept = Path(layout.work(policy["state_dir"], KEY)), Path(policy["state_dir"]).parent / "kept"
    kept.mkdir()
    (kept / "33").write_text("33")
    tree_of(str(path), "mkdir -p a")
    done = subprocess.run(["mount", "--bind", str(kept), str(path / where)], check=False, capture_output=True)
    if done.returncode:
        pytest.skip("not root: only root can mount")
    try:
        (fault,) = tidy(policy)
        assert "is a mount: unmount it" in fault
        assert (kept / "33").read_text() == "33"
        assert kept.stat().st_mode & 0o777 == 0o755
    finally:
        subprocess.run(["umount", str(path / where)], check=True)
    assert (tidy(policy), names(policy, "work")) == ([], [])


def test_a_tree_goes_a_little_at_a_time_and_is_gone_on_with(policy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prune, "NAMES_MAX", 10)
    path = layout.work(policy["state_dir"], KEY)
    tree_of(path, "mkdir -p a/b c; touch x{1..12} a/x{1..12} a/b/x{1..12}")
    left = [size_of(path)]
    for _ in range(10):
        assert tidy(policy) == []
        left.append(size_of(path))

    assert all(before - 10 <= after <= before for before, after in itertools.pairwise(left))
    assert not os.path.exists(path)


def test_an_allowance_is_used_up() -> None:
    allowed = rmtree.Allowance(2)
    allowed.take()
    allowed.take()
    with pytest.raises(rmtree.SpentError):
        allowed.take()


def test_one_sweep_at_a_time_removes(policy: Any) -> None:
    tree_of(layout.work(policy["state_dir"], KEY), "touch x")
    other = os.open(layout.archive(policy["state_dir"]), os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    assert (tidy(policy), names(policy, "work")) == ([], [KEY])
    os.close(other)
    assert (tidy(policy), names(policy, "work")) == ([], [])


def test_what_was_turned_away_goes_after_its_time(policy: Any) -> None:
    """By the gate's own name for it: its owner may write to it, and set its times, for as long as it is there."""
    now = int(time.time())
    away = Path(layout.turned_away(policy["state_dir"]))
    for days, kind in ((31, "file"), (31, "directory"), (29, "file")):
        path = away / f"{now - days * DAY_S}-20001-{os.urandom(8).hex()}"
        path.write_text("x") if kind == "file" else tree_of(str(path), "mkdir a; touch a/x; chmod 0 a")
    (away / "something").touch()

    assert tidy(policy) == []
    assert len(names(policy, "turned-away")) == 2
    assert tidy(policy, days=31) == []
    assert names(policy, "turned-away") == []


def test_caches_of_projects_without_a_request_go(policy: Any) -> None:
    ended(policy, KEY)
    kept = ["git.example-42", "git.example-42@deployer"]
    for name in [*kept, "git.example-4", "git.example-43", "git.example-43@deployer"]:
        tree_of(layout.cache(policy["state_dir"], name), "mkdir -p default; touch default/cache.zip")
    Path(layout.cache(policy["state_dir"], ".git.example-7.new")).mkdir()

    assert tidy(policy) == []
    assert names(policy, "cache") == [".git.example-7.new", *kept]
    assert tidy(policy, days=31) == []  # archives its one request
    assert tidy(policy, days=31) == []
    assert names(policy, "cache") == [".git.example-7.new"]


def test_a_cache_whose_removal_was_cut_short_is_gone_on_with(policy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tree_of(layout.cache(policy["state_dir"], "git.example-42"), "touch {1..30}")
    monkeypatch.setattr(prune, "NAMES_MAX", 10)
    tidy(policy)
    open_request(policy, KEY)  # now there is a job again, which makes its cache anew
    tree_of(layout.cache(policy["state_dir"], "git.example-42"), "touch fresh")

    for _ in range(5):
        assert tidy(policy) == []
    assert (names(policy, "cache"), names(policy, "cache", "git.example-42")) == (["git.example-42"], ["fresh"])


def test_a_job_whose_runner_was_killed_is_ended_a_day_after_its_timeout(policy: Any) -> None:
    request = open_request(policy, KEY, opened_boottime_ms=0)
    decide(request, "approved", "1 of 1", rule="all", config="")
    Path(request.directory, "started").touch()
    over_ms = request.facts["timeout_s"] * 1000 + liveness.LAST_STAGES_WITHIN_MS
    for now_ms, is_over in ((over_ms, False), (over_ms + 1, True)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(liveness, "boottime_ms", lambda now_ms=now_ms: now_ms)
            assert liveness.over(request) is is_over


@pytest.mark.slow
def test_a_thousand_jobs_leave_a_bounded_number_of_files(policy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight jobs a day, each with a tree that nobody removed and a drop that did not count."""
    policy["keep"] = {"requests_s": 5 * DAY_S, "log_s": 40 * DAY_S}
    policy["audit"]["rotate_at_bytes"] = 50_000
    clock = SimpleNamespace(now_s=time.time())
    fake = SimpleNamespace(time=lambda: clock.now_s, monotonic=time.monotonic)
    monkeypatch.setattr(sweep, "time", fake)
    monkeypatch.setattr("gate.votes.from_drops.time", fake)
    monkeypatch.setattr("audit.log.time.time_ns", lambda: int(clock.now_s * 1e9))
    monkeypatch.setattr(os, "fsync", lambda _: None)
    counts = []
    for number in range(1000):
        key = f"git.example-{number % 7}-{number}"
        request = ended(policy, key)
        for path in (os.path.join(request.directory, "ended.json"), request.directory):
            os.utime(path, (clock.now_s, clock.now_s))
        os.makedirs(os.path.join(layout.work(policy["state_dir"], key), "builds", "grp"))
        drop_file(policy, "alice", f"{number}.approve")
        assert sweep.sweep(policy, key) == []
        clock.now_s += DAY_S / 8
        counts.append(size_of(policy["state_dir"]))
    assert max(counts[700:]) <= max(counts[400:700]) * 1.1
    assert len(names(policy, "jobs")) <= 5 * 8 + 10
    assert len(names(policy, "turned-away")) <= 5 * 8 + 10
    assert len(names(policy, "work")) <= 2
    directory = layout.audit(policy["state_dir"])
    _head, oldest = next(log.records(directory))
    assert 40 < (clock.now_s - wall_ms(oldest["time"]) / 1000) / DAY_S < 55
    assert verify(directory).ok
