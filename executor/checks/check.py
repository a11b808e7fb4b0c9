"""One named check: what it looks at, what it cannot do without, and how it is run."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import Enum

from config.host import reason
from executor.checks import edits
from executor.checks.context import Context
from executor.checks.finding import WARN, Finding, fail, warn


class Need(Enum):
    """What a check cannot do without, and what is said of it otherwise."""

    POLICY = "not looked at: fix gate.yaml first"
    STATE = "not looked at: state_dir is not there yet, see state"
    RUNNERS = "not looked at: no [[runners]] that calls gate-executor is known, see runner-config and runners"
    POWER = "not looked at: only root and the gate's own user can"


@dataclass(frozen=True)
class Check:
    """One named check: `looks_at` is its line in docs/reference/checks.md."""

    name: str
    looks_at: str
    find: Callable[[Context], Iterator[Finding]]
    needs: tuple[Need, ...] = ()

    def run(self, context: Context) -> list[Finding]:
        """Return all that it finds, never nothing: what could not be looked at is a warning or a fault, never ok."""
        missing = next((need for need in self.needs if not _has(context, need)), None)
        if missing:
            return [Finding(self.name, WARN, missing.value, context.as_root if missing is Need.POWER else "")]
        found: list[Finding] = []
        try:
            found += self.find(context)
        except PermissionError as error:
            found.append(warn(f"cannot look at {error.filename}: {reason(error)}", context.as_root))
        except OSError as error:
            found.append(fail(f"cannot be looked at: {reason(error)}{f': {error.filename}' if error.filename else ''}"))
        return [replace(each, check=self.name, fix=_fix(each, context)) for each in found]


def _fix(found: Finding, context: Context) -> str:
    return edits.command(context, found.edits) if found.edits else found.fix


def _has(context: Context, need: Need) -> bool:
    if need is Need.POLICY:
        return context.gate_yaml.policy is not None
    if need is Need.STATE:
        return os.path.isdir(context.policy["state_dir"])
    if need is Need.RUNNERS:
        return bool(context.runners)
    return context.own_uid in (0, context.runner_uid)
