"""A disk that is full, fails, or takes no more writes: the job waits, says why, and goes on by itself when that is over."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.support.fault_injection import SYSTEM_FAILURE, Jobs
from tests.support.fault_verdict import wrong_now, wrong_then
from tests.support.fault_wait import StruckWait, jobs_on, no_fault
from tests.support.loop_mount import mounted
from tests.support.recorded_disk import RecordedDisk
from tests.support.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


IMAGE_BYTES = 16 << 20
FREE_BLOCKS = [*range(12), 14, 16, 20, 24, 32]  # of 1 KiB: more than a decision needs


class Disk:
    """A small file system of a site's own, with files that take up what is left of it."""

    def __init__(self, site: Site) -> None:
        self.filler, self.empty = site.state / "filler", site.state / "empty"

    @contextmanager
    def without_blocks(self, left: int) -> Iterator[None]:
        """It has only so many blocks left."""
        with self.filler.open("wb", buffering=0) as filler:
            self._fill(lambda: filler.write(b"x" * 1024))
            filler.truncate(max(filler.tell() - left * 1024, 0))
            os.fsync(filler.fileno())
        try:
            yield
        finally:
            self.filler.unlink()

    @contextmanager
    def without_inodes(self, left: int) -> Iterator[None]:
        """It has only so many inodes left."""
        self.empty.mkdir()
        names = iter(range(10_000_000))
        self._fill(lambda: (self.empty / str(next(names))).touch(exist_ok=False))
        for made in sorted(self.empty.iterdir())[:left]:
            made.unlink()
        try:
            yield
        finally:
            subprocess.run(["rm", "-r", str(self.empty)], check=True)

    @staticmethod
    def _fill(one_more: Callable[[], object]) -> None:
        try:
            while True:
                one_more()
        except OSError as error:
            assert error.errno == errno.ENOSPC  # noqa: PT017


@pytest.fixture
def disk(tmp_path: Path, root: None) -> Iterator[tuple[Disk, Jobs]]:
    """A disk with few inodes and small blocks, and jobs on it."""
    image = tmp_path / "image"
    with image.open("wb") as made:
        made.truncate(IMAGE_BYTES)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-b", "1024", "-N", "2048", str(image)], check=True)
    with Site() as site:
        site.state.mkdir()
        with mounted(image, site.state):
            yield Disk(site), jobs_on(site, tmp_path)


@pytest.mark.parametrize("what", ["blocks", "inodes"])
def test_a_full_disk_is_waited_out(disk: tuple[Disk, Jobs], what: str) -> None:
    small, jobs = disk
    wrong, met = [], []
    with jobs.stages() as stages:
        for left in FREE_BLOCKS:
            without = small.without_blocks if what == "blocks" else small.without_inodes
            struck = StruckWait(jobs, lambda: without(left))  # noqa: B023
            wrong += [f"{left} {what} left: {found}" for found in [struck.wrong(stages)] if found]
            met.append(struck.met)
    assert not wrong, "\n".join(wrong)
    assert "No space left" in met[0] or "no space left" in met[0]
    assert not met[-1]


def test_a_disk_that_is_full_at_the_start_fails_the_attempt_and_nothing_else(disk: tuple[Disk, Jobs]) -> None:
    small, jobs = disk
    with jobs.stages() as stages:
        job = jobs.new()
        with small.without_blocks(0):
            code, said = stages.do("prepare", job)
        assert code == SYSTEM_FAILURE
        assert said.count("\n") == 1, said
        assert not wrong_now(jobs, job, [SYSTEM_FAILURE])
        code, said = stages.do("prepare", job, 2, answers=[lambda: jobs.answer(job, "approve")])
    assert not wrong_now(jobs, job, [SYSTEM_FAILURE, code]) + wrong_then(jobs, job, [code], said)


def test_a_read_only_disk_fails_the_attempts_and_nothing_else(disk: tuple[Disk, Jobs]) -> None:
    _small, jobs = disk
    job, state = jobs.new(), str(jobs.site.state)
    with jobs.stages() as stages:
        subprocess.run(["mount", "-o", "remount,ro", state], check=True)
        config = subprocess.run(
            [*jobs.site.driver(), "config"],
            env=dict(pair.split("=", 1) for pair in jobs.environment(job, 1)),
            capture_output=True,
            text=True,
            check=False,
        )
        code, said = stages.do("prepare", job)
        cleaned, _ = stages.do("cleanup", job)
        subprocess.run(["mount", "-o", "remount,rw", state], check=True)
        assert (config.returncode, code, cleaned) == (SYSTEM_FAILURE, SYSTEM_FAILURE, 0)
        for line in (config.stderr, said):
            assert "Read-only file system" in line
            assert line.count("\n") == 1
        code, said = stages.do("prepare", job, 2, answers=[lambda: jobs.answer(job, "approve")])
    assert not wrong_now(jobs, job, [SYSTEM_FAILURE, code]) + wrong_then(jobs, job, [code], said)


@pytest.fixture
def failing(tmp_path: Path, root: None) -> Iterator[tuple[RecordedDisk, Jobs, ExitStack]]:
    """A disk that can fail, jobs on it, and the stack that unmounts it."""
    disk = RecordedDisk(tmp_path)
    with Site() as site, disk.served(), ExitStack() as stack:
        site.state.mkdir()
        stack.enter_context(mounted(disk.file, site.state))
        yield disk, jobs_on(site, tmp_path), stack


@pytest.mark.parametrize("event", ["vote", "decided", "released"])
def test_a_disk_that_takes_no_record_is_waited_out(failing: tuple[RecordedDisk, Jobs, ExitStack], event: str) -> None:
    """The write goes into the page cache, and the fsync fails; afterwards the kernel takes the pages for clean."""
    disk, jobs, stack = failing
    with jobs.stages() as stages:
        struck = StruckWait(jobs, lambda: disk.failing(f'"event":"{event}"'.encode()))
        assert struck.wrong(stages) == ""
        assert "Input/output error" in struck.met
        again = StruckWait(jobs, no_fault)
        assert again.wrong(stages) == ""
    stack.close()
    with mounted(disk.kept(), jobs.site.state):  # what the disk has, not what the page cache had
        assert not wrong_now(jobs, struck.job, [0]) + wrong_now(jobs, again.job, [0])


def test_a_disk_that_flushes_no_more_lets_nothing_through(failing: tuple[RecordedDisk, Jobs, ExitStack]) -> None:
    """The file system takes no writes from then on, until it is mounted anew, and for that the wait has to end."""
    disk, jobs, stack = failing
    struck = StruckWait(jobs, disk.failing)
    with jobs.stages() as stages:

        def answered_and_ended() -> None:
            struck.answered()
            os.kill(stages.stage_pid(), signal.SIGTERM)

        code, said = stages.do("prepare", struck.job, answers=[answered_and_ended])
        assert code == SYSTEM_FAILURE, said
        assert struck.met
        assert not wrong_now(jobs, struck.job, [code])
    stack.close()
    with mounted(disk.kept(), jobs.site.state), jobs.stages() as stages:
        # The drop may be gone, too: nobody had said that it is on disk.
        code, said = stages.do("prepare", struck.job, 2, answers=[lambda: jobs.answer(struck.job, "approve")])
        assert not wrong_now(jobs, struck.job, [SYSTEM_FAILURE, code]) + wrong_then(jobs, struck.job, [code], said)
