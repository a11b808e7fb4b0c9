"""What a job needs of this host and does not find there: known before anybody is asked.

A refusal is for what could only fail; a warning for what fails in part, or succeeds without what people expect of it.
"""

from __future__ import annotations

import itertools
import os
import re

from executor.shell import backend

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gate.shapes import Backend, Json

DEFAULT_CONFIG_TOML = "/etc/gitlab-runner/config.toml"
_SHELL = re.compile(rb"""^\s*shell\s*=\s*["'](?!(?:bash|sh)["'])""", re.MULTILINE)
_OWN_PATH_SINCE = 19  # from here on the runner's scripts call it by its whole path (seen: 17.9 by name, 19.3 by path)


def refusal(response: Json, job_backend: Backend, runner: int | None) -> str:
    """Why this job cannot run here, even if approved; otherwise empty.

    `runner` is the id of the runner that took it.
    """
    shell = _other_shell(runner)
    if shell:
        return f"its runner has shell = {shell!r} in config.toml, and only scripts for bash can be run: set it to bash"
    if _has_run_steps(response) and not backend.found(job_backend, "step-runner"):
        return f"it has `run:` steps, and there is no step-runner in {backend.job_path(job_backend)}: {_INSTALL}"
    return ""


def warnings(response: Json, job_backend: Backend) -> list[str]:
    """What this job will not find here, a line each."""
    lacking = []
    if _calls_runner(response) and not backend.found(job_backend, "gitlab-runner"):
        lacking.append(("gitlab-runner", "it goes without its cache and artifacts, and does not fail by that"))
    if _checks_out(response) and not backend.found(job_backend, "git"):
        lacking.append(("git", "it cannot check out its sources"))
    path = backend.job_path(job_backend)
    return [f"no {name} in {path}: {so}; {_INSTALL}" for name, so in lacking]


_INSTALL = "install it there, or name its directory in backend: {path: …}"


def _has_run_steps(response: Json) -> bool:
    """`run` is text or a list (18.9); older runners have made a script of it by now."""
    scripts = [step.get("script") for step in _objects(response, "steps")]
    return bool(response.get("run")) or any(script == ["step-runner ci"] for script in scripts)


def _calls_runner(response: Json) -> bool:
    if not any(response.get(part) for part in ("artifacts", "cache", "dependencies")):
        return False
    # This is one of the few that the runner sets last, over what the job's author may have set.
    major = os.environ.get("CUSTOM_ENV_CI_RUNNER_VERSION", "").partition(".")[0]
    return not (major.isascii() and major.isdigit() and int(major) >= _OWN_PATH_SINCE)


def _checks_out(response: Json) -> bool:
    return _last(response, "GIT_STRATEGY").lower() not in ("none", "empty")


def _last(response: Json, name: str) -> str:
    """The value that the runner goes by, or empty."""
    values = [v.get("value") for v in _objects(response, "variables") if v.get("key") == name]
    return values[-1] if values and isinstance(values[-1], str) else ""


def _objects(response: Json, name: str) -> list[Json]:
    found = response.get(name)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _other_shell(runner: int | None) -> str:
    """The shell of this runner's entry in config.toml, where it is none of ours; empty where that is unknown.

    What the runner writes is for bash in any case, since `config` says so to it. But the job's author wrote for the
    other.
    """
    try:
        with open(_config_toml(), "rb") as source:
            text = source.read()
    except OSError:
        return ""
    if not _SHELL.search(text):
        return ""
    import tomllib

    try:
        entries = tomllib.loads(text.decode()).get("runners", [])
    except ValueError:
        return ""
    custom = [each for each in entries if isinstance(each, dict) and each.get("executor") == "custom"]
    own = [each for each in custom if each.get("id") == runner] or custom
    shells = {str(each.get("shell", "bash")) for each in own}
    return shells.pop() if len(shells) == 1 and shells.isdisjoint(backend.SHELLS) else ""


def _config_toml() -> str:
    """What the runner that called us was started with."""
    try:
        with open(f"/proc/{os.getppid()}/cmdline", "rb") as source:
            words = [os.fsdecode(word) for word in source.read().split(b"\0")]
    except OSError:
        words = []
    named = [after for word, after in itertools.pairwise(words) if word in ("-c", "--config")]
    named += [word.partition("=")[2] for word in words if word.startswith(("--config=", "-c="))]
    return next(filter(os.path.isabs, named), DEFAULT_CONFIG_TOML)
