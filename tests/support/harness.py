"""One interface over both runners: the real gitlab-runner with a fake GitLab, and the rehearsal that plays both.

A harness takes a scratch directory of its own, and leaves no process behind once it is closed.
"""

from __future__ import annotations

import abc
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from executor.rehearsal.session import Outcome
from tests.support.fake_gitlab import FINAL_STATES, WAIT_S, FakeGitLab
from tests.support.jobs import job_payload
from tests.support.runner import MARK, Runner, end_marked, played_version
from tests.support.wiring import DriverWiring, write_config

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Harness(abc.ABC):
    """A runner and its GitLab; times are in seconds, and a wait that is over raises TimeoutError with the log."""

    server_url: str

    @abc.abstractmethod
    def submit(self, **changes: Any) -> int:
        """Queues a job (see `job_payload`), returns its id."""

    @abc.abstractmethod
    def state(self, job_id: int) -> str:
        """pending, running, success, failed or canceled, as GitLab shows it."""

    @abc.abstractmethod
    def trace(self, job_id: int) -> str:
        """The job log so far."""

    @abc.abstractmethod
    def raw_trace(self, job_id: int) -> bytes:
        """The job log so far as the runner sent it, with the stamps that newer ones put before each line."""

    @abc.abstractmethod
    def wait_trace(self, job_id: int, text: str, timeout: float = WAIT_S) -> str:
        """Waits until `text` is in the job log; returns the log."""

    @abc.abstractmethod
    def wait(self, job_id: int, timeout: float = WAIT_S) -> Outcome:
        """Waits for the job's end."""

    @abc.abstractmethod
    def cancel(self, job_id: int) -> None:
        """GitLab's Cancel; the runner learns of it at its next update."""

    @abc.abstractmethod
    def retry(self, job_id: int) -> int:
        """The same job anew, with a new id, token and URL; returns the id."""

    @abc.abstractmethod
    def kill_runner(self, sig: signal.Signals) -> None:
        """Ends the runner and returns when it is gone; its drivers are left alone, its jobs stay `running` for ever."""

    @abc.abstractmethod
    def restart_runner(self) -> None:
        """Starts the runner anew; it takes pending jobs only."""

    @abc.abstractmethod
    def runner_log(self) -> str:
        """What the runner says of itself, for messages."""

    @abc.abstractmethod
    def close(self) -> None:
        """Ends everything that was started."""


class RealHarness(Harness):
    """A real gitlab-runner, and a fake GitLab on a loopback port."""

    def __init__(
        self,
        wiring: DriverWiring,
        scratch: Path,
        *,
        env: Mapping[str, str] | None = None,
        concurrent: int = 4,
    ) -> None:
        self._gitlab = FakeGitLab()
        self.server_url = self._gitlab.url
        self._runner = Runner(self._gitlab.url, wiring, scratch, env=env, concurrent=concurrent)
        self._gitlab.__enter__()
        self._runner.start()

    def submit(self, **changes: Any) -> int:
        return self._gitlab.submit(**changes)

    def state(self, job_id: int) -> str:
        return self._gitlab.job(job_id).state

    def trace(self, job_id: int) -> str:
        return self._gitlab.job(job_id).trace

    def raw_trace(self, job_id: int) -> bytes:
        return self._gitlab.job(job_id).raw_trace

    def wait_trace(self, job_id: int, text: str, timeout: float = WAIT_S) -> str:
        return self._gitlab.wait_trace(job_id, text, timeout).trace

    def wait(self, job_id: int, timeout: float = WAIT_S) -> Outcome:
        record = self._gitlab.wait(job_id, timeout=timeout)
        return Outcome(record.state, record.failure_reason, record.exit_code)

    def cancel(self, job_id: int) -> None:
        self._gitlab.cancel(job_id)

    def retry(self, job_id: int) -> int:
        return self._gitlab.retry(job_id)

    def kill_runner(self, sig: signal.Signals) -> None:
        self._runner.kill(sig)

    def restart_runner(self) -> None:
        self._runner.start()

    def runner_log(self) -> str:
        return self._runner.log

    def close(self) -> None:
        self._runner.stop()
        self._gitlab.close()


class _Rehearsed:
    """One job: pending until `start`, then a process whose stdout is the job log."""

    def __init__(self, job_id: int, changes: dict[str, Any], files: Path) -> None:
        self.changes = changes
        self.trace = b""
        self.state = "pending"
        self.outcome: Outcome | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self.job_file = files / f"job.{job_id}.json"
        self.report = files / f"outcome.{job_id}.json"


