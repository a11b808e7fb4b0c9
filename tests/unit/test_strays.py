"""What a job's user has running outside of every job is ended when the last of its jobs ends; nothing else is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from executor.shell import strays, supervise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

USER, UID = "stray-33", 1_000_000 + os.getpid()  # of whom nothing else runs on this host
KEY, OTHER = "git.example-1-33", "git.example-1-34"
SYSTEMD = "0::/user.slice/user-5.slice/session-3.scope\n"


def release(state: Path, key: str, **changes: object) -> None:
    backend = {"run_as": USER, "uid": UID, "isolate": "pid_namespace", "allow_same_user": False, **changes}
    directory = state / "jobs" / key
    directory.mkdir(parents=True)
    (directory / "release.json").write_text(json.dumps({"v": 1, "key": key, "backend": backend}))


@pytest.fixture
def stray() -> Iterator[subprocess.Popen[bytes]]:
    if os.geteuid() != 0:
        pytest.skip("a process of another user needs root: run the tests as root to see it")
    process = subprocess.Popen(["sleep", "600"], user=UID, group=UID, extra_groups=[], cwd="/")
    yield process
    process.kill()
    process.wait()


def lives(process: subprocess.Popen[bytes]) -> bool:
    return process.poll() is None


def test_stray_of_the_last_job_is_ended_and_said(tmp_path: Path, stray: subprocess.Popen[bytes]) -> None:
    release(tmp_path, KEY)
    said = strays.end(str(tmp_path), KEY)
    assert f"{stray.pid} (sleep)" in said
    assert USER in said
    assert not lives(stray)
    assert strays.end(str(tmp_path), KEY) == ""


def other_released(state: Path) -> None:
    release(state, OTHER)


def is_of(**changes: object) -> Callable[[Path], None]:
    def change(state: Path) -> None:
        (state / "jobs" / KEY / "release.json").unlink()
        (state / "jobs" / KEY).rmdir()
        release(state, KEY, **changes)

    return change


SPARED: dict[str, Callable[[Path], Any]] = {
    "another job of the user goes on": other_released,
    "the same user": is_of(allow_same_user=True),
    "root": is_of(uid=0),
    "no namespace": is_of(isolate="process_group"),
    "never released": lambda state: (state / "jobs" / KEY / "release.json").unlink(),
}


@pytest.mark.parametrize("why", SPARED)
def test_stray_is_spared(tmp_path: Path, stray: subprocess.Popen[bytes], why: str) -> None:
    release(tmp_path, KEY)
    SPARED[why](tmp_path)
    assert strays.end(str(tmp_path), KEY) == ""
    assert lives(stray)


def test_other_job_that_has_ended_or_is_of_another_user_hinders_nothing(
    tmp_path: Path, stray: subprocess.Popen[bytes]
) -> None:
    release(tmp_path, KEY)
    release(tmp_path, OTHER)
    (tmp_path / "jobs" / OTHER / "ended.json").write_text("{}")
    release(tmp_path, "git.example-1-35", uid=UID + 1)
    assert strays.end(str(tmp_path), KEY) != ""
    assert not lives(stray)


def test_what_nobody_runs_is_not_of_the_jobs_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release(tmp_path, KEY, uid=strays.NOBODY_UID)
    monkeypatch.setattr(strays, "_strays", lambda *_: pytest.fail("looked for"))
    assert strays.end(str(tmp_path), KEY) == ""


def test_init_is_known_by_where_it_is() -> None:
    assert any(f"{supervise._INIT}\0group\0".encode().endswith(init) for init in strays._INITS)


def test_what_is_in_a_namespace_of_its_own_is_spared(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("a namespace needs root: run the tests as root to see it")
    words = ["unshare", "--pid", "--fork", "--kill-child", "setpriv", f"--reuid={UID}", "--clear-groups", "sh", "-c"]
    with subprocess.Popen([*words, "echo up; exec sleep 600"], stdout=subprocess.PIPE) as job:
        assert job.stdout is not None
        assert job.stdout.readline() == b"up\n"
        try:
            release(tmp_path, KEY)
            assert strays.end(str(tmp_path), KEY) == ""
            assert lives(job)
        finally:
            job.kill()


@pytest.mark.parametrize("place", ["executor/shell", "executor"])
def test_job_without_a_namespace_is_spared(tmp_path: Path, place: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("a process of another user needs root: run the tests as root to see it")
    init = tmp_path / place / "init.py"  # that of an older version is beside the stages
    init.parent.mkdir(parents=True)
    init.write_text(
        f"import os, subprocess\njob = subprocess.Popen(['sleep', '600'], user={UID}, group={UID}, extra_groups=[])\n"
        "print('up', flush=True)\ninput()\nprint(job.poll())\njob.kill()"
    )
    words = [sys.executable, "-I", str(init), "group"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "up\n"
        release(tmp_path, KEY)
        assert strays.end(str(tmp_path), KEY) == ""
        assert parent.communicate("\n")[0] == "None\n"


@pytest.mark.parametrize(
    ("cgroup", "is_service"),
    [
        (SYSTEMD, False),
        ("0::/\n", False),
        ("0::/system.slice/app.service\n", True),
        ("0::/system.slice/system-app.slice/app@1.service/worker\n", True),
        ("1:name=systemd:/system.slice/app.service\n0::/system.slice/app.service\n", True),
        ("0::/system.slice/cron.service\n", False),
        ("0::/system.slice/crond.service\n", False),
        ("0::/system.slice/atd.service\n", False),
        ("0::/system.slice/sshd.service\n", False),
        ("0::/system.slice/ssh.service\n", False),
        ("0::/user.slice/user-5.slice/user@5.service/app.slice/left.service\n", False),
    ],
)
def test_services_of_systemd_are_spared_but_what_cron_or_ssh_starts(
    tmp_path: Path, cgroup: str, is_service: bool
) -> None:
    (tmp_path / "33").mkdir()
    (tmp_path / "33" / "cgroup").write_text(cgroup)
    assert strays._is_service(33, str(tmp_path)) == is_service
