"""Jobs whose stages are struck by one fault of one system call; the process that does them is struck_stage.py."""

from __future__ import annotations

import itertools
import json
import os
import re
import select
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from audit import log
from executor.response import sha256
from gate.model.facts import key_of
from gate.store import heartbeat, layout
from tests.support import fault_stage
from tests.support.fault_stage import MARK, SLEEPS, STEP_DONE
from tests.support.jobs import job_payload
from tests.support.site import APPROVER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.site import Site

BUILD_FAILURE, SYSTEM_FAILURE = 33, 34
LET_GO_WITHIN_S = 30  # the runner waits for 3 s before it tries again; a traced step on a busy machine takes longer
POLL_S = 0.003
NOBODY = ("-", 0)
HEAD = re.compile(r"audit head seq=(\d+) sha256=([0-9a-f]{64})")
_CALL = re.compile(r"(\d+) +\[ *(\d+)\] (\w+)\((.*)")


@dataclass(frozen=True)
class Call:
    """One system call, by what strace's record of a good run says of it.

    Attributes:
        name, number: of the call.
        before: how often the process that is to be struck makes it before the mark.
        early: how often after the mark, before it first touches the state.
        late: how often from then on.
        most: by any process of the run.
    """

    name: str
    number: int
    before: int
    early: int
    late: int
    most: int


class Jobs:
    """Jobs on a site, each as config leaves it."""

    def __init__(self, site: Site, scratch: Path) -> None:
        self.site, self.scratch = site, scratch
        self.heads: list[tuple[str, str]] = []
        self.log = scratch / "log"
        self.numbers = itertools.count()
        self._ids = itertools.count(1001)
        self._made_at: dict[int, tuple[int, int]] = {}
        scratch.chmod(0o700)
        self._template = self._configured(next(self._ids))
        self.policy: Any = self._template["policy"]

    def new(self) -> int:
        """A job's number; each is of a project of its own, so that none looks at all those before it."""
        job = next(self._ids)
        self._made_at[job] = log.position(layout.audit(str(self.site.state)))
        self._respond(job)
        self._plan(job, 1)
        return job

    def said(self) -> str:
        """The job log of the newest stage, so far."""
        return _text(self.log)

    def answer(self, job: int, answer: str) -> Path:
        """Leave a drop, whole at once."""
        dropped = self._box / f"{job}.{answer}"
        self.written(job).rename(dropped)
        return dropped

    def written(self, job: int) -> Path:
        """An answer that is not given yet."""
        made = self._box / f".{job}"
        made.write_text("ok")
        os.chown(made, self.site.uid(APPROVER), -1)
        return made

    @property
    def _box(self) -> Path:
        return self.site.state / "drop" / APPROVER

    def directory(self, job: int) -> Path:
        """The job's own, under jobs/."""
        return self.site.state / "jobs" / self._key(job)

    def events(self, job: int) -> list[str]:
        """The events of one job's request, in order."""
        found = log.records(layout.audit(str(self.site.state)), self._made_at[job])
        return [record["event"] for _head, record in found if record.get("request") == self._key(job)]

    def let_go(self, job: int) -> None:
        """Return when no process of the attempt before is at it: the runner, too, waits for a moment."""
        give_up = time.monotonic() + LET_GO_WITHIN_S
        while heartbeat.is_waiting(str(self.directory(job))) and time.monotonic() < give_up:
            time.sleep(0.01)

    @contextmanager
    def stages(self, *before: str, call: int = 0, modules: str = "") -> Iterator[Stages]:
        """A process that does stages; words `before` its command may be those of strace."""
        command = [sys.executable, "-I", "-S", "-B", fault_stage.__file__, str(call), str(self.site.yaml), modules]
        pipe = subprocess.PIPE
        with subprocess.Popen([*before, *command], stdin=pipe, stdout=pipe, text=True) as process:
            yield Stages(self, process)

    def environment(self, job: int, attempt: int) -> list[str]:
        """What the runner sets for a stage, and what config hands on."""
        return [
            f"JOB_RESPONSE_FILE={self._response(job)}",
            f"BUILD_EXIT_CODE_FILE={self.scratch}/code.{job}",
            f"BUILD_FAILURE_EXIT_CODE={BUILD_FAILURE}",
            f"SYSTEM_FAILURE_EXIT_CODE={SYSTEM_FAILURE}",
            f"GATE_PLAN={self._plan(job, attempt)}",
            f"GATE_JOB_DIR={self.directory(job)}",
        ]

    def _configured(self, job: int) -> Any:
        self._respond(job)
        environment = dict(os.environ)
        environment |= {"JOB_RESPONSE_FILE": str(self._response(job)), "BUILD_EXIT_CODE_FILE": "/dev/null"}
        done = subprocess.run([*self.site.driver(), "config"], env=environment, capture_output=True, check=True)
        with open(json.loads(done.stdout)["job_env"]["GATE_PLAN"], encoding="utf-8") as source:
            plan: Any = json.load(source)
        return plan

    def _response(self, job: int) -> Path:
        return self.scratch / f"response.{job}.json"

    def _respond(self, job: int) -> None:
        self._response(job).write_text(json.dumps(job_payload(job)), encoding="utf-8")
        self._response(job).chmod(0o600)

    def _facts(self, job: int) -> Any:
        return {**self._template["facts"], "job_id": job, "project_id": job}

    def _key(self, job: int) -> str:
        return key_of(self._facts(job))

    def _plan(self, job: int, attempt: int) -> Path:
        path = self.directory(job) / f"plan.{attempt}.json"
        if not path.exists():
            digest = sha256(self._response(job).read_bytes())
            own = {"key": self._key(job), "facts": self._facts(job), "attempt": attempt, "response_sha256": digest}
            own["work_dir"] = layout.work(str(self.site.state), self._key(job))
            layout.make_job(self.policy, self._key(job))
            path.write_text(json.dumps({**self._template, **own}), encoding="utf-8")
        return path


