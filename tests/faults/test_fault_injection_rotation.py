"""Each system call of beginning a new segment fails, or is the last one of its process: the log goes on, as one chain."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from audit import log
from audit.rotate import rotate
from audit.verify import verify
from tests.faults.test_fault_injection import places_of
from tests.support import audit_rotator
from tests.support.audit_logs import VERSION, add, filled
from tests.support.audit_rotator import FAILED, MARK

if TYPE_CHECKING:
    from pathlib import Path

FAULTS = ["error=EIO", "error=ENOSPC", "signal=KILL"]
SHORT = {"write": ["retval=1"]}
KILLED = -9
UNSTEADY = {"mmap", "munmap", "mremap", "mprotect", "madvise", "futex"}  # their number is the allocator's affair
NOT_STRUCK = {"exit_group", "brk"}  # brk(2) answers with the break that stands, never with an error
_NAME = re.compile(r"(\w+)\((.*)")


def struck(strace: str, directory: Path, record: Path, *inject: str) -> subprocess.CompletedProcess[str]:
    words = [strace, "-qq", "-o", str(record), *inject]
    command = [sys.executable, "-I", "-S", "-B", audit_rotator.__file__, str(directory)]
    return subprocess.run([*words, *command], stdout=subprocess.PIPE, text=True, check=False, timeout=60)


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A log of two segments, so that there is an old one, too."""
    directory = tmp_path / "template"
    directory.mkdir()
    filled(directory, 2)
    rotate(str(directory), 1, version=VERSION)
    add(directory)
    return directory


def calls(strace: str, directory: Path, record: Path) -> list[tuple[str, int, int]]:
    """(name, how often before it begins, how often from then on) of each call in a good run."""
    assert struck(strace, directory, record).returncode == 0
    before, after = Counter[str](), Counter[str]()
    here = before
    for found in filter(None, map(_NAME.match, record.read_text(encoding="utf-8").splitlines())):
        here[found[1]] += 1
        here = after if MARK.decode() in found[2] else here
    assert {"flock", "openat", "write", "fsync", "fchmod"} <= after.keys()
    return [(name, before[name], count) for name, count in after.items() if name not in NOT_STRUCK]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_rotation_outlives_a_fault_at_any_call(tmp_path: Path, strace: str, template: Path, fault: str) -> None:
    record, wrong, struck_at = tmp_path / "strace", [], 0
    good = shutil.copytree(template, tmp_path / "good")
    for name, before, count in calls(strace, good, record):
        for place in places_of(count, fault, FAULTS):
            for each in [fault, *(SHORT.get(name, []) if fault == FAULTS[0] else [])]:
                directory = shutil.copytree(template, tmp_path / f"{name}-{place}-{each}")
                inject = f"inject={name}:{each}:when={before + place}"
                done = struck(strace, directory, record, "-e", f"trace={name}", "-e", inject)
                found = wrong_with(directory, done)
                hit = done.returncode == KILLED or "(INJECTED)" in record.read_text(encoding="utf-8")
                found += [] if hit or name in UNSTEADY else ["was not struck"]
                wrong += [f"{name} {place} {each}: {what}" for what in found]
                struck_at += hit
    assert not wrong, "\n".join(wrong)
    assert struck_at > 30


def wrong_with(directory: Path, done: subprocess.CompletedProcess[str]) -> list[str]:
    """What is wrong with a log whose rotation was struck, now and when it has gone on."""
    heads = [tuple(line.split()) for line in done.stdout.splitlines() if line[0].isdigit()]
    told = [(int(seq), sha256) for seq, sha256 in heads]
    wrong = [] if done.returncode in (0, FAILED, KILLED) else [f"exit {done.returncode}: {done.stdout!r}"]
    wrong += [str(problem) for problem in verify(str(directory), told).problems]
    segment = log.position(str(directory))[0]
    further = [add(directory), rotate(str(directory), 1, version=VERSION), add(directory)]
    report = verify(str(directory), [*told, *filter(None, further)])
    wrong += [f"afterwards: {problem}" for problem in report.problems]
    wrong += [] if log.position(str(directory))[0] == segment + 1 else ["never rotated afterwards"]
    return wrong + ([report.unfinished] if report.unfinished else [])
