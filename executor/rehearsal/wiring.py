"""How a runner calls its custom-executor driver: from the runner's config.toml, or built in.

Names and defaults are those of gitlab-runner's `[runners.custom]` section; all times are in seconds.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from typing import Any

from executor.entry import entry_point
from executor.main import REHEARSAL
from executor.rehearsal.errors import RehearsalError
from executor.rehearsal.version import NEWEST_KNOWN
from executor.runner_config import GATES, STAGES, TIMEOUTS_S, Runner, RunnerConfig, read
from executor.runner_contract import EXEC_TIMEOUT_S, FORCE_KILL_TIMEOUT_S, GRACEFUL_KILL_TIMEOUT_S

BUILT_IN_PREPARE_TIMEOUT_S = 86400


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
    if not any(os.path.basename(word) in GATES for word in command) or "config" not in command:
        return command
    stage = len(command) - 1 - command[::-1].index("config")
    return (*command[:stage], REHEARSAL, *command[stage:])


def from_config_toml(path: str, name: str | None = None) -> Wiring:
    """The first runner with `executor = "custom"`, or the one called `name`.

    Raises:
        RehearsalError: the file cannot be read, is not TOML, has no such runner, or a value of the wrong type.
    """
    runner = _chosen(read(path), name)
    values: dict[str, Any] = {stage: _command(runner, stage) for stage in STAGES}
    values |= {key: runner.seconds(key) for key in TIMEOUTS_S}
    values |= {key: runner.table[key] for key in ("builds_dir", "cache_dir", "name", "token") if runner.table.get(key)}
    return Wiring(**values, environment=tuple(runner.table.get("environment", ())))


def _chosen(config: RunnerConfig, name: str | None) -> Runner:
    if config.tables is None:
        raise RehearsalError(f"{config.path}: {config.fault}; fix it, or name the runner's config.toml")
    wanted = next((each for each in config.custom() if name is None or each.table.get("name") == name), None)
    if wanted is None:
        which = 'executor = "custom"' if name is None else f'executor = "custom" and name {name!r}'
        raise RehearsalError(f"{config.path}: no [[runners]] with {which}; add one as in runner-config.example.toml")
    for odd in wanted.odd():
        raise RehearsalError(f"{config.path}: {odd}")
    return wanted


def _command(runner: Runner, stage: str) -> tuple[str, ...]:
    program = runner.program(stage)
    return (program, *runner.arguments(stage)) if program else ()
