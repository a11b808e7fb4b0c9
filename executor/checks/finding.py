"""What a check has found: in one line for people, with what fixes it: a shell command, or changes of config.toml."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from executor.runner_config import Runner

OK, WARN, FAIL = "ok", "warn", "fail"
Value = str | int | bool | list[str] | None


@dataclass(frozen=True)
class Edit:
    """A key of a runner's table, or, without a runner, of config.toml itself, and its new value; None: it goes."""

    key: str
    value: Value = None
    runner: Runner | None = None
    table: str = ""

    def __str__(self) -> str:
        """Return the line to write, and where."""
        header = f"[runners.{self.table}]" if self.table else "[[runners]]"
        where = f"in {header} of runner {self.runner.name}" if self.runner else "at the top"
        # A string, number, list or boolean of JSON is one of TOML, too.
        line = json.dumps(self.value, ensure_ascii=False)
        return f"remove {self.key} {where}" if self.value is None else f"{where}: {self.key} = {line}"


@dataclass(frozen=True)
class Finding:
    """One finding. `state` is ok, warn or fail; `fix` is a shell command, empty where none would do.

    `edits` are what config.toml needs, of which `Check.run` makes the command. `place` is the path that it is about,
    where other checks may have something to say of the same.
    """

    check: str
    state: str
    message: str
    fix: str = ""
    edits: tuple[Edit, ...] = ()
    place: str = ""


def ok(message: str) -> Finding:
    """Return a finding that all is well; the check that runs the function gives it its name."""
    return Finding("", OK, message)


def warn(message: str, *fix: str | Edit, place: str = "") -> Finding:
    """Return a finding of what works, but not as people would expect; `fix` is one command, or edits of config.toml."""
    return _finding(WARN, message, fix, place)


def fail(message: str, *fix: str | Edit, place: str = "") -> Finding:
    """Return a finding of what does not work, or does not keep people out; `fix` as for `warn`."""
    return _finding(FAIL, message, fix, place)


def _finding(state: str, message: str, fix: tuple[str | Edit, ...], place: str) -> Finding:
    command = "".join(each for each in fix if isinstance(each, str))
    return Finding("", state, message, command, tuple(each for each in fix if isinstance(each, Edit)), place)
