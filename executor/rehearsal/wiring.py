"""How a runner calls its custom-executor driver: from the runner's config.toml, or built in.

Names and defaults are those of gitlab-runner's `[runners.custom]` section; all times are in seconds.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import tomllib
from typing import Any

from executor.entry import entry_point
from executor.main import REHEARSAL
from executor.rehearsal.errors import RehearsalError
from executor.rehearsal.version import NEWEST_KNOWN
from executor.runner_contract import EXEC_TIMEOUT_S, FORCE_KILL_TIMEOUT_S, GRACEFUL_KILL_TIMEOUT_S

Toml = dict[str, Any]  # a table of config.toml, of which nothing is promised

BUILT_IN_PREPARE_TIMEOUT_S = 86400
_GATES = ("gate-executor", os.path.basename(entry_point()))


@dataclasses.dataclass(frozen=True)
class Wiring:
    """One runner; a stage whose command line is empty is not configured, and not called."""

    config: tuple[str, ...] = ()
    prepare: tuple[str, ...] = ()
    run: tuple[str, ...] = ()
    cleanup: tuple[str, ...] = ()
    config_exec_timeout: int = EXEC_TIMEOUT_S
    prepare_exec_timeout: int = EXEC_TIMEOUT_S
    cleanup_exec_timeout: int = EXEC_TIMEOUT_S
    graceful_kill_timeout: int = GRACEFUL_KILL_TIMEOUT_S
    force_kill_timeout: int = FORCE_KILL_TIMEOUT_S
    builds_dir: str = ""
    cache_dir: str = ""
    environment: tuple[str, ...] = ()
    name: str = "rehearsal"
    token: str = ""
    version: str = NEWEST_KNOWN


def built_in(gate_config: str | None) -> Wiring:
    """What runner-config.example.toml does, with this very installation; `gate_config` None: the default gate.yaml."""
    option = ["--config", gate_config] if gate_config else []
    driver = (sys.executable, "-I", entry_point(), *option)
    return Wiring(
        config=(*driver, "config"),
        prepare=(*driver, "prepare", "--prepare-timeout", str(BUILT_IN_PREPARE_TIMEOUT_S)),
        run=(*driver, "run"),
        cleanup=(*driver, "cleanup"),
        prepare_exec_timeout=BUILT_IN_PREPARE_TIMEOUT_S,
    )


def as_rehearsal(command: tuple[str, ...]) -> tuple[str, ...]:
    """The command line of config, which says to a gate-executor in it that this is no runner; any other as it is."""
    if not any(os.path.basename(word) in _GATES for word in command) or "config" not in command:
        return command
    stage = len(command) - 1 - command[::-1].index("config")
    return (*command[:stage], REHEARSAL, *command[stage:])


def from_config_toml(path: str, name: str | None = None) -> Wiring:
    """The first runner with `executor = "custom"`, or the one called `name`.

    Raises:
        RehearsalError: the file cannot be read, is not TOML, has no such runner, or a value of the wrong type.
    """
    runner = _choose(_read(path).get("runners"), path, name)
    custom = _table(runner.get("custom", {}), path, "[runners.custom]")
    return Wiring(
        config=_command(custom, "config", path),
        prepare=_command(custom, "prepare", path),
        run=_command(custom, "run", path),
        cleanup=_command(custom, "cleanup", path),
        config_exec_timeout=_seconds(custom, "config_exec_timeout", EXEC_TIMEOUT_S, path),
        prepare_exec_timeout=_seconds(custom, "prepare_exec_timeout", EXEC_TIMEOUT_S, path),
        cleanup_exec_timeout=_seconds(custom, "cleanup_exec_timeout", EXEC_TIMEOUT_S, path),
        graceful_kill_timeout=_seconds(custom, "graceful_kill_timeout", GRACEFUL_KILL_TIMEOUT_S, path),
        force_kill_timeout=_seconds(custom, "force_kill_timeout", FORCE_KILL_TIMEOUT_S, path),
        builds_dir=_text(runner, "builds_dir", path),
        cache_dir=_text(runner, "cache_dir", path),
        environment=_texts(runner, "environment", path),
        name=_text(runner, "name", path) or "rehearsal",
        token=_text(runner, "token", path),
    )


def _read(path: str) -> Toml:
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise RehearsalError(f"{path}: cannot be read: {error.strerror}; name the runner's config.toml") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RehearsalError(f"{path}: not TOML: {error}; fix it, or name the runner's config.toml") from error


def _choose(runners: Any, path: str, name: str | None) -> Toml:
    tables = [runner for runner in runners if isinstance(runner, dict)] if isinstance(runners, list) else []
    custom = [runner for runner in tables if runner.get("executor") == "custom"]
    wanted = [runner for runner in custom if name is None or runner.get("name") == name]
    if wanted:
        return wanted[0]
    which = 'executor = "custom"' if name is None else f'executor = "custom" and name {name!r}'
    raise RehearsalError(f"{path}: no [[runners]] with {which}; add one as in runner-config.example.toml")


def _command(custom: Toml, stage: str, path: str) -> tuple[str, ...]:
    program = _text(custom, f"{stage}_exec", path)
    return (program, *_texts(custom, f"{stage}_args", path)) if program else ()


def _table(value: Any, path: str, where: str) -> Toml:
    if isinstance(value, dict):
        return value
    raise RehearsalError(f"{path}: {where} is {value!r}, not a table; write it as in runner-config.example.toml")


def _text(table: Toml, key: str, path: str) -> str:
    value = table.get(key, "")
    if isinstance(value, str):
        return value
    raise RehearsalError(f"{path}: {key} is {value!r}, not a string; put it in quotes")


def _texts(table: Toml, key: str, path: str) -> tuple[str, ...]:
    value = table.get(key, [])
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise RehearsalError(f"{path}: {key} is {value!r}, not a list of strings; write it in brackets, each in quotes")


def _seconds(table: Toml, key: str, default: int, path: str) -> int:
    value = table.get(key, default)
    if isinstance(value, int) and not isinstance(value, bool):
        return value if value > 0 else default
    raise RehearsalError(f"{path}: {key} is {value!r}, not a whole number of seconds; write it without quotes")
