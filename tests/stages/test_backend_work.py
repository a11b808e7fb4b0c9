"""The job's directories: made fresh, checked, and removed whatever the job made of them."""

import fcntl
import os
import stat
import subprocess
import threading
from pathlib import Path

import pytest

from executor.shell import backend
from gate import TOOL_PATH
from gate.store import rmtree
from tests.stages.test_backend_run import NOBODY, policy, skip_without_root
from tests.stages.test_backend_run import passable as passable  # noqa: PLC0414  a fixture


def job_uid() -> int:
    return NOBODY.pw_uid if os.geteuid() == 0 else os.geteuid()


def make(root: Path) -> Path:
    work, cache = root / "key", root / "project"
    backend.make_work(policy(), str(work), str(cache))
    return work


def test_tree_is_the_jobs_alone(passable: Path) -> None:
    old = os.umask(0o277)
    try:
        work = make(passable)
    finally:
        os.umask(old)
    for path, mode in (
        *[(path, 0o700) for path in (work, work / "builds", work / "home", passable / "project")],
        *[(work / name, 0o1777) for name in ("tmp", "var-tmp")],
    ):
        found = path.lstat()
        assert (stat.S_IMODE(found.st_mode), found.st_uid) == (mode, job_uid())
    assert sorted(os.listdir(work)) == ["builds", "home", "tmp", "var-tmp"]
    assert sorted(os.listdir(passable))[1:] == ["key", "project"]


@pytest.mark.parametrize("left", ["directory", "file", "link"])
def test_leftover_is_never_used_again(passable: Path, left: str) -> None:
    work = passable / "key"
    if left == "directory":
        work.mkdir()
    elif left == "file":
        work.write_text("33")
    else:
        work.symlink_to("/etc")
    with pytest.raises(backend.BackendError, match=r"key' is left over .* remove it"):
        make(passable)
    assert work.is_symlink() == (left == "link")
    assert not (Path("/etc") / "builds").exists()


def test_cache_is_kept_from_job_to_job(passable: Path) -> None:
    backend.remove_work(str(make(passable)))
    (passable / "project" / "kept").write_text("33")
    make(passable)
    assert (passable / "project" / "kept").read_text() == "33"


@pytest.mark.parametrize("kind", ["file", "link", "other's"])
def test_odd_cache_is_refused(passable: Path, kind: str) -> None:
    cache = passable / "project"
    if kind == "file":
        cache.write_text("33")
    elif kind == "link":
        (passable / "elsewhere").mkdir()
        cache.symlink_to(passable / "elsewhere")
    else:
        skip_without_root("another owner")
        cache.mkdir()
    with pytest.raises(backend.BackendError, match=r"(not a directory|uid 0's).*project"):
        make(passable)
    assert not (passable / "key").exists()


def test_cache_half_made_before_a_crash_is_made_anew(passable: Path) -> None:
    (passable / ".project.new").mkdir()
    make(passable)
    assert (passable / "project").lstat().st_uid == job_uid()
    assert not (passable / ".project.new").exists()


def test_cache_made_by_two_jobs_at_once_is_one(passable: Path) -> None:
    faults: list[str] = []

    def job(number: int) -> None:
        try:
            backend.make_work(policy(), str(passable / f"key-{number}"), str(passable / "project"))
        except backend.BackendError as fault:
            faults.append(str(fault))

    jobs = [threading.Thread(target=job, args=(number,)) for number in range(8)]
    for thread in jobs:
        thread.start()
    for thread in jobs:
        thread.join()
    assert faults == []


def test_cache_is_made_by_one_job_at_a_time(passable: Path) -> None:
    parent = os.open(passable, os.O_RDONLY)
    job = threading.Thread(target=make, args=(passable,))
    try:
        fcntl.flock(parent, fcntl.LOCK_EX)
        job.start()
        job.join(0.1)
        assert job.is_alive()
    finally:
        os.close(parent)
    job.join(60)
    assert (passable / "project").is_dir()


