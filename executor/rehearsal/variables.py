"""A job's variables in the runner's order: the runner's own, the operator's, the job's; the last of a key counts."""

from __future__ import annotations

import dataclasses
import json
import platform
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from executor.rehearsal.sample import Response
    from executor.rehearsal.wiring import Wiring

DEFAULT_TIMEOUT_S = 7200
_REFERENCE = re.compile(r"\$(?:\{([^}]*)\}|([A-Za-z_][A-Za-z0-9_]*|[*#$@!?0-9-]))")
_SHELL_OWN = frozenset("*#@!?0123456789")


@dataclasses.dataclass(frozen=True)
class Variable:
    """One variable; `raw` ones are not expanded, `file` ones reach scripts as the path of a file."""

    key: str
    value: str
    file: bool = False
    masked: bool = False
    raw: bool = False


@dataclasses.dataclass(frozen=True)
class Directories:
    """Where the job's files lie; all empty before `config` has been asked."""

    builds: str = ""
    project: str = ""

    @property
    def temporary(self) -> str:
        return self.project + ".tmp"


def timeout_of(job: Response) -> int:
    """The job's own timeout in seconds, from GitLab; 0 or less means the runner's default of two hours."""
    timeout: int = (job.get("runner_info") or {}).get("timeout") or 0
    return timeout if timeout > 0 else DEFAULT_TIMEOUT_S


def all_variables(job: Response, wiring: Wiring, directories: Directories, status: str) -> list[Variable]:
    """Expanded, in order, duplicates kept; `status` is CI_JOB_STATUS (running, success, failed, canceled, timedout)."""
    image = (job.get("image") or {}).get("name")
    own = {
        **({"CI_JOB_IMAGE": image} if image else {}),
        "CI_RUNNER_SHORT_TOKEN": short_token(wiring.token),
    }
    defaults = {
        "CI_BUILDS_DIR": directories.builds,
        "CI_PROJECT_DIR": directories.project,
        "CI_CONCURRENT_ID": "0",
        "CI_CONCURRENT_PROJECT_ID": "0",
        "CI_SERVER": "yes",
        "CI_JOB_STATUS": status,
        "CI_JOB_TIMEOUT": str(timeout_of(job)),
    }
    closing = {
        "CI_SHARED_ENVIRONMENT": "true",
        "CI_RUNNER_VERSION": wiring.version,
        "CI_RUNNER_REVISION": "rehearsal",
        "CI_RUNNER_EXECUTABLE_ARCH": f"linux/{platform.machine()}",
        "RUNNER_TEMP_PROJECT_DIR": directories.temporary,
    }
    operators = [entry.split("=", 1) for entry in wiring.environment if "=" in entry]
    return expand(
        [
            *(Variable(key, value) for key, value in own.items()),
            *(Variable(key, value) for key, value in operators),
            *(Variable(key, value) for key, value in defaults.items()),
            *map(_of_job, job.get("variables") or []),
            *(Variable(key, value) for key, value in closing.items()),
        ]
    )


def expand(variables: list[Variable]) -> list[Variable]:
    """Replaces $KEY and ${KEY} once, by unexpanded values; a file variable stands for its path."""
    values = dict(scripts_see(variables))
    return [v if v.raw else dataclasses.replace(v, value=_expand_one(v.value, values)) for v in variables]


def scripts_see(variables: Iterable[Variable]) -> list[tuple[str, str]]:
    """Key and value as a script has them: a file variable's value is the path of its file."""
    listed = list(variables)
    directory = next((v.value for v in reversed(listed) if v.key == "RUNNER_TEMP_PROJECT_DIR"), "")
    return [(v.key, file_path(directory, v.key) if v.file else v.value) for v in listed]


def file_path(directory: str, key: str) -> str:
    """Where a file variable's value lies."""
    return f"{directory}/{key}" if directory else key


def driver_environment(job: Response, variables: list[Variable]) -> dict[str, str]:
    """CUSTOM_ENV_*: what a driver gets of the job's variables (a file variable's value as it is)."""
    services = [_service(service) for service in job.get("services") or []]
    told = dict(
        f"CUSTOM_ENV_{each.key}={each.value}".split("=", 1) for each in variables
    )  # a name may have a `=` in it
    told["CUSTOM_ENV_CI_JOB_SERVICES"] = json.dumps(services, separators=(",", ":")) if services else ""
    return told


def short_token(token: str) -> str:
    """The runner's token as logs show it: eight characters, or nine after `glrt-`."""
    return token[5:14] if token.startswith("glrt-") else token[:8]


def _of_job(entry: Response) -> Variable:
    flags = {flag: bool(entry.get(flag)) for flag in ("file", "masked", "raw")}
    return Variable(str(entry["key"]), str(entry.get("value") or ""), **flags)


def _expand_one(text: str, values: dict[str, str]) -> str:
    def value_of(match: re.Match[str]) -> str:
        key = match[1] if match[1] is not None else match[2]
        if key == "$":
            return "$"
        return "" if key in _SHELL_OWN else values.get(key, "")

    return _REFERENCE.sub(value_of, text)


def _service(service: Response) -> Response:
    return {
        "name": service.get("name", ""),
        "alias": (str(service.get("alias") or "").replace(",", " ").split() or [""])[0],
        "entrypoint": service.get("entrypoint"),
        "command": service.get("command"),
    }
