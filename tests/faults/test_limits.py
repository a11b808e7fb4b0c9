"""A process that gets no more file handles, or may write no larger files: it waits, and goes on when it may."""

from __future__ import annotations

import resource
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from audit import log
from gate.store import layout
from tests.faults.conftest import SOAK
from tests.support.audit_logs import add
from tests.support.fault_injection import SYSTEM_FAILURE
from tests.support.fault_verdict import wrong_now, wrong_then
from tests.support.fault_wait import StruckWait, jobs_on, no_fault
from tests.support.site import Site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.fault_injection import Jobs, Stages

HANDLES = range(4, 24)
STEP_BYTES = 41 if SOAK == 1 else 1
LARGE_BYTES = 64 * 1024  # larger than any other file that a job has
OPENING_BYTES, DECIDING_BYTES = range(0, 800, STEP_BYTES), range(600, 2900, STEP_BYTES)


@contextmanager
def limited(pid: int, limit: int, most: int) -> Iterator[None]:
    """A process, and what it starts from then on, may have no more."""
    before, hard = resource.prlimit(pid, limit)
    resource.prlimit(pid, limit, (most, hard))
    try:
        yield
    finally:
        with suppress(ProcessLookupError):  # it had enough, and has ended
            resource.prlimit(pid, limit, (before, hard))


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    """Jobs whose log is larger than any other file of theirs."""
    with Site() as site:
        jobs = jobs_on(site, tmp_path)
        while size(jobs) < LARGE_BYTES:
            add(site.state / "audit", comment="x" * 7000)
        yield jobs


def size(jobs: Jobs) -> int:
    return log.position(layout.audit(str(jobs.site.state)))[1]


def wait_with(jobs: Jobs, stages: Stages, limit: int, most: int) -> tuple[str, str]:
    """What is wrong with a job whose waiting process gets no more, until it has said so; and what it said."""
    struck = StruckWait(jobs, lambda: limited(stages.stage_pid(), limit, most))
    wrong = struck.wrong(stages)
    return wrong and f"{most}: {wrong}", struck.met


def test_a_wait_without_file_handles_goes_on_when_there_are_some(jobs: Jobs) -> None:
    with jobs.stages() as stages:
        wrong, met = zip(*[wait_with(jobs, stages, resource.RLIMIT_NOFILE, most) for most in HANDLES], strict=True)
    assert not any(wrong), "\n".join(wrong)
    assert "cannot start a process: Too many open files" in met
    assert len(set(met)) > 2
    assert not met[-1]


def test_a_wait_that_can_write_part_of_a_record_goes_on_when_it_can_write_all(jobs: Jobs) -> None:
    with jobs.stages() as stages:
        found = [wait_with(jobs, stages, resource.RLIMIT_FSIZE, size(jobs) + more) for more in DECIDING_BYTES]
    wrong, met = zip(*found, strict=True)
    assert not any(wrong), "\n".join(wrong)
    assert "File too large" in met[0]
    assert len({said for said in met if " bytes went into " in said}) > 10
    assert not met[-1]


def attempt_with(jobs: Jobs, stages: Stages, limit: int, most: int) -> tuple[str, int]:
    """What is wrong with a job whose attempt gets no more from its beginning on; and its exit code."""
    struck = StruckWait(jobs, no_fault)

    def answered() -> None:
        resource.prlimit(stages.stage_pid(), limit, resource.getrlimit(limit))
        struck.answered()

    with limited(stages.pid, limit, most):
        code, said = stages.do("prepare", struck.job, answers=[answered])
    wrong = wrong_now(jobs, struck.job, [code])
    if code == SYSTEM_FAILURE:
        wrong = wrong or ("" if said.count("\n") == 1 else f"no one line: {said!r}")
        wrong = wrong or struck.wrong(stages, attempt=2)
    else:
        wrong = wrong or wrong_then(jobs, struck.job, [code], said)
    return wrong and f"{most}: {code}, {wrong}", code


def test_an_attempt_without_file_handles_fails_and_nothing_else(jobs: Jobs) -> None:
    with jobs.stages() as stages:
        wrong, codes = zip(*[attempt_with(jobs, stages, resource.RLIMIT_NOFILE, most) for most in HANDLES], strict=True)
    assert not any(wrong), "\n".join(wrong)
    assert {*codes} == {SYSTEM_FAILURE, 0}


def test_an_attempt_that_can_write_part_of_a_record_fails_and_nothing_else(jobs: Jobs) -> None:
    with jobs.stages() as stages:
        found = [attempt_with(jobs, stages, resource.RLIMIT_FSIZE, size(jobs) + more) for more in OPENING_BYTES]
    wrong, codes = zip(*found, strict=True)
    assert not any(wrong), "\n".join(wrong)
    assert (codes[0], codes[-1]) == (SYSTEM_FAILURE, 0)
