"""What a stage makes of a host that fails it: a system failure, which is tried again, and never a leak or a yes."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from executor import cleanup, prepare, run
from executor.response import sha256
from gate.clock import boot_id
from gate.flow.decide import decide
from gate.store.files import StateError, write_json_once, write_once
from tests.support.gate_state import made, open_request, records
from tests.support.site import ENTRY

if TYPE_CHECKING:
    from pathlib import Path


def test_a_process_that_cannot_be_started_costs_no_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_more() -> int:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "fork", no_more)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        result = prepare.step("looking", {}, prepare.Signals.__new__(prepare.Signals), 1000)
        assert result == prepare.fault("cannot start a process: Resource temporarily unavailable")
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_job_is_not_run_where_it_cannot_be_told_whether_it_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, response, true_lstat = tmp_path / "job", tmp_path / "response.json", os.lstat
    for directory in (tmp_path, job):
        directory.mkdir(exist_ok=True)
        directory.chmod(0o700)
    write_once(str(tmp_path), "response.json", b"{}", 0o600)
    released = {"key": "job", "response_sha256": sha256(b"{}"), "boot_id": boot_id()}
    write_json_once(str(job), "release.json", released)
    monkeypatch.setenv("JOB_RESPONSE_FILE", str(response))
    assert run._release(str(job))["key"] == "job"

    def failing(path: str) -> os.stat_result:
        if path.endswith("ended.json"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return true_lstat(path)

    monkeypatch.setattr(os, "lstat", failing)
    with pytest.raises(StateError, match=r"cannot look for .*/ended\.json: Input/output error"):
        run._release(str(job))


def test_a_decision_that_may_not_be_on_disk_is_not_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = made(tmp_path / "state")
    request = open_request(policy)
    decide(request, "expired", "nobody answered", rule="all", config="")

    def failing(_directory: str) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr("gate.store.request.fsync_directory", failing)
        with pytest.raises(StateError, match=f"cannot make sure of {request.directory}: Input/output error"):
            cleanup._end(policy, request.key, "")
    assert records(policy, "decided") == []
    cleanup._end(policy, request.key, "")
    assert [len(records(policy, event)) for event in ("decided", "ended")] == [1, 1]


@pytest.mark.parametrize(("told", "code"), [("33", 33), ("", 2), ("0", 2), ("x", 2)])
def test_a_stage_that_cannot_read_its_own_code_is_a_system_failure(tmp_path: Path, told: str, code: int) -> None:
    shutil.copy(ENTRY, tmp_path)

    done = subprocess.run(
        [sys.executable, "-I", "-S", str(tmp_path / ENTRY.name), "prepare"],
        env={"SYSTEM_FAILURE_EXIT_CODE": told},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr == "gate: cannot read its own code: No module named 'executor'\n"
