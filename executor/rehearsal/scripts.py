"""The stages' scripts: the simplest that do the job. No git, no cache, no artifacts."""

from __future__ import annotations

import dataclasses
import re
from shlex import quote
from typing import TYPE_CHECKING

from executor.rehearsal.variables import file_path, scripts_see

if TYPE_CHECKING:
    from executor.rehearsal.sample import Response
    from executor.rehearsal.variables import Directories, Variable

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclasses.dataclass(frozen=True)
class Bash:
    """How a script runs its lines; `passes_codes_on`: see executor/rehearsal/version.py."""

    passes_codes_on: bool = True

    def script(self, lines: list[str]) -> str:
        """The whole text of a stage's script."""
        text = quote("\n".join(lines) + "\n")
        runs = f"(eval {text}) < /dev/null" if self.passes_codes_on else f": | eval {text}"
        return f"#!/usr/bin/env bash\nset -o pipefail; set -o errexit\n{runs}\nexit 0\n"


def prepare_script(bash: Bash) -> str:
    """Says where the job runs; needs no variables, as the tree may not be there yet."""
    return bash.script(['echo "Running on $(hostname)..."'])


def get_sources(job: Response, variables: list[Variable], directories: Directories, bash: Bash) -> str:
    """Makes the project's directory.

    The two hooks about it run in it (as in the runner, not with GIT_STRATEGY none).
    """
    project = quote(directories.project)
    strategy = dict(scripts_see(variables)).get("GIT_STRATEGY")
    hooks = [] if strategy == "none" else job.get("hooks") or []
    return bash.script(
        [
            f"mkdir -p {project}",
            *_variables(variables, directories),
            f"cd {project}",
            *_lines(_hook(hooks, "pre_get_sources_script")),
            "echo 'The rehearsal fetches no sources.'",
            *_lines(_hook(hooks, "post_get_sources_script")),
        ]
    )


def step(lines: list[str], variables: list[Variable], directories: Directories, bash: Bash, announce: str = "") -> str:
    """One step of the job; the first line that fails ends it. `announce` is said before."""
    project = quote(directories.project)
    said = [_say(announce)] if announce else []
    return bash.script([*_variables(variables, directories), f"cd {project}", *said, *_lines(lines)])


def cleanup_file_variables(variables: list[Variable], directories: Directories, bash: Bash) -> str:
    """Removes the files that hold file variables."""
    files = [quote(file_path(directories.temporary, v.key)) for v in variables if v.file]
    return bash.script([*(f"rm -f {file}" for file in files)])


def _variables(variables: list[Variable], directories: Directories) -> list[str]:
    files = [variable for variable in variables if variable.file]
    return [
        *([f"mkdir -p {quote(directories.temporary)}"] if files else []),
        *(f"printf %s {quote(v.value)} > {quote(file_path(directories.temporary, v.key))}" for v in files),
        *(f"export {key}={quote(value)}" for key, value in scripts_see(variables) if _IDENTIFIER.fullmatch(key)),
    ]


def _lines(lines: list[str]) -> list[str]:
    return [part for line in lines for part in (_say(f"$ {line.splitlines()[0] if line else ''}"), line)]


def _say(text: str) -> str:
    return "echo " + quote(f"\x1b[32;1m{text}\x1b[0;m")


def _hook(hooks: list[Response], name: str) -> list[str]:
    return [line for hook in hooks if hook["name"] == name for line in hook["script"]]
