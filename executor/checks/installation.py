"""The programs that run as the gate: that no one else can change a file of them, or exchange one on the way there."""

import os
import shlex
import stat
from collections.abc import Iterator

from config.host import entry_weaknesses, weaknesses, weaknesses_so_far
from config.notice import unusable
from executor.checks.context import Context
from executor.checks.editor import at, in_editor, weak
from executor.checks.finding import Finding, fail, ok
from executor.runner_config import STAGES


def find(context: Context) -> Iterator[Finding]:
    """See the module."""
    found = {tree for path in _programs(context) for tree in _trees(path)} | set(context.code)
    trees = sorted(tree for tree in found if not any(_in(tree, other) for other in found))
    faults = [fault for tree in trees for fault in _tree(tree, context)]
    yield from faults
    if not faults:
        yield ok(f"{', '.join(trees)}: only {context.runner_user} can change what runs as the gate")


def on_event(context: Context) -> Iterator[Finding]:
    """The command of `on_event`: the gate runs it as itself."""
    command = context.policy["on_event"]
    if not command:
        yield ok("no command gets notices")
        return
    path = command[0]
    found = weaknesses_so_far(path, context.runner_uid)
    yield from (weak(context, each, f"; it runs as {context.runner_user}") for each in found)
    if found:
        return
    why = unusable(path)
    if not why:
        yield ok(f"{path} can be run")
    elif os.path.isfile(path):
        yield fail(why, at(context, path, f"chmod 0755 {shlex.quote(path)}"))
    else:
        yield fail(why, f"{in_editor(context.gate_yaml.path)}  # on_event: name a program, or take it out")


def _programs(context: Context) -> set[str]:
    wired = {runner.program(stage) for runner in context.runners for stage in STAGES}
    return {path for path in {*wired, context.executor} if os.path.isabs(path) and os.path.exists(path)}


def _trees(program: str) -> Iterator[str]:
    """The venv that a program lies in; where it is in none, the program itself."""
    prefix = os.path.dirname(os.path.dirname(os.path.realpath(program)))
    yield prefix if os.path.exists(os.path.join(prefix, "pyvenv.cfg")) else program


def _tree(top: str, context: Context) -> Iterator[Finding]:
    on_the_way = weaknesses(top, context.runner_uid)
    python = os.path.join(top, "bin", "python")
    on_the_way += weaknesses(python, context.runner_uid) if os.path.exists(python) else []
    yield from (
        weak(context, each) for each in dict.fromkeys(on_the_way) if each.place == top or not _in(each.place, top)
    )
    inside = [each for place in _below(top) for each in entry_weaknesses(place, os.lstat(place), context.runner_uid)]
    if inside:
        more = f" (and {len(inside) - 1} more there)" if len(inside) > 1 else ""
        quoted = shlex.quote(top)
        fix = f"chown -Rh {context.runner_user} {quoted} && chmod -R go-w {quoted}"
        yield fail(f"{inside[0].message}{more}", at(context, top, fix))


def _in(place: str, top: str) -> bool:
    return place.startswith(f"{top}/")


def _below(top: str) -> Iterator[str]:
    for directory, directories, files in os.walk(top):
        for name in (*directories, *files):
            place = os.path.join(directory, name)
            if not stat.S_ISLNK(os.lstat(place).st_mode):
                yield place
