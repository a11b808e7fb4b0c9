"""The runner of a bare host: jobs of a fake GitLab by a real gitlab-runner, or each by `gate rehearse`."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from tests.support.fake_gitlab import WAIT_S, FakeGitLab
from tests.support.jobs import job_payload

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.empty_host import BareHost

CONFIG = "/etc/gitlab-runner/config.toml"
FIRST_JOB = 1234  # README's


class End(NamedTuple):
    """How a job ended, as GitLab was told."""

    state: str
    exit_code: int | None
    log: str


class HostRunner(Protocol):
    """`url` is for config.toml; `submit` takes what job_payload does."""

    url: str

    def submit(self, **job: Any) -> int: ...
    def log(self, job: int) -> str: ...
    def end(self, job: int) -> End: ...
    def close(self) -> None: ...


class RealRunner:
    """`gitlab-runner run` on the host, from the first job on."""

    def __init__(self, host: BareHost) -> None:
        self._host = host
        self._process: subprocess.Popen[bytes] | None = None
        self._gitlab = FakeGitLab(first_job=FIRST_JOB).__enter__()
        self.url = self._gitlab.url

    def submit(self, **job: Any) -> int:
        if self._process is None:
            self._process = self._host.start(
                f"exec gitlab-runner run -c {CONFIG}", log=self._host.at("/run/runner.log")
            )
        return self._gitlab.submit(**job)

    def log(self, job: int) -> str:
        return self._gitlab.job(job).trace

    def end(self, job: int) -> End:
        record = self._gitlab.wait(job, timeout=WAIT_S)
        return End(record.state, record.exit_code, record.trace)

    def close(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
        self._gitlab.close()


class Rehearsed:
    """A `gate rehearse` on the host for each job."""

    url = "http://gitlab.example"

    def __init__(self, host: BareHost) -> None:
        self._host = host
        self._jobs: dict[int, tuple[subprocess.Popen[bytes], Path]] = {}

    def submit(self, **job: Any) -> int:
        number = FIRST_JOB + len(self._jobs)
        log = self._host.at(f"/run/{number}.log")
        self._host.at(f"/run/{number}.json").write_text(json.dumps(job_payload(number, server_url=self.url, **job)))
        command = f"exec gate rehearse --job /run/{number}.json --runner-config {CONFIG} --report /run/{number}.end"
        self._jobs[number] = self._host.start(command, log=log), log
        return number

    def log(self, job: int) -> str:
        return self._jobs[job][1].read_text(encoding="utf-8")

    def end(self, job: int) -> End:
        self._jobs[job][0].wait(WAIT_S)
        told = json.loads(self._host.at(f"/run/{job}.end").read_text(encoding="utf-8"))
        return End(told["state"], told["exit_code"], self.log(job))

    def close(self) -> None:
        for process, _log in self._jobs.values():
            process.kill()
            process.wait()


def until(job: int, text: str, log: Callable[[int], str]) -> None:
    """Wait until a job's log has this text."""
    give_up = time.monotonic() + WAIT_S
    while text not in log(job):
        assert time.monotonic() < give_up, f"no {text!r} in\n{log(job)}"
        time.sleep(0.1)
