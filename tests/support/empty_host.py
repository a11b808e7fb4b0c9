"""A host with nothing of ours and no program beyond the machine's packages: its /opt, /run and /usr/local are its own, too."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from tests.support.host_namespace import ENVIRONMENT, PrivateHost

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

STEP_S = 300


class BareHost(PrivateHost):
    """Where things are installed as an operator would; `programs` are copied into its /usr/local/bin."""

    own = ("etc", "home", "opt", "root", "run", "usr/local", "var/lib", "var/mail")

    def __init__(self, programs: Iterable[str]) -> None:
        super().__init__()
        self.at("/usr/local/bin").mkdir()
        for program in programs:
            shutil.copy(program, self.at("/usr/local/bin"))

    def sh(
        self, script: str, *, user: str | None = None, check: bool = False, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run shell lines there to their end; `check`: they must succeed."""
        home = f"/home/{user}" if user else "/root"
        done = self.run(["sh", "-ec", script], user, timeout=STEP_S, env={**_environment(), "HOME": home, **env})
        assert not check or done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done

    def start(self, script: str, *, log: Path) -> subprocess.Popen[bytes]:
        """Start shell lines there, as root; what they say goes into `log`."""
        with log.open("ab") as out:
            words = self.command(["sh", "-ec", script])
            return subprocess.Popen(words, env=_environment(), stdin=subprocess.DEVNULL, stdout=out, stderr=out)


def _environment() -> dict[str, str]:
    """As the machine's, where it says how pip gets at packages."""
    return ENVIRONMENT | {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
