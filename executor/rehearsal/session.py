"""`gate rehearse`: plays the runner for one job, so that a gate can be tried out without pushing a pipeline.

The job log goes to stdout as it comes, what a runner keeps in its own log to stderr. Ctrl-C and SIGTERM are GitLab's
Cancel; a second one is its force cancel, which leaves out after_script. SIGKILL plays a runner that dies: the driver is
told nothing and lives on, which is also all that a driver in `prepare` sees of a runner that is stopped with SIGTERM.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from executor.rehearsal.cancel import Cancel
from executor.rehearsal.errors import RehearsalError
from executor.rehearsal.job import Outcome, rehearse
from executor.rehearsal.sample import public, sample_job
from executor.rehearsal.version import chosen
from executor.rehearsal.wiring import Wiring, built_in, from_config_toml

if TYPE_CHECKING:
    from collections.abc import Iterator

    from executor.rehearsal.sample import Response

__all__ = ["Cancel", "Outcome", "RehearsalError", "Wiring", "exit_status", "rehearse", "run"]

EXIT_SYSTEM_FAILURE = 2
EXIT_CANCELED = 130


def run(
    job_file: str | None,
    runner_config: str | None,
    gate_config: str | None,
    settings: list[str],
    timeout: int | None,
    report: str | None,
    runner_name: str | None = None,
    log: int = 1,
    runner_version: str | None = None,
) -> int:
    """Rehearses one job and returns the exit status for the command; see `exit_status`.

    Args:
        job_file: a job response (JSON, as GitLab's or as JOB_RESPONSE_FILE); None: a sample deployment.
        runner_config: a runner's config.toml; None: this installation with `gate_config`.
        gate_config: gate.yaml, for the built-in wiring only; None: the default one.
        settings: KEY=VALUE variables, added after the job's own, as a pipeline's author may.
        timeout: the job's timeout in seconds, instead of the one in the job.
        report: a file to write the Outcome to, as JSON.
        runner_name: which [[runners]] of `runner_config`; None: the first with the custom executor.
        log: the descriptor that the job log is written to.
        runner_version: which gitlab-runner is played; None: see `rehearsal_version.chosen`.

    Raises:
        RehearsalError: something given is missing or malformed; nothing has been started.
    """
    wiring = from_config_toml(runner_config, runner_name) if runner_config else built_in(gate_config)
    wiring = dataclasses.replace(wiring, version=chosen(runner_version))
    job = _load(job_file) if job_file else sample_job()
    job["variables"] = [*(job.get("variables") or []), *map(_setting, settings)]
    if timeout is not None:
        job["runner_info"] = {**(job.get("runner_info") or {}), "timeout": timeout}
    with _signals_cancel() as cancel:
        outcome = rehearse(job, wiring, _to(log), cancel, _to(2))
    if report:
        _write_report(report, outcome)
    return exit_status(outcome)


def exit_status(outcome: Outcome) -> int:
    """0 for success, the job's own code for a script failure, 2 for other failures, 130 if it was cancelled."""
    if outcome.state == "canceled":
        return EXIT_CANCELED
    if outcome.state == "success":
        return 0
    if outcome.failure_reason != "script_failure":
        return EXIT_SYSTEM_FAILURE
    return (outcome.exit_code or 1) & 0xFF or 1


def _load(path: str) -> Response:
    try:
        with open(path, encoding="utf-8") as file:
            job = json.load(file)
    except OSError as error:
        raise RehearsalError(f"{path}: cannot be read: {error.strerror}; name a job response file") from error
    except ValueError as error:
        raise RehearsalError(f"{path}: not JSON: {error}; give a job response as GitLab sends it") from error
    _check(job, path)
    return dict(job)


def _check(job: Any, path: str) -> None:
    if not isinstance(job, dict):
        raise RehearsalError(f"{path}: {type(job).__name__}, not an object; give a job response as GitLab sends it")
    if not isinstance(job.get("id"), int):
        raise RehearsalError(f"{path}: id is {job.get('id')!r}, not a number; give a whole job response")
    for key in ("job_info", "git_info", "runner_info", "features", "image"):
        _expect(job, key, dict, path)
    for key in ("variables", "steps", "services", "hooks"):
        _expect(job, key, list, path)
        for n, entry in enumerate(job.get(key) or []):
            _check_entry(entry, key, f"{path}: {key}[{n}]")
    _expect(job.get("runner_info") or {}, "timeout", int, f"{path}: runner_info")


def _expect(table: Response, key: str, kind: type, where: str) -> None:
    if not isinstance(table.get(key), (kind, type(None))):
        raise RehearsalError(f"{where}: {key} is {table[key]!r}, not {kind.__name__}; see the runner's job response")


def _check_entry(entry: Any, key: str, where: str) -> None:
    if not isinstance(entry, dict):
        raise RehearsalError(f"{where} is {entry!r}, not an object; see the runner's job response")
    name = "key" if key == "variables" else "name"
    if not isinstance(entry.get(name), str):
        raise RehearsalError(f"{where}: {name} is {entry.get(name)!r}, not a string; give it one")
    lines = entry.get("script")
    texts = isinstance(lines, list) and all(isinstance(line, str) for line in lines)
    if key in ("steps", "hooks") and not texts:
        raise RehearsalError(f"{where}: script is {lines!r}, not a list of lines; give one string for each")


def _setting(text: str) -> Response:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise RehearsalError(f"{text!r} is not KEY=VALUE; write it as --set KEY=VALUE")
    return public(key, value)


def _to(fd: int) -> Any:
    def write(data: bytes) -> None:
        with suppress(BrokenPipeError):  # the watcher has gone; the job goes on, as it does in GitLab
            while data:
                data = data[os.write(fd, data) :]

    return write


@contextmanager
def _signals_cancel() -> Iterator[Cancel]:
    cancel = Cancel()
    before = {sig: signal.signal(sig, lambda *_: cancel.set()) for sig in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield cancel
    finally:
        for sig, handler in before.items():
            signal.signal(sig, handler)
        cancel.close()


def _write_report(path: str, outcome: Outcome) -> None:
    try:
        with open(path, "w", encoding="utf-8") as file:
            json.dump(dataclasses.asdict(outcome), file)
            file.write("\n")
    except OSError as error:
        print(f"{path}: the report cannot be written: {error.strerror}", file=sys.stderr)
