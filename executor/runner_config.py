"""gitlab-runner's config.toml, as `gate check` and `gate rehearse` read it: whatever stands in it, nothing here raises.

Names and defaults are gitlab-runner's own (its docs/configuration/advanced-configuration.md, and
executors/custom/consts.go).
"""

import os
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeGuard

from config.host import reason
from executor.entry import entry_point
from executor.runner_contract import EXEC_TIMEOUT_S, FORCE_KILL_TIMEOUT_S, GRACEFUL_KILL_TIMEOUT_S
from gate import DEFAULT_CONFIG

Toml = dict[str, Any]  # a table of config.toml, as it was written: anything may be missing, or be of another type

DEFAULT_PATH = "/etc/gitlab-runner/config.toml"
STAGES = ("config", "prepare", "run", "cleanup")
SHUTDOWN_TIMEOUT_S = 30
DEFAULT_CONCURRENT = 1
BYTE_ORDER_MARK = "\ufeff"
EXECUTOR = "gate-executor"
GATES = (EXECUTOR, os.path.basename(entry_point()))  # by which a word of a command line is known as the gate
TIMEOUTS_S = {
    "config_exec_timeout": EXEC_TIMEOUT_S,
    "prepare_exec_timeout": EXEC_TIMEOUT_S,
    "cleanup_exec_timeout": EXEC_TIMEOUT_S,
    "graceful_kill_timeout": GRACEFUL_KILL_TIMEOUT_S,
    "force_kill_timeout": FORCE_KILL_TIMEOUT_S,
}

_NUMBER, _TEXT = "a whole number, without quotes", "one text, in quotes"
_TEXTS, _TABLE = "a list of texts, each in quotes", "a table, as in runner-config.example.toml"
_OF_THE_FILE = dict.fromkeys(("concurrent", "check_interval", "shutdown_timeout"), _NUMBER)
_OF_A_RUNNER = {
    **dict.fromkeys(("name", "url", "token", "shell", "builds_dir", "cache_dir"), _TEXT),
    **dict.fromkeys(("limit", "request_concurrency", "output_limit"), _NUMBER),
    "environment": _TEXTS,
    "custom": _TABLE,
}
_OF_CUSTOM = {
    **dict.fromkeys(TIMEOUTS_S, _NUMBER),
    **{f"{stage}_exec": _TEXT for stage in STAGES},
    **{f"{stage}_args": _TEXTS for stage in STAGES},
}
_HUSHED = ("token", "environment")


@dataclass(frozen=True)
class Odd:
    """A value of a type with which the runner does not start."""

    key: str
    value: object
    should_be: str
    runner: "Runner | None" = None
    table: str = ""

    def __str__(self) -> str:
        """Return what is wrong, and what to write."""
        who = f"runner {self.runner.name}: " if self.runner else ""
        value = "of another type" if self.key in _HUSHED else repr(self.value)
        return f"{who}{self.key} is {value}: write {self.should_be}"

    @property
    def number(self) -> int | None:
        """The number that is meant, where it only stands in quotes."""
        return int(self.value) if self.should_be == _NUMBER and _is_digits(self.value) else None


@dataclass(frozen=True)
class Runner:
    """One entry of [[runners]], the `number`th from 0."""

    number: int
    table: Toml

    @property
    def name(self) -> str:
        """What it is called, for people."""
        return repr(self.table.get("name") or f"number {self.number + 1}")

    @property
    def custom(self) -> Toml:
        """Its [runners.custom]."""
        found = self.table.get("custom")
        return found if isinstance(found, dict) else {}

    def program(self, stage: str) -> str:
        """The `<stage>_exec`; empty where the stage is not wired."""
        found = self.custom.get(f"{stage}_exec")
        return found if isinstance(found, str) else ""

    def arguments(self, stage: str) -> list[str]:
        """The `<stage>_args`."""
        found = self.custom.get(f"{stage}_args")
        return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []

    def own_arguments(self, stage: str) -> list[str] | None:
        """Those that gate-executor itself gets; None where the stage calls something else."""
        arguments = self.arguments(stage)
        if os.path.basename(self.program(stage)) == EXECUTOR:
            return arguments
        entries = [i for i, each in enumerate(arguments) if os.path.basename(each) == GATES[1]]
        return arguments[entries[0] + 1 :] if entries else None

    @property
    def gate_yaml(self) -> str:
        """The gate.yaml that most of its stages name."""
        named = [split(own)[0] for stage in STAGES if (own := self.own_arguments(stage))]
        absolute = [file for file in named if file and os.path.isabs(file)]
        return Counter(absolute).most_common(1)[0][0] if absolute else DEFAULT_CONFIG

    def seconds(self, key: str) -> int:
        """A timeout of [runners.custom]; the runner's default where there is none, or one that is not above 0."""
        return positive(self.custom, key, TIMEOUTS_S[key])

    def odd(self) -> Iterator[Odd]:
        """Yield each value of a type with which the runner does not start."""
        yield from _odd(self.table, _OF_A_RUNNER, self)
        yield from _odd(self.custom, _OF_CUSTOM, self, "custom")


