"""One attempt of the runner: its temporary directory, the job response file, and the calls of the four stages."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import tempfile
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from executor.rehearsal.errors import BuildError, DriverError
from executor.rehearsal.process import BUILD_FAILURE_EXIT_CODE, SYSTEM_FAILURE_EXIT_CODE, Call, Context, call
from executor.rehearsal.scripts import Bash
from executor.rehearsal.variables import Directories, Variable, all_variables, driver_environment
from executor.rehearsal.version import passes_codes_on
from executor.rehearsal.wiring import as_rehearsal

if TYPE_CHECKING:
    from collections.abc import Callable

    from executor.rehearsal.job_log import JobLog
    from executor.rehearsal.process import Sink
    from executor.rehearsal.sample import Response
    from executor.rehearsal.wiring import Wiring

_GATE = "gitlab-runner-gate"  # the driver's name in config's answer
_STRINGS = ("hostname", "builds_dir", "cache_dir", "shell")


class _Collected:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.data = b""

    def feed(self, data: bytes) -> None:
        self.data += data

    def close(self) -> None:
        """Nothing is held back."""


class _Passed:
    """A sink for the runner's own log."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self.feed = write

    def close(self) -> None:
        """Nothing is held back."""


@dataclasses.dataclass
class Attempt:
    """What one attempt knows; `directories` outlive it, as in the runner, `job_env` does not."""

    job: Response
    wiring: Wiring
    log: JobLog
    runner_log: Callable[[bytes], None]
    directories: Directories
    status: str = "running"
    temporary: str = ""
    job_env: dict[str, str] = dataclasses.field(default_factory=dict)

    def prepare(self, context: Context) -> None:
        """config_exec, then prepare_exec; raises BuildError or DriverError."""
        if not self.wiring.run:
            raise BuildError("custom executor is missing RunExec")
        self.temporary = tempfile.mkdtemp(prefix="custom-executor")
        _write(self._path("response.json"), json.dumps(self.job, separators=(",", ":")) + "\n", 0o600)
        answer = self._config(context)
        self.job_env = answer.get("job_env") or {}
        _refuse_real(answer)
        self.log.line(_startup(answer.get("driver") or {}))
        self._set_directories(answer)
        if self.wiring.prepare:
            limit = context.within(self.wiring.prepare_exec_timeout)
            self._call(self.wiring.prepare, limit, self.log.stream(), self.log.stream())

    def run(self, stage: str, script: str, context: Context) -> None:
        """run_exec for one stage; raises BuildError or DriverError."""
        try:
            path = os.path.join(tempfile.mkdtemp(prefix="script", dir=self.temporary), "script")
            _write(path, script, 0o700)
        except OSError as error:
            raise DriverError(str(error)) from error
        self._call((*self.wiring.run, path, stage), context, self.log.stream(), self.log.stream())

    def cleanup(self) -> None:
        """cleanup_exec, whatever became of the job; what it says goes to the runner's own log."""
        try:
            if self.temporary and self.wiring.cleanup:
                limit = Context(time.monotonic() + self.wiring.cleanup_exec_timeout)
                self._call(self.wiring.cleanup, limit, _Passed(self.runner_log), _Passed(self.runner_log))
        except (BuildError, DriverError) as error:
            self.log.caution(f"Cleanup script failed: {error}")
        finally:
            if self.temporary:
                shutil.rmtree(self.temporary, ignore_errors=True)

    @property
    def variables(self) -> list[Variable]:
        """The job's variables as they are now."""
        return all_variables(self.job, self.wiring, self.directories, self.status)

    @property
    def bash(self) -> Bash:
        """How this runner's stage scripts run what is in them."""
        return Bash(passes_codes_on=passes_codes_on(self.wiring.version, {v.key: v.value for v in self.variables}))

    def _config(self, context: Context) -> Response:
        if not self.wiring.config:
            return {}
        stdout = _Collected()
        self._call(
            as_rehearsal(self.wiring.config), context.within(self.wiring.config_exec_timeout), stdout, self.log.stream()
        )
        return parse_config(stdout.data)

    def _set_directories(self, answer: Response) -> None:
        builds = answer.get("builds_dir", self.wiring.builds_dir)
        cache = answer.get("cache_dir", self.wiring.cache_dir)
        for key, value in (("builds_dir", builds), ("cache_dir", cache)):
            if not value:
                raise BuildError(f"the {key} is not configured")
        shared = bool(answer.get("builds_dir_is_shared"))
        self.directories = Directories(builds, os.path.normpath(f"{builds}/{_project_directory(self.job, shared)}"))

    def _call(self, argv: tuple[str, ...], context: Context, stdout: Sink, stderr: Sink) -> None:
        driver = Call(
            argv=argv,
            env=self._environment(),
            cwd=self.temporary,
            code_file=self._path("build_exit_code"),
            graceful_s=self.wiring.graceful_kill_timeout,
            force_s=self.wiring.force_kill_timeout,
        )
        call(driver, context, stdout, stderr)

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "TMPDIR": self.temporary,
            "BUILD_FAILURE_EXIT_CODE": str(BUILD_FAILURE_EXIT_CODE),
            "SYSTEM_FAILURE_EXIT_CODE": str(SYSTEM_FAILURE_EXIT_CODE),
            "BUILD_EXIT_CODE_FILE": self._path("build_exit_code"),
            "JOB_RESPONSE_FILE": self._path("response.json"),
            **self.job_env,
            **driver_environment(self.job, self.variables),
        }

    def _path(self, name: str) -> str:
        return os.path.join(self.temporary, name)


