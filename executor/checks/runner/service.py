"""The runner's version and its unit: whom it runs as, how it is stopped while jobs wait, and what it may not do."""

import os
import shlex
from collections.abc import Iterator

from executor.checks.context import Context
from executor.checks.finding import Finding, fail, ok, warn
from executor.checks.runner.sandbox import hindrances
from executor.checks.runner.stages import exec_timeout
from executor.checks.runner_unit import DROP_INS, NAME, Unit
from executor.checks.system import dotted, version_of
from executor.runner_contract import OLDEST

STOP_AFTER_S = 3600  # beyond the longest wait: for the job itself
FILES_PER_JOB = 8  # pipes, the trace, a connection
FILES = 64
TASKS_PER_JOB, TASKS = 4, 64  # a stage, and what it starts; the threads of the runner itself


def find(context: Context) -> Iterator[Finding]:
    """See the module."""
    unit = context.unit
    yield from _version(context)
    if unit is None:
        message = f"no {NAME} is known to this host: how its runner is stopped, and whom it runs as, is unknown"
        yield warn(message)
        return
    faults = list(_faults(context, unit))
    yield from faults
    if not faults:
        yield ok(f"{NAME} runs as {unit.user}, and waits for its jobs when it is stopped")


def _faults(context: Context, unit: Unit) -> Iterator[Finding]:
    if context.own_runners and unit.user not in (context.runner_user, str(context.runner_uid)):
        message = f"{NAME} runs as {unit.user}, and the gate's files are {context.runner_user}'s"
        yield fail(message, _drop_in(unit, "user", f"User={context.runner_user}"))
    yield from _stopping(context, unit)
    needed = FILES_PER_JOB * context.runner_config.concurrent + FILES
    if unit.open_files is not None and unit.open_files < needed:
        message = (
            f"LimitNOFILE is {unit.open_files}, and {context.runner_config.concurrent} jobs at once need "
            f"{needed} open files"
        )
        yield warn(message, _drop_in(unit, "files", f"LimitNOFILE={2 * needed}"))
    tasks = TASKS_PER_JOB * context.runner_config.concurrent + TASKS
    if unit.tasks is not None and unit.tasks < tasks:
        message = (
            f"TasksMax is {unit.tasks}, and {context.runner_config.concurrent} jobs at once need {tasks} "
            "processes and threads"
        )
        yield warn(message, _drop_in(unit, "tasks", f"TasksMax={4 * tasks}"))
    for each in hindrances(context, unit):
        yield (fail if each.is_certain else warn)(str(each), _drop_in(unit, each.key.lower(), each.line))
    if len(unit.command) > 1 and _other_file(context, unit):
        message = f"{NAME} reads {_other_file(context, unit)}, and this looked at {context.runner_config.path}"
        yield warn(message, f"{context.again} --runner-config {shlex.quote(_other_file(context, unit))}")


def _version(context: Context) -> Iterator[Finding]:
    """Nothing is said where it does not tell; a stage that lacks what it needs refuses."""
    program = context.runner_program
    found = version_of(program, context.system)
    if found and found < OLDEST:
        yield fail(
            f"{program} is version {dotted(found)}: every job fails, {dotted(OLDEST)} or newer is needed: update it"
        )


def _stopping(context: Context, unit: Unit) -> Iterator[Finding]:
    longest_s = max(map(exec_timeout, context.runners), default=0)
    fix = _drop_in(unit, "stop", "KillSignal=SIGQUIT", "KillMode=mixed", f"TimeoutStopSec={longest_s + STOP_AFTER_S}")
    if unit.kill_signal != "SIGQUIT":
        message = (
            f"{NAME} is stopped with {unit.kill_signal}: jobs that wait are cancelled, or left behind; with SIGQUIT it "
            "waits for them"
        )
        yield warn(message, fix)
    elif unit.kill_mode not in ("mixed", "process"):
        message = f"KillMode is {unit.kill_mode}: jobs that wait get the SIGQUIT, too, and are cancelled"
        yield warn(message, fix)
    elif unit.stop_within_s < longest_s:
        message = (
            f"{NAME} is killed {unit.stop_within_s:g} s after it is asked to stop, and a job may wait for {longest_s} s"
        )
        yield warn(message, fix)


def _other_file(context: Context, unit: Unit) -> str:
    """The config.toml that the unit names, where it is another; otherwise empty."""
    named = unit.option("--config", "-c")
    other = named if os.path.isabs(named) else ""
    return "" if os.path.realpath(other) == os.path.realpath(context.runner_config.path) else other


def _drop_in(unit: Unit, name: str, *lines: str) -> str:
    # Drop-ins are read in the order of their names, and the last word on a key holds.
    path, text = f"{DROP_INS}/zz-gate-{name}.conf", "\\n".join(("[Service]", *lines, ""))
    reload = " && systemctl daemon-reload" if unit.is_live else ""
    return f"mkdir -p {DROP_INS} && printf {shlex.quote(text)} > {path}{reload}"
