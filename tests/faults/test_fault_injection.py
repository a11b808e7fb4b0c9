"""Each system call of deciding and releasing fails once, or is the last one that its process gets to make.

The calls are recorded first, in a good run, for each process by itself: the step that looks, decides and releases, from
its fork to its exit; the step that opens; the waiting process. Then each of them, every time it is made, is struck by
strace: it fails with EIO or ENOSPC (and what else is usual for it), writes less than it was given, or its process is
killed on its way in. After each: nothing went on without its records, the log verifies, and the same job comes through
with the runner's next attempt, or by itself, nobody helping, with no record twice.

At less than full effort (tests/support/effort.py) a call that is made often is not struck by each fault at each place:
the faults take turns, so that together they strike it everywhere. Of the thousands while a step imports it is a part.
"""

from __future__ import annotations

import signal
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.faults.conftest import SOAK
from tests.support.effort import turn_of
from tests.support.fault_injection import NOBODY, Call, Jobs, Stages, calls_of
from tests.support.fault_stage import STEP_DONE, STEP_FAULT
from tests.support.fault_verdict import wrong_now, wrong_then
from tests.support.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    Case = Callable[[Stages, int], str]

ATTEMPTS = 3
MARGIN = 30  # of calls: what no process makes beyond those of a good run
BATCH = 60  # of cases for one strace, since it also counts the calls of the process that does the stages
MADE_FOR_EACH_STAGE, CALLS_OF_STAGE = {"read", "write", "clone", "wait4", "close"}, 6
IMPORTED = "executor.steps,json"  # by a step, before it touches the state
OFTEN = 6  # what is made more often
TURNS_WHILE_IMPORTING = 8
LETS_GO = {"openat": 1, "dup2": 2, "close": 4}  # of the job log, the heartbeat, the bell and the lookout, first thing
MAY_MISS = 0.2  # of the waiting process's calls: it makes fewer where it is woken less often, as by a busy machine
DIED = "a process of the gate died while"

ANY = ["error=EIO", "error=ENOSPC", "signal=KILL"]
WHILE_IMPORTING = ANY if SOAK > 1 else ["error=EIO", "signal=KILL"]  # to an import, one error is as good as another
ITS_OWN = {
    "openat": ["error=EMFILE", "error=EROFS", "error=EDQUOT"],
    "write": ["error=EDQUOT", "error=EFBIG", "retval=1"],
    "pwrite64": ["error=EDQUOT", "retval=1"],
    "fsync": ["error=EDQUOT"],
    "linkat": ["error=EROFS", "error=EDQUOT"],
    "renameat": ["error=EROFS", "error=EDQUOT"],
    "unlink": ["error=EROFS"],
    "fchmod": ["error=EROFS"],
    "flock": ["error=ENOLCK", "error=EAGAIN"],
    "fcntl": ["error=EMFILE"],
    "pipe2": ["error=EMFILE"],
    "clone": ["error=EAGAIN"],
    "inotify_init1": ["error=EMFILE"],
    "inotify_add_watch": ["error=ENOMEM"],
}
NEVER_FAIL = {"geteuid", "getppid", "getpid", "gettid", "umask"}  # "always successful", say their man pages
# How often they are made depends on the allocator, or on how often the waiting process wakes, not on what is done.
UNSTEADY = {"brk", "mmap", "munmap", "mremap", "mprotect", "madvise", "futex", "openat2"}
SHARES = {"stat": {"newfstatat"}, "open": {"openat", "getdents64"}, "read": {"read", "lseek"}, "rest": set[str]()}


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    with Site(rule={"early": True}) as site:
        yield Jobs(site, tmp_path)


