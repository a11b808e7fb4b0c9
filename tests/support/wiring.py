"""How a driver is wired into a runner's config.toml: one file serves the real runner and the rehearsal."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclasses.dataclass(frozen=True)
class DriverWiring:
    """The four stages' command lines (None: not configured) and timeouts in seconds (None: the runner's default)."""

    config: Sequence[str] | None = None
    prepare: Sequence[str] | None = None
    run: Sequence[str] | None = None
    cleanup: Sequence[str] | None = None
    config_exec_timeout: int | None = None
    prepare_exec_timeout: int | None = None
    cleanup_exec_timeout: int | None = None
    graceful_kill_timeout: int | None = 5
    force_kill_timeout: int | None = 5
    shell: str = "bash"
    environment: Sequence[str] = ()  # [[runners]] environment: variables that the operator gives to each job

    @classmethod
    def of(cls, prefix: Sequence[str], **changes: object) -> DriverWiring:
        """All four stages as `<prefix> config`, `<prefix> prepare` and so on."""
        stages = {stage: [*prefix, stage] for stage in ("config", "prepare", "run", "cleanup")}
        return dataclasses.replace(cls(**stages), **changes)  # type: ignore[arg-type]


def write_config(
    path: Path, wiring: DriverWiring, *, url: str, scratch: Path, concurrent: int = 4, shutdown_timeout: int = 2
) -> None:
    """Writes config.toml; builds_dir and cache_dir lie in `scratch` and are what `config` may override."""
    path.write_text(
        "\n".join(
            [
                f"concurrent = {concurrent}",
                "check_interval = 1",
                f"shutdown_timeout = {shutdown_timeout}",
                "[[runners]]",
                '  name = "gate"',
                f"  url = {_toml(url)}",
                '  token = "glrt-test-token-of-nobody"',
                '  executor = "custom"',
                f"  shell = {_toml(wiring.shell)}",
                f"  limit = {concurrent}",
                f"  request_concurrency = {concurrent}",
                f"  builds_dir = {_toml(str(scratch / 'builds'))}",
                f"  cache_dir = {_toml(str(scratch / 'cache'))}",
                f"  environment = {_toml(list(wiring.environment))}",
                "  [runners.custom]",
                *_stages(wiring),
                *_timeouts(wiring),
                "",
            ]
        ),
        encoding="utf-8",
    )


def _stages(wiring: DriverWiring) -> list[str]:
    lines = []
    for stage in ("config", "prepare", "run", "cleanup"):
        argv = getattr(wiring, stage)
        if argv:
            lines += [f"    {stage}_exec = {_toml(argv[0])}", f"    {stage}_args = {_toml(list(argv[1:]))}"]
    return lines


def _timeouts(wiring: DriverWiring) -> list[str]:
    values = {key: value for key, value in vars(wiring).items() if key.endswith("_timeout") and value is not None}
    return [f"    {key} = {value}" for key, value in values.items()]


def _toml(value: str | list[str]) -> str:
    return json.dumps(value, ensure_ascii=False)  # a JSON string without odd control characters is a TOML one
