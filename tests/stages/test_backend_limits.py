"""The cgroup of a job: its limits hold, what is in it is ended, and it is removed with the job's tree."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from executor.shell import backend, cgroup
from tests.stages.test_backend_private import Two
from tests.stages.test_backend_run import MODES, policy, skip_without_root
from tests.stages.test_backend_run import passable as passable  # noqa: PLC0414  a fixture

LIMITS = {"processes": 20, "memory_bytes": 64 * 1024**2}
CAP_SYS_RESOURCE = 24  # linux/capability.h


FORKS = """
import os, sys, time
for number in range(60):
    try:
        child = os.fork()
    except BlockingIOError:
        sys.exit(number)
    if child == 0:
        time.sleep(600)
sys.exit(60)
"""


def skip_where_impossible(limits: dict[str, int]) -> None:
    skip_without_root("a cgroup")
    why = cgroup.check(limits)
    if why:
        pytest.skip(f"no limit can be tried on this host: {why}")


def directories(work: str) -> list[str]:
    return cgroup._existing(work, cgroup.ROOT)


@pytest.mark.parametrize("mode", MODES)
def test_no_more_processes_than_the_limit_can_be_started(passable: Path, mode: str) -> None:
    skip_where_impossible({"processes": 20})
    two = Two(passable, mode, limits={"processes": 20})
    assert two.run("first", f"exec /usr/bin/python3 -c '{FORKS}'") in range(10, 20)
    assert two.run("second", "true") == 0


def test_job_that_takes_more_memory_than_the_limit_is_killed(passable: Path) -> None:
    # More than this test's own process has: pid 1 is a fork of it, and the kernel ends the largest in the cgroup.
    limits = {"memory_bytes": 1024**3}
    skip_where_impossible(limits)
    two = Two(passable, limits=limits)
    hungry = "/usr/bin/python3 -c 'x = bytearray(1200 * 1024**2); print(len(x))'"
    assert two.run("first", hungry) == 128 + 9
    two.backend["limits"] = {"processes": 20}
    assert two.run("second", hungry) == 0


def test_where_memory_runs_out_init_is_spared_and_a_job_is_not(passable: Path) -> None:
    skip_without_root("a namespace")
    own = Path("/proc/self/oom_score_adj").read_text(encoding="ascii").strip()
    score = "-1000" if _may_lower_its_score() else own
    spared = f"until grep -qx -- {score} /proc/1/oom_score_adj; do sleep 0.05; done"
    assert Two(passable).run("first", f"{spared}; grep -qx -- {own} /proc/self/oom_score_adj") == 0


def _may_lower_its_score() -> bool:
    """Where /proc says so; writing would change this process."""
    held = re.search(r"^CapEff:\t(\w+)$", Path("/proc/self/status").read_text(encoding="ascii"), re.MULTILINE)
    return bool(held and int(held[1], 16) & 1 << CAP_SYS_RESOURCE)


@pytest.mark.parametrize("mode", MODES)
def test_cgroup_goes_with_the_tree(passable: Path, mode: str) -> None:
    skip_where_impossible({"processes": 20})
    two = Two(passable, mode, limits={"processes": 20})
    assert two.run("first", "grep gitlab-runner-gate /proc/self/cgroup") == 0
    assert directories(two.work("first")) != []
    backend.remove_work(two.work("first"))
    assert directories(two.work("first")) == []


def in_cgroup_of(two: Two, name: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(["sleep", "600"])
    for directory in cgroup.make(two.work(name), {"processes": 20}):
        Path(directory, "cgroup.procs").write_text(str(process.pid))
    return process


def test_what_is_left_in_it_is_ended(passable: Path) -> None:
    skip_where_impossible({"processes": 20})
    two = Two(passable)
    with in_cgroup_of(two, "first") as left, in_cgroup_of(two, "second") as neighbour:
        assert cgroup.end(two.work("first")) == []
        assert left.wait(60) == -9
        assert neighbour.poll() is None
        assert cgroup.sweep(str(two.state), ["second"]) == []
        assert neighbour.poll() is None
        assert cgroup.sweep(str(two.state), []) == []
        assert neighbour.wait(60) == -9
    assert directories(two.work("second")) == []


def fake(root: Path, files: dict[str, str]) -> str:
    """A cgroup file system: the files that the kernel would make are there beforehand."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return str(root)


def test_version_2_has_its_controllers_enabled_from_the_root_down(tmp_path: Path) -> None:
    job = cgroup._path("", "/state/work/key").lstrip("/")
    names = ("cgroup.subtree_control", "gitlab-runner-gate/cgroup.subtree_control")
    files = {"cgroup.controllers": "cpu memory pids\n", **dict.fromkeys(names, "")}
    files |= dict.fromkeys((f"{job}/{name}" for name in ("pids.max", "memory.max", "memory.swap.max")), "")
    root = fake(tmp_path, files)
    assert cgroup.make("/state/work/key", LIMITS, root) == [f"{root}/{job}"]
    assert [(tmp_path / name).read_text() for name in names] == ["+pids +memory", "+pids +memory"]
    found = [(tmp_path / job / name).read_text() for name in ("pids.max", "memory.max", "memory.swap.max")]
    assert found == ["20", str(64 * 1024**2), "0"]


def test_version_1_has_a_hierarchy_for_each_controller(tmp_path: Path) -> None:
    job = cgroup._path("", "/state/work/key").lstrip("/")
    root = fake(tmp_path, {f"pids/{job}/pids.max": "", f"memory/{job}/memory.limit_in_bytes": ""})
    assert cgroup.make("/state/work/key", LIMITS, root) == [f"{root}/pids/{job}", f"{root}/memory/{job}"]
    assert (tmp_path / "memory" / job / "memory.limit_in_bytes").read_text() == str(64 * 1024**2)


@pytest.mark.parametrize("limits", [LIMITS, {"processes": 20}])
def test_limit_that_cannot_be_kept_is_a_fault_and_no_limit_is_none(tmp_path: Path, limits: dict[str, int]) -> None:
    with pytest.raises(cgroup.CgroupError, match="no cgroup controller 'pids' here"):
        cgroup.make("/state/work/key", limits, str(tmp_path))
    assert cgroup.make("/state/work/key", {}, str(tmp_path)) == []


def test_limits_need_root(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = policy("process_group", uid=4711, run_as=None, allow_same_user=True, limits=LIMITS)
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    assert "limits can be kept by a runner that is root only" in str(backend.check(asked))
