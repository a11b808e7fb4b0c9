"""Making what a plan says is missing, each thing by its command; gate.yaml last, once it has passed its own check."""

from __future__ import annotations

import fcntl
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
    from gate.setup.plan import Plan
    from gate.setup.resources import Thing
    from gate.shapes import Policy

GATE_YAML_MODE = 0o644
_AGAIN = "what was made before stays, so run `gate init` again once that is mended"


class MakingError(GateError):
    """Something could not be made; one line, with what to do."""


def make(plan: Plan, tell: Callable[[str], None]) -> tuple[Policy, Verifier]:
    """Make all of it, reporting each thing once it is there; returns the policy, and the key to verify checkpoints.

    Raises:
        MakingError: something could not be made; what was made before is found by the next run.
    """
    with _alone(plan.answers.runner.home) if plan.answers.has_users else nullcontext():
        return _make_all(plan, tell)


@contextmanager
def _alone(home: str) -> Iterator[None]:
    """Hold off others like this: two useradd(8) at once for one name both succeed, each with another uid."""
    where = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(where, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise MakingError("another `gate init` is at work here: let it end, and look what it has made") from error
        yield
    finally:
        os.close(where)


def _make_all(plan: Plan, tell: Callable[[str], None]) -> tuple[Policy, Verifier]:
    for thing in plan.missing:
        _make(thing)
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


def _make(thing: Thing) -> None:
    """Raises MakingError."""
    host = SystemHost()
    try:
        if thing.is_there(host):  # judged anew: its owner may have been made meanwhile
            return
        options = {"stdin": subprocess.DEVNULL, "env": {"PATH": TOOL_PATH, "LC_ALL": "C"}, "cwd": "/"}
        done = subprocess.run(thing.command, check=False, capture_output=True, text=True, errors="replace", **options)  # type: ignore[call-overload]
        if not thing.is_there(host):
            said = " ".join(done.stderr.split()) or f"{thing.command[0]} ended with {done.returncode}"
            raise MakingError(f"cannot make {thing.name}: {said}; {_AGAIN}")
    except (MismatchError, OSError) as error:
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
