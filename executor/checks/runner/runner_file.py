"""config.toml as a file: that it is the runner's own, and says what it says in the right form."""

import os
import shlex
import stat
from collections.abc import Iterator

from config.host import weaknesses
from executor.checks.context import Context
from executor.checks.editor import in_editor, weak
from executor.checks.finding import Edit, Finding, fail, ok, warn
from executor.runner_config import BYTE_ORDER_MARK, STAGES, Runner, RunnerConfig, Toml

_NUMBERS = ("concurrent", "check_interval", "shutdown_timeout")
_RUNNER_TEXTS = ("name", "url", "token", "shell", "builds_dir", "cache_dir")
_RUNNER_NUMBERS = ("limit", "request_concurrency", "output_limit")
_CUSTOM_NUMBERS = ("config_exec_timeout", "prepare_exec_timeout", "cleanup_exec_timeout", "graceful_kill_timeout", "force_kill_timeout")  # fmt: skip


def find(context: Context) -> Iterator[Finding]:
    """See the module."""
    config = context.runner_config
    if config.tables is None and not config.text:
        yield _missing(context)
        return
    faults = [*_others(context), *_forms(config)]
    yield from faults
    if not faults:
        yield ok(f"{config.path} is {context.runner_user}'s alone")


def _missing(context: Context) -> Finding:
    config = context.runner_config
    if config.may_be_there and context.own_uid not in (0, context.runner_uid):
        return warn(f"{config.path}: {config.fault}", context.as_root)
    return (fail if config.named else warn)(
        f"{config.path}: {config.fault}: name the runner's own with --runner-config"
    )


def _others(context: Context) -> Iterator[Finding]:
    """It names what the runner executes, and holds the runner's token."""
    path = context.runner_config.path
    yield from (weak(context, each) for each in weaknesses(path, context.runner_uid))
    mode = stat.S_IMODE(os.stat(path).st_mode)
    if mode & 0o044:
        message = f"{path} can be read by others than its owner (mode {mode:04o}), and it holds the runner's token"
        yield warn(message, f"chmod go-r {shlex.quote(path)}")


def _forms(config: RunnerConfig) -> Iterator[Finding]:
    """Yield what would keep the runner from starting: it takes no other types."""
    if config.tables is None:
        unmarked = rf"sed -i '1s/^\xEF\xBB\xBF//' {shlex.quote(config.path)}"
        is_marked = config.text.startswith(BYTE_ORDER_MARK)
        yield fail(f"{config.path} is {config.fault}", unmarked if is_marked else in_editor(config.path))
        return
    yield from _no_numbers(config, config.tables, _NUMBERS, Edit(""))
    for runner in config.custom():
        yield from _no_numbers(config, runner.table, _RUNNER_NUMBERS, Edit("", None, runner))
        yield from _no_numbers(config, runner.custom, _CUSTOM_NUMBERS, Edit("", None, runner, "custom"))
        yield from _no_texts(config, runner)
        for key in (key for key in _RUNNER_TEXTS if not isinstance(runner.table.get(key, ""), str)):
            yield fail(f"{key} is {runner.table[key]!r}: write one text, in quotes", in_editor(config.path))


def _no_texts(config: RunnerConfig, runner: Runner) -> Iterator[Finding]:
    for stage in STAGES:
        program, arguments = runner.custom.get(f"{stage}_exec", ""), runner.custom.get(f"{stage}_args", [])
        if not isinstance(program, str):
            message = f"runner {runner.name}: {stage}_exec is {program!r}: write one text, in quotes"
            yield fail(message, in_editor(config.path))
        if not isinstance(arguments, list) or not all(isinstance(each, str) for each in arguments):
            message = f"runner {runner.name}: {stage}_args is {arguments!r}: write a list of texts, each in quotes"
            yield fail(message, in_editor(config.path))


def _no_numbers(config: RunnerConfig, table: Toml, keys: tuple[str, ...], at: Edit) -> Iterator[Finding]:
    for key in keys:
        value = table.get(key, 0)
        if isinstance(value, int) and not isinstance(value, bool):
            continue
        digits = value if isinstance(value, str) and value.isascii() and value.isdigit() else ""
        fix = Edit(key, int(digits), at.runner, at.table) if digits else in_editor(config.path)
        yield fail(f"{key} is {value!r}: write a whole number, without quotes", fix)
