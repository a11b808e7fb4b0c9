"""How long the runner lets a job wait, and how it ends one: the clocks that the gate cannot see from inside."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from executor.checks.context import Context
from executor.checks.finding import Edit, Finding, fail, ok, warn
from executor.checks.runner.stages import PREPARE_TIMEOUT, arguments, exec_timeout, told_prepare_timeout
from executor.runner_config import Runner, split
from executor.runner_contract import EXEC_TIMEOUT_S, FORCE_KILL_TIMEOUT_S
from gate.model.rules import MIN_PREPARE_TIMEOUT_S, PREPARE_MARGIN_S

if TYPE_CHECKING:
    from gate.shapes import Rule

MIN_GRACEFUL_S = 15
MIN_FORCE_S = 5
MIN_EXEC_S = 30
GRACEFUL_S = 60
_DURATION = re.compile(r"([0-9.]+)(ms|h|m|s)")
_UNIT_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}


def prepare(context: Context) -> Iterator[Finding]:
    """Both prepare timeouts are one, and long enough for the rules."""
    for runner in context.runners:
        if runner.own_arguments("prepare") is None:
            yield warn(f"not looked at: prepare of runner {runner.name} is not wired, see stages")
            continue
        faults = list(_prepare(context, runner))
        yield from faults
        if not faults:
            yield ok(f"runner {runner.name}: a job may wait for {exec_timeout(runner)} s, and the gate knows")


def kill(context: Context) -> Iterator[Finding]:
    """What is ended has the time to write that down, and is not waited for without end."""
    too_soon = list(_shutdown(context))
    yield from too_soon
    for runner in context.runners:
        faults = list(_kill(context, runner))
        yield from faults
        if not faults and not too_soon:
            graceful_s = runner.seconds("graceful_kill_timeout")
            yield ok(f"runner {runner.name}: a stage that is ended has {graceful_s} s for it")


def _prepare(context: Context, runner: Runner) -> Iterator[Finding]:
    who, limit_s = f"runner {runner.name}", exec_timeout(runner)
    longest_s, rule = max(((each["decide_within_s"], each["name"]) for each in _rules(context)), default=(0, ""))
    told_s = _told(runner)
    best_s = max(told_s or 0, limit_s, longest_s + PREPARE_MARGIN_S)
    if told_s is None or told_s < MIN_PREPARE_TIMEOUT_S:
        words = " ".join(split(runner.own_arguments("prepare") or [])[1][1:])
        message = (
            f"{who}: prepare_args has {words!r}: write {PREPARE_TIMEOUT} and the seconds, "
            f"{MIN_PREPARE_TIMEOUT_S} or more"
        )
        yield fail(message, *_both(context, runner, best_s))
    elif told_s != limit_s:
        message = f"{who}: {PREPARE_TIMEOUT} is {told_s}, and prepare_exec_timeout {limit_s}: both must be the same"
        yield fail(message, *_both(context, runner, best_s))
    elif longest_s + PREPARE_MARGIN_S > limit_s:
        message = (
            f"{who}: a job may wait for {limit_s} s, and rule {rule!r} gives {longest_s} s to decide, and "
            f"{PREPARE_MARGIN_S} s more"
        )
        yield warn(message, *_both(context, runner, best_s))
    outer_s = _span(runner.table.get("prepare_timeout"))
    if outer_s and outer_s < limit_s:
        message = f"{who}: prepare_timeout ends each wait after {outer_s:g} s, and says nothing to the gate"
        yield fail(message, Edit("prepare_timeout", None, runner))


def _told(runner: Runner) -> int | None:
    """What prepare goes by: None where it would refuse its arguments."""
    _file, words = split(runner.own_arguments("prepare") or [])
    return told_prepare_timeout(runner) if words[1:] else EXEC_TIMEOUT_S


def _both(context: Context, runner: Runner, seconds: int) -> tuple[Edit, Edit]:
    limit = Edit("prepare_exec_timeout", seconds, runner, "custom")
    return arguments(context, runner, "prepare", seconds), limit


def _rules(context: Context) -> "list[Rule]":
    return context.gate_yaml.policy["rules"] if context.gate_yaml.policy else []


def _span(value: object) -> float:
    """A Go duration such as 30s or 1h30m, in seconds; 0 where it is none."""
    return sum(float(number) * _UNIT_S[unit] for number, unit in _DURATION.findall(str(value or "")))


def _kill(context: Context, runner: Runner) -> Iterator[Finding]:
    yield from _graceful(context, runner)
    for key, least_s, best_s, why in (
        ("force_kill_timeout", MIN_FORCE_S, FORCE_KILL_TIMEOUT_S, "a killed stage's job needs {} s to end"),
        ("config_exec_timeout", MIN_EXEC_S, 10 * MIN_EXEC_S, "config may take {} s"),
        ("cleanup_exec_timeout", MIN_EXEC_S, 10 * MIN_EXEC_S, "cleanup may take {} s"),
    ):  # fmt: skip
        limit_s = runner.seconds(key)
        if limit_s < least_s:
            message = f"runner {runner.name}: {key} is {limit_s} s, and on a busy host {why.format(least_s)}"
            yield warn(message, Edit(key, best_s, runner, "custom"))


def _graceful(context: Context, runner: Runner) -> Iterator[Finding]:
    graceful_s = runner.seconds("graceful_kill_timeout")
    longest_s = max((each["decide_within_s"] for each in _rules(context)), default=graceful_s)
    message = f"runner {runner.name}: graceful_kill_timeout is {graceful_s} s"
    if graceful_s < MIN_GRACEFUL_S:
        message += f": a job that is cancelled needs {MIN_GRACEFUL_S} s to be recorded"
        yield fail(message, Edit("graceful_kill_timeout", GRACEFUL_S, runner, "custom"))
    elif graceful_s > longest_s:
        message += ", longer than any rule gives to decide: so long a stage that hangs is left alone"
        best_s = max(MIN_GRACEFUL_S, min(GRACEFUL_S, longest_s))
        yield warn(message, Edit("graceful_kill_timeout", best_s, runner, "custom"))


def _shutdown(context: Context) -> Iterator[Finding]:
    limit_s = context.runner_config.shutdown_timeout_s
    ending_s, name = max((_ending_s(runner), runner.name) for runner in context.runners)
    if limit_s < ending_s:
        message = (
            f"shutdown_timeout is {limit_s} s, less than the {ending_s} s in which runner {name} ends a stage: "
            "a runner that stops would leave jobs behind, without cleanup"
        )
        yield warn(message, Edit("shutdown_timeout", ending_s + 5))


def _ending_s(runner: Runner) -> int:
    graceful_s = runner.seconds("graceful_kill_timeout")
    return graceful_s + runner.seconds("force_kill_timeout")