@pytest.mark.parametrize("missing", ["key", "project"])
def test_missing_parent_is_said(passable: Path, missing: str) -> None:
    paths = {name: str(passable / name) for name in ("key", "project")} | {missing: str(passable / "no" / missing)}
    with pytest.raises(backend.BackendError, match=r"cannot make the job's directories: No such file.*/no"):
        backend.make_work(policy(), paths["key"], paths["project"])


def as_the_job(work: Path, text: str) -> None:
    user = NOBODY.pw_uid if os.geteuid() == 0 else None
    subprocess.run(["bash", "-euc", text], cwd=work, user=user, check=True, env={"PATH": TOOL_PATH})


HOSTILE = {
    "links": "ln -s ../../keep builds/a; ln -s /etc tmp/b; ln -s ../keep keep; mkdir -p d/e; ln -s ../../../keep d/e/f",
    "no permissions": "mkdir -p builds/a/b/c; touch builds/a/b/c/d; chmod 000 builds/a/b/c builds/a/b builds/a builds",
    "read-only": "mkdir -p builds/a/b/c; touch builds/a/b/c/d; chmod 500 builds/a/b/c builds/a/b builds/a builds",
    "top closed": "touch builds/x; chmod 000 .",
    "odd files": "mkfifo builds/fifo; touch builds/-rf $'builds/a\\nb' $'builds/\\xff\\xfe' builds/.hidden; ln builds/fifo tmp/again",
    "deep": 'cd builds; python3 -I -S -c \'import os; [(os.mkdir("d"), os.chdir("d")) for _ in range(3000)]\'',
    "wide": "cd builds; mkdir {1..300}; touch {1..300}/x {1..300}/y; mkdir {1..300}/z",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_tree_is_removed_and_nothing_else(passable: Path, kind: str) -> None:
    work = make(passable)
    keep = passable / "keep"
    keep.mkdir()
    (keep / "33").write_text("kept")
    keep.chmod(0o777)
    before = len(os.listdir("/proc/self/fd"))
    as_the_job(work, HOSTILE[kind])
    backend.remove_work(str(work))
    assert not work.exists()
    assert (keep / "33").read_text() == "kept"
    assert stat.S_IMODE(keep.stat().st_mode) == 0o777
    assert Path("/etc/passwd").exists()
    assert len(os.listdir("/proc/self/fd")) == before


def test_tree_that_another_process_still_fills_is_removed(passable: Path) -> None:
    skip_without_root("a second user")
    work = make(passable)
    filler = subprocess.Popen(
        ["bash", "-c", "echo ready; while mkdir -p a/b/c && touch a/b/c/$((n++)) a/$((n++)); do :; done"],
        cwd=work / "builds",
        user=NOBODY.pw_uid,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert filler.stdout is not None
        assert filler.stdout.readline() == b"ready\n"
        backend.remove_work(str(work))
        assert not work.exists()
    finally:
        filler.kill()
        filler.communicate()


def test_directory_being_removed_is_out_of_the_jobs_reach(passable: Path) -> None:
    skip_without_root("a second user")
    builds = make(passable) / "builds"
    parent = os.open(builds.parent, os.O_RDONLY)
    os.close(rmtree.take_over(builds.name, parent))
    os.close(parent)
    with pytest.raises(subprocess.CalledProcessError):
        as_the_job(builds, "touch x")  # it stands in there already, as something that it left behind may
    assert os.listdir(builds) == []


def test_nothing_to_remove_is_fine(passable: Path) -> None:
    backend.remove_work(str(passable / "key"))


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_is_no_directory_is_not_removed(passable: Path, kind: str) -> None:
    odd = passable / "key"
    (passable / "keep").mkdir()
    if kind == "file":
        odd.write_text("33")
    else:
        odd.symlink_to(passable / "keep")
    with pytest.raises(backend.BackendError, match=r"cannot remove .*key"):
        backend.remove_work(str(odd))
    assert (passable / "keep").exists()
    odd.unlink()
