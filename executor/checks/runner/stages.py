"""The four stages of each runner: all wired, to one program by its absolute path, for one gate.yaml."""

import os
import shlex
from collections import Counter
from collections.abc import Iterator

from config.host import path_problems
from executor.checks.context import Context
from executor.checks.editor import at
from executor.checks.finding import Edit, Finding, fail, ok, warn
from executor.main import REHEARSAL, USAGE
from executor.runner_config import STAGES, Runner, split
from gate import DEFAULT_CONFIG

PREPARE_TIMEOUT = "--prepare-timeout"


def find(context: Context) -> Iterator[Finding]:
    """See the module."""
    for runner in context.runners:
        faults = [fault for stage in STAGES for fault in _stage(context, runner, stage)]
        faults = faults or list(_start(context, runner))
        yield from faults
        if not faults:
            yield ok(f"runner {runner.name}: {', '.join(STAGES)} are wired to {_program(context, runner)}")
        used = runner.gate_yaml
        if not faults and os.path.realpath(used) != os.path.realpath(context.gate_yaml.path):
            message = f"runner {runner.name} goes by {used}, and this looked at {context.gate_yaml.path}"
            yield warn(message, f"{context.with_config(used)} check")


def arguments(context: Context, runner: Runner, stage: str, prepare_timeout_s: int | None = None) -> Edit:
    """Return the edit that gives a stage the arguments that it should have."""
    own, given = runner.own_arguments(stage), runner.arguments(stage)
    before = given[: len(given) - len(own)] if own is not None else []
    words = [*before, "--config", _best_gate_yaml(context, runner), stage]
    if stage == "prepare":
        timeout_s = prepare_timeout_s or told_prepare_timeout(runner) or exec_timeout(runner)
        words += [PREPARE_TIMEOUT, str(timeout_s)]
    return Edit(f"{stage}_args", words, runner, "custom")


def told_prepare_timeout(runner: Runner) -> int | None:
    """Return the seconds that prepare gets, None where that is no number, or nothing."""
    _file, words = split(runner.own_arguments("prepare") or [])
    option, _, value = " ".join(words[1:]).replace("=", " ", 1).partition(" ")
    return int(value) if option == PREPARE_TIMEOUT and value.isascii() and value.isdigit() else None


def exec_timeout(runner: Runner) -> int:
    """Return after how many seconds the runner ends prepare."""
    return runner.seconds("prepare_exec_timeout")


def _best_gate_yaml(context: Context, runner: Runner) -> str:
    used = runner.gate_yaml
    return used if os.path.exists(used) else os.path.abspath(context.gate_yaml.path)


def _program(context: Context, runner: Runner) -> str:
    """The program that most stages call, of those that there are; otherwise this installation's."""
    named = [runner.program(stage) for stage in STAGES if runner.own_arguments(stage) is not None]
    there = [program for program in named if os.path.isabs(program) and os.path.isfile(program)]
    return Counter(there).most_common(1)[0][0] if there else context.executor


def _stage(context: Context, runner: Runner, stage: str) -> Iterator[Finding]:
    program, right = runner.program(stage), _program(context, runner)
    who, rewire = f"runner {runner.name}: {stage}_exec", Edit(f"{stage}_exec", right, runner, "custom")

    if not program:
        message = f"{who} is missing: {_WITHOUT[stage]}"
        yield fail(message, rewire, arguments(context, runner, stage))
    elif runner.own_arguments(stage) is None:
        yield fail(f"{who} is {program!r}, and not gate-executor", rewire, arguments(context, runner, stage))
    elif not os.path.isabs(program):
        message = f"{who} is {program!r}: write its whole path; a runner that systemd starts has hardly any PATH"
        yield fail(message, rewire)
    elif not os.path.isfile(program):
        yield fail(f"{who}: there is no {program}", rewire)
    elif not os.stat(program).st_mode & 0o111:
        yield fail(f"{who}: {program} cannot be executed", at(context, program, f"chmod 0755 {shlex.quote(program)}"))
    elif program != right:
        yield fail(f"{who} is {program}, and other stages call {right}", rewire)
    else:
        yield from _arguments(context, runner, stage)


def _start(context: Context, runner: Runner) -> Iterator[Finding]:
    """Really start it, as the runner does, unless somebody else could have changed it: then `programs` tells."""
    program, own = _program(context, runner), runner.own_arguments("config") or []
    before = runner.arguments("config")[: len(runner.arguments("config")) - len(own)]
    if any(path_problems(path, context.runner_uid) for path in (program, *filter(os.path.isabs, before))):
        return
    said = context.system.said(program, *before, "--help").strip()
    if USAGE.partition("[")[0] in said:  # of another version, the options may differ
        return
    ours = [Edit(f"{stage}_exec", context.executor, runner, "custom") for stage in STAGES]
    is_other = not before and program != context.executor and os.path.isfile(context.executor)
    message = (
        f"runner {runner.name}: {program} does not start as the gate's: {_last(said) or 'it says nothing'}: install "
        "it again, or wire another"
    )
    yield fail(message, *(ours if is_other else []))


def _last(text: str) -> str:
    return text.splitlines()[-1] if text else ""


def _arguments(context: Context, runner: Runner, stage: str) -> Iterator[Finding]:
    file, words = split(runner.own_arguments(stage) or [])
    who = f"runner {runner.name}: {stage}_args"
    fix = arguments(context, runner, stage)
    if REHEARSAL in words:
        message = f"{who} has {REHEARSAL}: each job would be recorded as a rehearsal, and be in no figures"
        yield fail(message, fix)
    elif words[:1] != [stage]:
        yield fail(f"{who} names {' '.join(words) or 'no stage'}, and not the stage {stage}", fix)
    elif stage != "prepare" and words[1:]:
        yield fail(f"{who} has {' '.join(words[1:])!r} behind the stage, which gate-executor does not take", fix)
    elif file is not None and not os.path.isabs(file):
        message = f"{who}: --config {file!r}: write its whole path; the runner starts stages in a directory of its own"
        yield fail(message, fix)
    elif (file or DEFAULT_CONFIG) != runner.gate_yaml:
        yield fail(f"{who}: --config {file or DEFAULT_CONFIG}, and other stages go by {runner.gate_yaml}", fix)


_WITHOUT = {
    "config": "no request is made, and every job fails",
    "prepare": "no one is asked, and every job fails",
    "run": "the runner takes no job",
    "cleanup": "what a job leaves stays, and its end is not in the audit log",
}