class Striker:
    """Strikes the calls that a process makes, one at a time, where `modules` are imported before it begins."""

    def __init__(self, jobs: Jobs, strace: str, target: str, modules: str = IMPORTED) -> None:
        self.jobs, self.strace, self.target, self.modules = jobs, strace, target, modules
        self.tried = self.missed = 0
        with jobs.stages() as stages:  # not the first job, which makes the log
            assert self.comes_through("", stages) == ""
        job = jobs.new()
        self.calls = calls_of(jobs, strace, target, job, self._answers(job), modules)

    def _answers(self, job: int) -> list[Callable[[], object]]:
        """What is still to be answered: the waiting process is asleep when the drop comes.

        A step finds it at its first look.
        """
        if self.target == "itself":
            return [partial(self.jobs.answer, job, "approve")]
        self.jobs.answer(job, "approve")
        return []

    def strike(self, fault: str, share: str | None = None) -> None:
        """Have each call fail so, one job for each, and all of them come through."""
        wrong: list[str] = []
        for call in self.calls:
            for each in faults_for(call, fault, share):
                places = places_of(call.early + call.late, each, ANY if each in ANY else ITS_OWN[call.name])
                wrong += self.one_by_one(call, each, places, partial(self.comes_through, each))
        assert self.missed <= self.tried * MAY_MISS
        assert not wrong, "\n".join(wrong)

    def one_by_one(self, call: Call, fault: str, places: Sequence[int], case: Case) -> list[str]:
        """Strike a call each of those times that it is made, counted from 1; what `case` finds wrong then."""
        wrong = []
        when = call.most + MARGIN + (BATCH * CALLS_OF_STAGE if call.name in MADE_FOR_EACH_STAGE else 0)
        record = self.jobs.scratch / f"strace.{next(self.jobs.numbers)}"
        words = [self.strace, "-f", "-qq", "-o", str(record), "-e", f"trace={call.name}"]
        words += ["-e", f"inject={call.name}:{fault}:when={when}"]
        # A signal cannot be sent from where seccomp stops a process; else it is quicker, as few of its calls stop it.
        words += [] if "signal" in fault else ["--seccomp-bpf"]
        for first in range(0, len(places), BATCH):
            batch = places[first : first + BATCH]
            with self.jobs.stages(*words, call=call.number, modules=self.modules) as stages:
                found = [case(stages, when - call.before - place) for place in batch]
            wrong += [f"{call.name} {place} {fault}: {what}" for place, what in zip(batch, found, strict=True) if what]
            hits = record.read_text(encoding="utf-8").count("(INJECTED)")
            self.tried += len(batch)
            if "signal" not in fault and self.target == "itself":
                self.missed += len(batch) - hits
            elif "signal" not in fault and call.name not in UNSTEADY and hits != len(batch):
                wrong.append(f"{call.name} {list(batch)} {fault}: {hits} were struck")
        return wrong

    def comes_through(self, fault: str, stages: Stages, idle: int = -1) -> str:
        """What is wrong with a job whose first attempt is struck.

        "" where it is let through all the same, as it should.
        """
        job = self.jobs.new()
        answers = self._answers(job)
        codes: list[int] = []
        said = found = ""
        for attempt in range(1, ATTEMPTS + 1):
            strike = (self.target, idle) if idle >= 0 and attempt == 1 else NOBODY
            code, log = stages.do("prepare", job, attempt, strike, answers)
            codes.append(code)
            said = said or log
            found = wrong_now(self.jobs, job, codes) or self._not_killed(fault, codes, said)
            if found or code == 0:
                break
            self.jobs.let_go(job)
        return found or wrong_then(self.jobs, job, codes, said)

    def _not_killed(self, fault: str, codes: list[int], said: str) -> str:
        killed = codes[0] == -signal.SIGKILL if self.target == "itself" else f"{DIED} {self.target}" in said
        if "signal" not in fault or killed:
            return ""
        if self.target == "itself" and codes == [0]:
            self.missed += 1
            return ""
        return f"{codes}: was not killed: {said!r}"


def faults_for(call: Call, fault: str, share: str | None) -> list[str]:
    """The faults that a call is struck by: one for all, or, for `its own`, what is usual for it.

    None in another share.
    """
    shared = [name for names in SHARES.values() for name in names]
    if share and call.name not in (SHARES[share] or {call.name} - set(shared)):
        return []
    # To be killed on the way out is to be killed behind the call before.
    if call.name == "exit_group" or (call.name in NEVER_FAIL and fault != "signal=KILL"):
        return []
    return ITS_OWN.get(call.name, []) if fault == "its own" else [fault]


