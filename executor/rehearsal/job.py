"""One job from beginning to end, as gitlab-runner takes it through the custom executor.

* Prepare is tried three times, 3 s apart, each with a new temporary directory, config before and cleanup after a
  failure; a build failure is final at once. Then the run stages, then cleanup, then the last line of the log.
* Cancel and the job's timeout end everything; but from the script on, Cancel ends only the script: after_script runs.
* A cancel or timeout counts before the driver's own answer, except a build failure in prepare, which comes first.
"""

from __future__ import annotations

import dataclasses
import select
import time
from typing import TYPE_CHECKING

from executor.rehearsal import scripts
from executor.rehearsal.attempt import Attempt
from executor.rehearsal.errors import BuildError, DriverError
from executor.rehearsal.job_log import JobLog
from executor.rehearsal.process import Context
from executor.rehearsal.variables import Directories, all_variables, timeout_of
from executor.rehearsal.version import hears_between_attempts

if TYPE_CHECKING:
    from collections.abc import Callable

    from executor.rehearsal.cancel import Cancel
    from executor.rehearsal.sample import Response
    from executor.rehearsal.wiring import Wiring

PREPARE_ATTEMPTS = 3
PREPARE_INTERVAL_S = 3
AFTER_SCRIPT_TIMEOUT_S = 300