@dataclass(frozen=True)
class RunnerConfig:
    """The file; `tables` is None where it cannot be read, and `fault` says why.

    `named`: somebody asked for this one.
    """

    path: str
    named: bool = False
    text: str = ""
    tables: Toml | None = None
    fault: str = ""
    may_be_there: bool = True

    def gated(self) -> tuple[Runner, ...]:
        """The runners of which some stage calls a gate-executor."""
        return tuple(each for each in self.custom() if any(each.own_arguments(stage) is not None for stage in STAGES))

    def custom(self) -> list[Runner]:
        """The runners with the custom executor."""
        return [each for each in self.all() if each.table.get("executor") == "custom"]

    def odd(self) -> Iterator[Odd]:
        """Yield each value of a type with which the runner does not start.

        Of runners, those with the custom executor.
        """
        yield from _odd(self.tables or {}, _OF_THE_FILE)
        yield from (each for runner in self.custom() for each in runner.odd())

    def all(self) -> list[Runner]:
        """All runners, whatever they do."""
        found = (self.tables or {}).get("runners")
        tables = enumerate(found) if isinstance(found, list) else []
        return [Runner(i, table) for i, table in tables if isinstance(table, dict)]

    @property
    def concurrent(self) -> int:
        """How many jobs may run at once, over all runners."""
        return positive(self.tables or {}, "concurrent", DEFAULT_CONCURRENT)

    @property
    def shutdown_timeout_s(self) -> int:
        """How long a stopping runner waits for its jobs."""
        return positive(self.tables or {}, "shutdown_timeout", SHUTDOWN_TIMEOUT_S)


def _odd(table: Toml, forms: dict[str, str], runner: Runner | None = None, name: str = "") -> Iterator[Odd]:
    for key in filter(table.__contains__, forms):
        if not _is(table[key], forms[key]):
            yield Odd(key, table[key], forms[key], runner, name)


def _is(value: object, form: str) -> bool:
    if form == _TEXTS:
        return isinstance(value, list) and all(isinstance(each, str) for each in value)
    wanted = {_NUMBER: int, _TEXT: str, _TABLE: dict}[form]
    return isinstance(value, wanted) and not isinstance(value, bool)


def _is_digits(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and value.isascii() and value.isdigit()


def positive(table: Toml, key: str, default: int) -> int:
    """Return a whole number above 0 of a table, or the default, as the runner does; one in quotes is reported apart."""
    found = table.get(key)
    found = int(found) if _is_digits(found) else found
    return found if isinstance(found, int) and not isinstance(found, bool) and found > 0 else default


def split(arguments: list[str]) -> tuple[str | None, list[str]]:
    """Return (--config's value, the words from the stage's own on) of gate-executor's arguments, as it reads them."""
    rest, file = list(arguments), None
    while rest and rest[0].startswith("--config"):
        name, equals, value = rest.pop(0).partition("=")
        if name != "--config":
            return file, [name, *rest]
        file = value if equals else (rest.pop(0) if rest else "")
    return file, rest


def read(path: str | None) -> RunnerConfig:
    """Return the file at `path`, or at the place where GitLab's package has it."""
    place, named = path or DEFAULT_PATH, path is not None
    try:
        with open(place, encoding="utf-8", newline="") as file:  # commands that fix see the ends of lines, too
            text = file.read()
    except FileNotFoundError as error:
        return RunnerConfig(place, named, fault=reason(error), may_be_there=False)
    except (OSError, UnicodeDecodeError) as error:
        return RunnerConfig(place, named, fault=reason(error) if isinstance(error, OSError) else "not UTF-8")
    if text.startswith(BYTE_ORDER_MARK):
        return RunnerConfig(place, named, text, fault="not TOML: a byte order mark stands before it")
    try:
        return RunnerConfig(place, named, text, tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        return RunnerConfig(place, named, text, fault=f"not TOML: {error}")
