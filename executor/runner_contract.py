"""What the runner gives every stage: exit codes and files named in the environment (runner-contract 1.2, 1.4).

The environment names files and codes only. Who and what a job is comes from the job response, never from here.
"""

from __future__ import annotations

import os

from audit.errors import AuditError
from gate.errors import GateError

DEFAULT_BUILD_FAILURE = 1
DEFAULT_SYSTEM_FAILURE = 2
OLDEST = (17, 9)  # older ones set no BUILD_EXIT_CODE_FILE
# What the runner takes where config.toml says nothing, in seconds (its executors/custom/consts.go).
EXEC_TIMEOUT_S = 3600  # of a stage, prepare among them
GRACEFUL_KILL_TIMEOUT_S = 600
FORCE_KILL_TIMEOUT_S = 10
STDERR = 2  # the descriptor: config and run say there what keeps them from their work
_MAX_EXIT_CODE = 255


class StageError(GateError):
    """A stage that cannot do its work: one line for the job log, and a system failure."""


def build_failure_code() -> int:
    """The exit code that tells the runner: this job has failed, for good."""
    return _code("BUILD_FAILURE_EXIT_CODE", DEFAULT_BUILD_FAILURE)


def system_failure_code() -> int:
    """The exit code that tells the runner: the stage could not do its work; prepare is then tried again."""
    return _code("SYSTEM_FAILURE_EXIT_CODE", DEFAULT_SYSTEM_FAILURE)


def _code(name: str, default: int) -> int:
    """Never 0: whatever the environment says, a failure must not read as success (threats T5)."""
    value = os.environ.get(name, "")
    code = int(value) if value.isascii() and value.isdigit() and len(value) <= len(str(_MAX_EXIT_CODE)) else default
    return code if 0 < code <= _MAX_EXIT_CODE else default


def tell_exit_code(code: int) -> None:
    """Write the code that GitLab is to see into BUILD_EXIT_CODE_FILE.

    Raises:
        StageError: it cannot be written; a job's end would be reported wrongly.
    """
    path = os.environ.get("BUILD_EXIT_CODE_FILE", "")
    if not path:
        raise StageError("BUILD_EXIT_CODE_FILE is not set: gitlab-runner 17.9.0 or newer is needed")
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="ascii") as target:
            target.write(f"{code}\n")
    except OSError as error:
        raise StageError(f"cannot write BUILD_EXIT_CODE_FILE {path}: {error.strerror}") from error


def from_config(name: str) -> str:
    """A value that the config stage handed on through job_env.

    Raises:
        StageError: it is not there, so the config stage is not wired.
    """
    value = os.environ.get(name, "")
    if not value:
        raise StageError(
            f"{name} is not set: wire config_exec in the runner's config.toml, see runner-config.example.toml"
        )
    return value


def say(line: str, descriptor: int = 1) -> None:
    """One line to the job log. A log that is not read any more stops nothing."""
    try:
        os.write(descriptor, f"gate: {line}\n".encode("utf-8", "backslashreplace"))
    except OSError:
        return


def in_words(error: BaseException) -> str:
    """An exception, in one line for people; never a traceback."""
    if isinstance(error, (GateError, AuditError)):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    trace, where = error.__traceback__, ""
    while trace is not None:
        where = f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"internal fault, please report it: {type(error).__name__} at {where}: {' '.join(str(error).split())}"
