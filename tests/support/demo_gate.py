"""The gate of `make demo`: a private directory with a gate.yaml for trying out, and the commands to answer with."""

from __future__ import annotations

import os
import pwd
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support.ports import free_port
from tests.support.wiring import DriverWiring

TRIGGERED_BY = "someone-else"
SCRIPT_SAYS = "deployed by job"  # and its number: the shell shows the command, the script's own line has the number
COMMENTS = {"approve": "go ahead", "reject": "not today"}
SAMPLE_JOB = {
    "script": ['echo "deploying $CI_PROJECT_PATH to $CI_ENVIRONMENT_NAME"', f'echo "{SCRIPT_SAYS} $CI_JOB_ID"'],
    "project_path": "shop/web",
    "user_login": TRIGGERED_BY,
    "user_name": "Someone Else",
    "timeout": 7200,
}
PREPARE_TIMEOUT_S = 7000
REMOVE_WITHIN_S = 10
_PERSON = re.compile(r"(?!signed$|someone-else$)[a-z_][a-z0-9_-]{0,31}")
_GATE_YAML = """\
# For trying out only: with allow_same_user, jobs run as the gate's own user and could approve themselves.
version: 1
site: demo
state_dir: {state}
people:
  '{person}': {{unix: {user}, gitlab: ['{person}']}}
rules:
  - name: demo
    match: {{}}
    approvals:
      - {{count: 1, of: ['{person}']}}
    decide_within: 1h
backend: {{type: shell, isolate: process_group, allow_same_user: true}}
page: {{user: {user}, listen: '127.0.0.1:{port}'}}
"""


class DemoError(Exception):
    """The demo cannot go on; one line for people."""


class DemoGate:
    """A gate whose one approver is whoever runs the demo."""

    def __init__(self) -> None:
        self._gate, self._executor = _program("gate"), _program("gate-executor")
        self.user = _user()
        self.person = self.user if _PERSON.fullmatch(self.user) else "you"
        self.base = Path(tempfile.mkdtemp(prefix="gate-demo-"))
        self.state, self.yaml, self.scratch = self.base / "state", self.base / "gate.yaml", self.base / "runner"
        self.scratch.mkdir()
        port = free_port()
        self.url = f"http://gate.localhost:{port}"
        names = {"state": _quoted(str(self.state)), "person": self.person, "user": _quoted(self.user)}
        text = _GATE_YAML.format(**names, port=port)
        self.yaml.write_text(text, encoding="utf-8")
        self.yaml.chmod(0o644)  # whatever the umask

    def wiring(self) -> DriverWiring:
        """As runner-config.example.toml does it, with this venv's gate-executor."""
        driver = [str(self._executor), "--config", str(self.yaml)]
        prepare = [*driver, "prepare", "--prepare-timeout", str(PREPARE_TIMEOUT_S)]
        return DriverWiring.of(driver, prepare=prepare, prepare_exec_timeout=PREPARE_TIMEOUT_S)

    def command(self, *words: str) -> list[str]:
        """The `gate` command of this venv, for this gate."""
        return [str(self._gate), "--config", str(self.yaml), *words]

    def pasteable(self, *words: str) -> str:
        return shlex.join(self.command(*words))

    def run(self, *words: str) -> tuple[int, str]:
        """Run the `gate` command; returns its exit status and all that it said."""
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        done = subprocess.run(self.command(*words), check=False, text=True, timeout=60, **options)  # type: ignore[call-overload]
        return done.returncode, done.stdout.rstrip()

    def remove(self) -> None:
        """Remove the directory; what a job that was cut short still does in it gets a moment to end."""
        give_up = time.monotonic() + REMOVE_WITHIN_S
        while self.base.exists() and time.monotonic() < give_up:
            shutil.rmtree(self.base, ignore_errors=True)
            time.sleep(0.05 if self.base.exists() else 0)


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise DemoError(f"uid {os.geteuid()} has no name on this host, and a person needs one; run it as another user") from None  # fmt: skip


def _program(name: str) -> Path:
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        raise DemoError(f"{path} is not there: run it by `make demo`, which installs it")
    return path


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"  # YAML 1.1, 7.3.2: single-quoted, nothing in it is special
