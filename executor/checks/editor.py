"""The commands that fix, as an operator types them: for the gate's own paths only.

What is on the way to these is the host's: a command that opens /root to everybody, or gives /home away, would
do more harm than the fault. There a sentence says what the choices are, and people choose.
"""

import os
import shlex
from collections.abc import Iterator

from config.host import CHOICE, OURS, Weakness
from executor.checks.context import Context
from executor.checks.finding import Finding, fail
from executor.runner_config import EXECUTOR, STAGES

_RUNNERS = "/etc/gitlab-runner"


def in_editor(path: str, line: int = 0) -> str:
    """Return the command that opens a file, at a line."""
    return f"${{EDITOR:-vi}} {f'+{line} ' if line else ''}{shlex.quote(path)}"


def owns(context: Context, place: str) -> bool:
    """Return whether a path is the gate's own, or the runner's config.toml: a command may change that one."""
    return any(place == own or place.startswith(f"{own}/") for own in _own(context))


def at(context: Context, place: str, command: str) -> str:
    """Return a command that changes `place`, empty where that is not the gate's own."""
    return command if owns(context, place) else ""


def weak(context: Context, each: Weakness, why: str = "") -> Finding:
    """Return the finding for a place that others could change; `why` that matters."""
    if owns(context, each.place):
        return fail(f"{each.fault}: {each.advice}{why}", each.fix)
    return fail(f"{each.fault}{why}: {each.advice}{CHOICE}")


def _own(context: Context) -> Iterator[str]:
    policy = context.gate_yaml.policy
    page = policy.get("page") if policy else None
    sockets = [path for path in (page["socket"], page["proxy_socket"]) if path] if page else []
    files = [context.gate_yaml.path, context.runner_config.path, *sockets]
    yield from (*files, *context.code, *([policy["state_dir"]] if policy else []))
    for directory in map(os.path.dirname, files):
        if directory == _RUNNERS or os.path.basename(directory).startswith(OURS):
            yield directory
    wired = [program for runner in context.runners for stage in STAGES if (program := runner.program(stage))]
    for program in (context.executor, *wired):
        venv = os.path.dirname(os.path.dirname(program))
        if os.path.basename(program) == EXECUTOR:
            yield venv if os.path.exists(os.path.join(venv, "pyvenv.cfg")) else program
