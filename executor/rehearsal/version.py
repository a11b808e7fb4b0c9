"""Which gitlab-runner is played, where versions differ in what a job's author sees.

* Up to 19.0 the script of a stage ends in `: | eval '…'`, which makes 1 of the status of a command that fails, but not
of `exit N`; since 19.1 in `(eval '…') < /dev/null`, which passes it on (the runner's shells/bash.go,
BashWriter.Finish). `FF_USE_NEW_BASH_EVAL_STRATEGY` before, and `FF_USE_LEGACY_BASH_EVAL` since, turn that round. *
Since 19.0 a cancel ends the pause between two attempts of prepare (common/build.go); before, the runner is deaf in it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

from executor.rehearsal.errors import RehearsalError
from executor.runner_contract import OLDEST

if TYPE_CHECKING:
    from collections.abc import Mapping

NEWEST_KNOWN = "19.3.0"
_VERSION = re.compile(r"(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})(\.[0-9]{1,4})?")
_SAYS = re.compile(r"^Version: +v?([0-9.]+)", re.MULTILINE)
_ON = ("true", "1", "t", "T", "TRUE", "True")  # Go's strconv.ParseBool
_ASKED_WITHIN_S = 30


def chosen(asked: str | None) -> str:
    """The version that is played: `asked`, or that of the gitlab-runner that is here, or the newest that is known.

    Raises:
        RehearsalError: `asked` is no version of a runner that the gate works with.
    """
    version = asked or installed() or NEWEST_KNOWN
    if not _VERSION.fullmatch(version):
        raise RehearsalError(f"{version!r} is no version of gitlab-runner; write it as {NEWEST_KNOWN}")
    if _parts(version) < OLDEST:
        raise RehearsalError(f"gitlab-runner {version} is older than 17.9, which the gate needs; name a newer one")
    return version


def installed() -> str | None:
    """The version of the runner in GITLAB_RUNNER or on PATH; None where there is none, or where it does not say."""
    program = shutil.which(os.environ.get("GITLAB_RUNNER") or "gitlab-runner")
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=_ASKED_WITHIN_S, check=False
        )
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    said = _SAYS.search(done.stdout)
    return said[1] if said and _VERSION.fullmatch(said[1]) and _parts(said[1]) >= OLDEST else None


def passes_codes_on(version: str, variables: Mapping[str, str]) -> bool:
    """Whether a script ends with the status of the command that failed, not with 1."""
    if _parts(version) >= (19, 1):
        return variables.get("FF_USE_LEGACY_BASH_EVAL") not in _ON
    return variables.get("FF_USE_NEW_BASH_EVAL_STRATEGY") in _ON


def hears_between_attempts(version: str) -> bool:
    """Whether a cancel ends the pause between two attempts of prepare."""
    return _parts(version) >= (19, 0)


def _parts(version: str) -> tuple[int, int]:
    major, minor = version.split(".")[:2]
    return int(major), int(minor)
