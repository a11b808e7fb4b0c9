"""config.toml as a file: that it is the runner's own, and says what it says in the right form."""

import os
import shlex
import stat
from collections.abc import Iterator

from config.host import weaknesses
from executor.checks.context import Context
from executor.checks.editor import in_editor, weak
from executor.checks.finding import Edit, Finding, fail, ok, warn
from executor.runner_config import BYTE_ORDER_MARK, RunnerConfig


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
    for odd in config.odd():
        is_meant = odd.number is not None
        edit = Edit(odd.key, odd.number, odd.runner, odd.table) if is_meant else in_editor(config.path)
        yield fail(str(odd), edit)