class Stages:
    """A process that does one stage after the other, as it is told."""

    def __init__(self, jobs: Jobs, process: subprocess.Popen[str]) -> None:
        assert process.stdin
        assert process.stdout
        self._jobs, self._to, self._from = jobs, process.stdin, process.stdout
        self.pid = process.pid

    def stage_pid(self) -> int:
        """The process of the stage that runs now."""
        with open(f"/proc/{self.pid}/task/{self.pid}/children", encoding="ascii") as source:
            return int(source.read().split()[0])

    def do(
        self,
        stage: str,
        job: int,
        attempt: int = 1,
        strike: tuple[str, int] = NOBODY,
        answers: list[Callable[[], object]] | None = None,
    ) -> tuple[int, str]:
        """(exit code, job log) of one stage; `strike` is whom, after how many idle calls.

        The last of `answers` is taken off and called when the job waits, if it gets there.
        """
        said_to = self._jobs.log = self._jobs.scratch / f"log.{next(self._jobs.numbers)}"
        words = [stage, strike[0], str(strike[1]), str(said_to), *self._jobs.environment(job, attempt)]
        self._to.write("\t".join(words) + "\n")
        self._to.flush()
        while answers and not select.select([self._from], [], [], POLL_S)[0]:
            if os.path.lexists(f"{said_to}{SLEEPS}"):
                answers.pop()()
                break
        code = int(self._from.readline())
        said = _text(said_to)  # not said(): another thread's stage may be the newest by now
        self._jobs.heads += HEAD.findall(said)
        return code, said


def calls_of(
    jobs: Jobs, strace: str, target: str, job: int, answers: list[Callable[[], object]], modules: str
) -> list[Call]:
    """What calls the target makes in a good run of prepare, by name; `answers` as for Stages.do."""
    record = jobs.scratch / f"strace.{next(jobs.numbers)}"
    with jobs.stages(strace, "-f", "-n", "-qq", "-o", str(record), modules=modules) as stages:
        code, said = stages.do("prepare", job, strike=(target, 0), answers=answers)
    assert code in (0, BUILD_FAILURE, STEP_DONE), said
    return _calls_in(record.read_text(encoding="utf-8"), str(jobs.site.state))


def _calls_in(record: str, state: str) -> list[Call]:
    made: dict[str, Counter[str]] = {}
    numbers: dict[str, int] = {}
    target, touched = "", False
    before, early = Counter[str](), Counter[str]()
    for pid, number, name, rest in filter(None, map(_parsed, record.splitlines())):
        numbers[name] = number
        made.setdefault(pid, Counter())[name] += 1
        if not target and MARK.decode() in rest:
            target, before = pid, made[pid].copy()
        touched = touched or (pid == target and state in rest)
        if pid == target and not touched:
            early = made[pid] - before
    assert touched, record
    found = []
    for name, total in made[target].items():
        late = total - before[name] - early[name]
        most = max(count[name] for count in made.values())
        found.append(Call(name, numbers[name], before[name], early[name], late, most))
    return found


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _parsed(line: str) -> tuple[str, int, str, str] | None:
    found = _CALL.match(line)  # not where it goes on with a call that another process's came between
    return (found[1], int(found[2]), found[3], found[4]) if found else None