class RehearsalHarness(Harness):
    """Each job is rehearsed by a process of its own, `concurrent` at once; together they play one runner.

    A runner that gets SIGTERM while its drivers are in prepare goes away and tells them nothing, and so does one that
    gets SIGKILL. As the rehearsal takes SIGTERM for Cancel, both are played by SIGKILL. (What a runner does with
    SIGTERM in a run stage is not played.)
    """

    server_url = "http://gitlab.example"

    def __init__(
        self,
        wiring: DriverWiring,
        scratch: Path,
        *,
        env: Mapping[str, str] | None = None,
        concurrent: int = 4,
    ) -> None:
        self._changed = threading.Condition()
        self._jobs: dict[int, _Rehearsed] = {}
        self._ids = itertools.count(1001)
        self._threads: list[threading.Thread] = []
        self._concurrent = concurrent
        self._is_up = True
        self._mark = uuid.uuid4().hex
        self._scratch = scratch
        self._config = scratch / "config.toml"
        own = {"HOME": str(scratch), "TMPDIR": str(scratch / "tmp"), MARK: self._mark}
        self._env = {**os.environ, **own, **(env or {})}
        (scratch / "tmp").mkdir(exist_ok=True)
        write_config(self._config, wiring, url=self.server_url, scratch=scratch, concurrent=concurrent)

    def submit(self, **changes: Any) -> int:
        with self._changed:
            job_id = next(self._ids)
            job = _Rehearsed(job_id, changes, self._scratch)
            payload = job_payload(job_id, **{"server_url": self.server_url, **changes})
            job.job_file.write_text(json.dumps(payload), encoding="utf-8")
            self._jobs[job_id] = job
            self._start_pending()
        return job_id

    def state(self, job_id: int) -> str:
        with self._changed:
            return self._jobs[job_id].state

    def trace(self, job_id: int) -> str:
        with self._changed:
            return self._jobs[job_id].trace.decode(errors="replace")

    def raw_trace(self, job_id: int) -> bytes:
        with self._changed:
            return self._jobs[job_id].trace

    def wait_trace(self, job_id: int, text: str, timeout: float = WAIT_S) -> str:
        self._wait_for(job_id, lambda job: text.encode() in job.trace, f"{text!r} in its log", timeout)
        return self.trace(job_id)

    def wait(self, job_id: int, timeout: float = WAIT_S) -> Outcome:
        job = self._wait_for(job_id, lambda job: job.state in FINAL_STATES, "at its end", timeout)
        return job.outcome or Outcome(job.state, None, None)

    def cancel(self, job_id: int) -> None:
        with self._changed:
            job = self._jobs[job_id]
            if job.process:
                job.process.send_signal(signal.SIGTERM)
            elif job.state == "pending":
                job.state = "canceled"
                self._changed.notify_all()

    def retry(self, job_id: int) -> int:
        return self.submit(**self._jobs[job_id].changes)

    def kill_runner(self, sig: signal.Signals) -> None:  # noqa: ARG002 - both are played by SIGKILL
        with self._changed:
            self._is_up = False
            for job in self._jobs.values():
                if job.process:
                    job.process.kill()
            self._changed.wait_for(lambda: not any(job.process for job in self._jobs.values()), WAIT_S)

    def restart_runner(self) -> None:
        with self._changed:
            self._is_up = True
            self._start_pending()

    def runner_log(self) -> str:
        log = self._scratch / "runner.log"
        return log.read_text(errors="replace") if log.exists() else ""

    def close(self) -> None:
        self.kill_runner(signal.SIGKILL)
        end_marked(self._mark)
        for thread in self._threads:
            thread.join()

    def _wait_for(self, job_id: int, done: Callable[[_Rehearsed], bool], what: str, timeout: float) -> _Rehearsed:
        with self._changed:
            job = self._jobs[job_id]
            if self._changed.wait_for(lambda: done(job), timeout):
                return job
        log = job.trace.decode(errors="replace")
        message = f"job {job_id}: not {what} after {timeout} s; state {job.state}, log:\n{log}\n{self.runner_log()}"
        raise TimeoutError(message)

    def _start_pending(self) -> None:
        running = sum(job.process is not None for job in self._jobs.values())
        pending = [job for job in self._jobs.values() if job.state == "pending"] if self._is_up else []
        for job in pending[: max(0, self._concurrent - running)]:
            self._start(job)

    def _start(self, job: _Rehearsed) -> None:
        options: dict[str, Any] = {
            "job_file": str(job.job_file),
            "runner_config": str(self._config),
            "gate_config": None,
            "settings": [],
            "timeout": None,
            "report": str(job.report),
            "runner_version": played_version(),
        }
        script = Path(__file__).with_name("rehearsed.py")
        with (self._scratch / "runner.log").open("ab") as log:
            job.process = subprocess.Popen(
                [sys.executable, str(script), json.dumps(options)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self._env,
                process_group=0,
                bufsize=0,
            )
        job.state = "running"
        thread = threading.Thread(target=self._follow, args=(job, job.process), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _follow(self, job: _Rehearsed, process: subprocess.Popen[bytes]) -> None:
        while data := process.stdout.read(65536) if process.stdout else b"":
            with self._changed:
                job.trace += data
                self._changed.notify_all()
        process.wait()
        if process.stdout:
            process.stdout.close()
        with self._changed:
            job.process = None
            _finish(job, process.returncode)
            self._start_pending()
            self._changed.notify_all()


def _finish(job: _Rehearsed, returncode: int) -> None:
    if returncode == -signal.SIGKILL:  # GitLab is told nothing more; the report may be half there
        return
    if job.report.exists():
        job.outcome = Outcome(**json.loads(job.report.read_text(encoding="utf-8")))
    elif returncode == -signal.SIGTERM:  # cancelled before it could listen
        job.outcome = Outcome("canceled", "job_canceled", None)
    else:
        job.outcome = Outcome("failed", f"the rehearsal itself broke: exit status {returncode}", None)
    job.state = job.outcome.state