def parse_config(output: bytes) -> Response:
    """What config_exec printed; nothing at all is allowed.

    Raises:
        DriverError: it is not JSON, or not of the form that the runner reads; the runner tries again.
    """
    if not output:
        return {}
    try:
        answer = json.loads(output)
    except ValueError as error:
        raise DriverError(f"error while parsing JSON output: {error}") from error
    if not isinstance(answer, dict):
        raise DriverError(f"error while parsing JSON output: {answer!r} is not an object")
    answer = {key: value for key, value in answer.items() if value is not None}
    for key in _STRINGS:
        _expect(answer, key, str)
    _expect(answer, "builds_dir_is_shared", bool)
    for key in ("job_env", "driver"):
        _expect(answer, key, dict)
        for name, value in answer.get(key, {}).items():
            _expect({f"{key}.{name}": value}, f"{key}.{name}", str)
    return answer


def _expect(answer: Response, key: str, kind: type) -> None:
    if key in answer and not isinstance(answer[key], kind):
        raise DriverError(f"error while parsing JSON output: {key} is {answer[key]!r}, not a {kind.__name__}")


def _refuse_real(answer: Response) -> None:
    """A gate that was not told that this is a rehearsal would record it as a job of GitLab's."""
    if (answer.get("driver") or {}).get("name") == _GATE and "GATE_REHEARSAL" not in (answer.get("job_env") or {}):
        raise BuildError(
            "the gate was not told that this is a rehearsal: name gate-executor itself in config_exec, and its stage "
            "in config_args"
        )


def _startup(driver: dict[str, str]) -> str:
    told = " ".join(driver[key] for key in ("name", "version") if key in driver) if "name" in driver else ""
    return f"Using Custom executor{' with driver ' + told if told else ''}..."


def _project_directory(job: Response, shared: bool) -> str:
    """As the runner: the path of git_info.repo_url; behind the runner and slot where builds_dir is shared."""
    url = urlsplit(str((job.get("git_info") or {}).get("repo_url") or ""))
    path = os.path.normpath(url.path.removesuffix(".git")) if url.netloc else "."
    if path == "." or ".." in path:
        path = f"project-{(job.get('job_info') or {}).get('project_id', 0)}"
    return f"rehearsal/0/{path}" if shared else path


def _write(path: str, text: str, mode: int) -> None:
    with ExitStack() as stack:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        stack.enter_context(os.fdopen(fd, "w", encoding="utf-8", errors="surrogateescape")).write(text)