_TITLES = {
    "prepare_script": "Preparing environment",
    "get_sources": "Getting source from Git repository",
    "after_script": "Running after_script",
    "cleanup_file_variables": "Cleaning up project directory and file based variables",
}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What GitLab knows of the job in the end; `state` is success, failed or canceled."""

    state: str
    failure_reason: str | None
    exit_code: int | None


def rehearse(
    job: Response,
    wiring: Wiring,
    write: Callable[[bytes], None],
    cancel: Cancel,
    runner_log: Callable[[bytes], None] = lambda _: None,
) -> Outcome:
    """Plays the runner for `job`, which is as in GitLab's answer to POST jobs/request.

    `write` takes the job log, piece by piece; `runner_log` what a runner keeps in its own log: the output of cleanup.
    """
    variables = all_variables(job, wiring, Directories(), "running")
    sections = bool((job.get("features") or {}).get("trace_sections"))
    log = JobLog(write, [v.value for v in variables if v.masked], sections=sections)
    log.line(f"Running with gate rehearse, which plays gitlab-runner {wiring.version}")
    log.line(f"  on {wiring.name}")
    context = Context(time.monotonic() + timeout_of(job), (cancel.cancel_fd, cancel.abort_fd))
    error = _run_job(Attempt(job, wiring, log, runner_log, Directories()), context, cancel)
    return _conclude(log, error, canceled=cancel.is_set)


def _run_job(attempt: Attempt, context: Context, cancel: Cancel) -> Exception | None:
    try:
        with attempt.log.section("prepare_executor", 'Preparing the "custom" executor'):
            attempt = _prepare(attempt, context)
    except (BuildError, DriverError) as error:
        return error
    try:
        _run_stages(attempt, context, cancel)
    except (BuildError, DriverError) as error:
        return error
    finally:
        attempt.cleanup()
    return None


def _prepare(attempt: Attempt, context: Context) -> Attempt:
    last: Exception | None = None
    for _ in range(PREPARE_ATTEMPTS):
        try:
            attempt.prepare(context)
        except BuildError:
            attempt.cleanup()
            raise
        except (DriverError, OSError) as error:
            attempt.cleanup()
            _raise_if_done(context, attempt.job)
            last = error
        else:
            return attempt
        attempt.log.fault(f"Preparation failed: {last}")
        attempt.log.good(f"Will be retried in {PREPARE_INTERVAL_S}s ...")
        _pause(attempt, context)
        attempt = dataclasses.replace(attempt, temporary="", job_env={})
    raise DriverError(str(last))


def _pause(attempt: Attempt, context: Context) -> None:
    if not hears_between_attempts(attempt.wiring.version):
        time.sleep(PREPARE_INTERVAL_S)
        return
    select.select(context.stops, [], [], PREPARE_INTERVAL_S)
    _raise_if_done(context, attempt.job)


def _run_stages(attempt: Attempt, context: Context, cancel: Cancel) -> None:
    _before_script(attempt, context)
    parent = dataclasses.replace(context, stops=(cancel.abort_fd,))
    failure = _script(attempt, context)
    if failure and not parent.is_done and context.is_stopped:
        attempt.log.caution("script canceled externally (UI, API)")
        failure = _canceled()
    _after_script(attempt, parent, failure)
    if not parent.is_done:
        text = scripts.cleanup_file_variables(attempt.variables, attempt.directories, attempt.bash)
        _stage(attempt, "cleanup_file_variables", text, parent)
    _raise_if_done(parent, attempt.job)
    if failure:
        raise failure


def _before_script(attempt: Attempt, context: Context) -> None:
    try:
        _raise_if_done(context, attempt.job)
        if error := _stage(attempt, "prepare_script", scripts.prepare_script(attempt.bash), context):
            raise _prefixed(error)
        text = scripts.get_sources(attempt.job, attempt.variables, attempt.directories, attempt.bash)
        if error := _stage(attempt, "get_sources", text, context):
            raise error
    except (BuildError, DriverError):
        _raise_if_done(context, attempt.job)
        raise


def _script(attempt: Attempt, context: Context) -> BuildError | DriverError | None:
    for step in attempt.job.get("steps") or []:
        if step["name"] == "after_script":
            continue
        if context.is_done:
            return _canceled() if context.is_stopped else DriverError("context deadline exceeded")
        text = scripts.step(step["script"], attempt.variables, attempt.directories, attempt.bash)
        if error := _stage(attempt, f"step_{step['name'].lower()}", text, context):
            return error
    return None


def _after_script(attempt: Attempt, parent: Context, failure: Exception | None) -> None:
    lines = [line for s in attempt.job.get("steps") or [] if s["name"] == "after_script" for line in s["script"]]
    if not lines or parent.is_done:
        return
    attempt.status = _status(failure)
    text = scripts.step(lines, attempt.variables, attempt.directories, attempt.bash, announce="Running after script...")
    error = _stage(attempt, "after_script", text, parent.within(AFTER_SCRIPT_TIMEOUT_S))
    if error and not parent.is_late:
        attempt.log.caution(f"after_script failed, but job will continue unaffected: {error}")


def _stage(attempt: Attempt, stage: str, text: str, context: Context) -> BuildError | DriverError | None:
    error: BuildError | DriverError | None = None
    with attempt.log.section(stage, _TITLES.get(stage) or f'Executing "{stage}" stage of the job script'):
        try:
            attempt.run("build_script" if stage == "step_script" else stage, text, context)
        except (BuildError, DriverError) as failed:
            error = failed
    if context.is_late:
        attempt.log.caution(f"{stage} could not run to completion because the timeout was exceeded.")
    return error


def _raise_if_done(context: Context, job: Response) -> None:
    if context.is_stopped:
        raise _canceled()
    if context.is_late:
        took = f"execution took longer than {_duration(timeout_of(job))} seconds"
        raise BuildError(took, reason="job_execution_timeout")


def _duration(seconds: int) -> str:
    minutes, hours = seconds // 60, seconds // 3600
    return f"{f'{hours}h' if hours else ''}{f'{minutes % 60}m' if minutes else ''}{seconds % 60}s"


def _canceled() -> BuildError:
    return BuildError("canceled", reason="job_canceled")


def _prefixed(error: BuildError | DriverError) -> BuildError | DriverError:
    text = f"prepare environment: {error}"
    if isinstance(error, DriverError):
        return DriverError(text)
    return BuildError(text, exit_code=error.exit_code, reason=error.reason)


def _status(failure: Exception | None) -> str:
    if failure is None:
        return "success"
    return "canceled" if isinstance(failure, BuildError) and failure.reason == "job_canceled" else "failed"


def _conclude(log: JobLog, error: Exception | None, *, canceled: bool) -> Outcome:
    state = "canceled" if canceled else "failed" if error else "success"
    if error is None:
        log.good("Job succeeded")
        return Outcome(state, None, None)
    if isinstance(error, BuildError):
        log.fault(f"Job failed: {error}")
        return Outcome(state, error.reason, error.exit_code)
    log.fault(f"Job failed (system failure): {error}")
    return Outcome(state, "runner_system_failure", None)