def places_of(count: int, fault: str, faults: list[str]) -> Sequence[int]:
    """Which of the first `count` times that a call is made this one of the faults strikes it."""
    places = range(1, count + 1)
    return places if count <= OFTEN else turn_of(places, faults.index(fault), len(faults))


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("fault", [*ANY, "its own"])
def test_deciding_and_releasing_outlive_a_fault_at_any_call(jobs: Jobs, strace: str, fault: str, share: str) -> None:
    Striker(jobs, strace, "looking").strike(fault, share)


@pytest.mark.parametrize("fault", ANY)
def test_opening_outlives_a_fault_at_any_call(jobs: Jobs, strace: str, fault: str) -> None:
    Striker(jobs, strace, "opening").strike(fault)


@pytest.mark.parametrize("fault", [*ANY, "its own"])
def test_the_waiting_process_outlives_a_fault_at_any_call(jobs: Jobs, strace: str, fault: str) -> None:
    Striker(jobs, strace, "itself").strike(fault)


class Ready:
    """A job that waits, and is answered: while the step that would decide it fails, nothing of it changes."""

    def __init__(self, jobs: Jobs, fault: str) -> None:
        self.jobs, self.fault = jobs, fault
        self.job = 0

    def outlives(self, steady: bool, stages: Stages, idle: int) -> str:
        """What is wrong after the step was struck, by an unsteady call perhaps when it had begun already."""
        if not self.job:
            self.job = self.jobs.new()
            self.jobs.answer(self.job, "approve")
            assert stages.do("step opening", self.job)[0] == STEP_DONE
        before = self._tree()
        code, said = stages.do("step looking", self.job, strike=("looking", idle))
        if code == STEP_FAULT and not steady and self._tree() != before:
            code, said = stages.do("step looking", self.job)
        if code == STEP_FAULT:
            died = f"{DIED} looking" in said
            changed = self._tree() != before
            return f"changed {changed}, died {died}: {said!r}" if changed or died < ("signal" in self.fault) else ""
        job, self.job = self.job, 0
        return wrong_then(self.jobs, job, [0 if code == STEP_DONE else code], said)

    def _tree(self) -> set[tuple[str, int, int, int]]:
        """What there is of the job and the log, told by names, inodes, sizes and times."""
        state = self.jobs.site.state
        places = [self.jobs.directory(self.job), *(state / name for name in ("audit", "drop", "turned-away"))]
        found = [(path, path.lstat()) for place in places for path in place.rglob("*")]
        return {(str(path), file.st_ino, file.st_size, file.st_mtime_ns) for path, file in found}


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("fault", WHILE_IMPORTING)
def test_a_fault_while_a_step_imports_changes_nothing(jobs: Jobs, strace: str, fault: str, share: str) -> None:
    ready, striker = Ready(jobs, fault), Striker(jobs, strace, "looking", modules="")
    wrong: list[str] = []
    for call in striker.calls:
        if faults_for(call, fault, share):
            case = partial(ready.outlives, call.name not in UNSTEADY)
            places = range(1, call.early + 1)
            some = turn_of(places, WHILE_IMPORTING.index(fault), TURNS_WHILE_IMPORTING)
            wrong += striker.one_by_one(call, fault, some if len(places) > OFTEN else places, case)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("target", ["opening", "looking"])
def test_what_is_imported_beforehand_hides_no_call(jobs: Jobs, strace: str, target: str) -> None:
    by_itself, before = Striker(jobs, strace, target, modules=""), Striker(jobs, strace, target)

    steady = [call for call in before.calls if call.name not in UNSTEADY]
    assert not [call for call in steady if call.early > LETS_GO.get(call.name, 0)]
    assert made(before.calls) == made(by_itself.calls)


def made(calls: list[Call]) -> dict[str, int]:
    """How often each call is made once the state is touched."""
    return {call.name: call.late for call in calls if call.late and call.name not in UNSTEADY}
