"""Making what a plan says is missing, by the programs that it names.

gate.yaml last, once it has passed its own check.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from config.accounts import SystemHost
from config.faults import ConfigError, Fault
from config.host import check_state_dir, path_problems
from config.load import policy_from
from gate import TOOL_PATH
from gate.errors import GateError
from gate.setup.resources import MismatchError
from gate.store import audit_key
from gate.store.files import StateError, write_once

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from audit.keys import Verifier
    from config.accounts import Host
    from gate.setup.plan import Plan
    from gate.setup.resources import Thing
    from gate.shapes import Policy

GATE_YAML_MODE = 0o644
LOCK = "/run/gitlab-runner-gate-init.lock"
_AGAIN = "what was made before stays, so run `gate init` again once that is fixed"


class MakingError(GateError):
    """Something could not be made; one line, with what to do."""


def make(plan: Plan, tell: Callable[[str], None]) -> tuple[Policy, Verifier]:
    """Make all of it, reporting each thing once it is there; returns the policy, and the key to verify checkpoints.

    Raises:
        MakingError: something could not be made; what was made before is found by the next run.
    """
    with _alone() if plan.answers.has_users else nullcontext():
        return _make_all(plan, tell)


@contextmanager
def _alone() -> Iterator[None]:
    """Hold off others like this: two with other answers would make one host of both."""
    from filelock import FileLock, Timeout

    lock = FileLock(LOCK, timeout=0, mode=0o600)
    try:
        lock.acquire()
    except Timeout as error:
        raise MakingError("another `gate init` is at work here: let it end, and look what it has made") from error
    except (OSError, NotImplementedError) as error:
        raise MakingError(f"cannot lock {LOCK}: {getattr(error, 'strerror', None) or error}") from error
    try:
        yield
    finally:
        lock.release()


def _make_all(plan: Plan, tell: Callable[[str], None]) -> tuple[Policy, Verifier]:
    for maker, things in plan.steps:
        _run(maker, things)
        for thing in things:
            tell(thing.name)
    try:
        if audit_key.make(plan.answers.state_dir, plan.answers.site):
            tell("the key that checkpoints of the audit log are signed with")
        verifier = audit_key.load(plan.answers.state_dir).verifier
        policy = _write(plan.answers.config, plan.text.encode(), plan.answers.runner.uid)
    except (StateError, ConfigError) as error:
        raise MakingError(f"{error}; {_AGAIN}") from error
    tell(plan.answers.config)
    return policy, verifier


def _run(maker: tuple[str, ...], things: list[Thing]) -> None:
    """Raises MakingError."""
    host = SystemHost()
    left = [thing for thing in things if not _is_there(thing, host)]  # a directory's owner may have been made meanwhile
    if not left:
        return
    lines = "".join(f"{thing.line}\n" for thing in left if thing.line)
    environment = {"PATH": TOOL_PATH, "LC_ALL": "C.UTF-8", "SYSTEMD_LOG_LEVEL": "notice"}
    try:
        done = subprocess.run(maker, input=lines.encode(), check=False, capture_output=True, env=environment, cwd="/")
    except OSError as error:
        raise MakingError(f"cannot make {left[0].name}: {error}; {_AGAIN}") from error
    for thing in left:
        if not _is_there(thing, host):
            said = " ".join(done.stderr.decode(errors="replace").split()) or f"{maker[0]} ended with {done.returncode}"
            raise MakingError(f"cannot make {thing.name}: {said}; {_AGAIN}")


def _is_there(thing: Thing, host: Host) -> bool:
    try:
        return thing.is_there(host)
    except MismatchError as error:
        raise MakingError(f"cannot make {thing.name}: {error}; {_AGAIN}") from error


def _write(path: str, text: bytes, runner_uid: int) -> Policy:
    """Check the text as it will be read, users and all, and only then put it in its place.

    Raises:
        ConfigError: it, or its directory, does not pass.
        StateError: it cannot be written, or something has that name by now.
    """
    policy = policy_from(text, path, runner_uid=runner_uid)
    directory, name = os.path.split(path)
    problems = [*path_problems(directory, runner_uid), *check_state_dir(policy["state_dir"], runner_uid)]
    problems += [
        aside["message"].removeprefix(f"{path}:") for aside in policy["asides"]
    ]  # all that is named was to be made
    if problems:
        raise ConfigError([Fault(path, 0, 0, problem) for problem in problems])
    if not write_once(directory, name, text, GATE_YAML_MODE):
        raise StateError(f"{path} is there by now, and not of this `gate init`")
    return policy
