"""A gate of its own for a test: gate.yaml and state in a fresh directory, with real users where the tests run as root.

As root: alice, bob and carol are three of the system's own users, and jobs run as a fourth. Otherwise there is one
person, `me`, and jobs run as the same user, which is what `allow_same_user` is for.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tests.support.wiring import DriverWiring

if TYPE_CHECKING:
    from types import TracebackType

CHECKOUT = Path(__file__).parents[2]
ENTRY = CHECKOUT / "gitlab_runner_gate.py"
IS_ROOT = os.geteuid() == 0
USERS = {"alice": "daemon", "bob": "bin", "carol": "games"} if IS_ROOT else {"me": pwd.getpwuid(os.geteuid()).pw_name}
APPROVER = next(iter(USERS))
RUN_AS = "nobody"


class Site:
    """A gate; `rule` changes keys of its one rule, `config` keys of gate.yaml."""

    def __init__(self, *, rule: dict[str, Any] | None = None, **config: Any) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="gate-site-"))
        self.base.chmod(0o755)  # others must get at their drop directories
        self.state = self.base / "state"
        self.yaml = self.base / "gate.yaml"
        backend: dict[str, Any] = {"type": "shell", "run_as": RUN_AS, "isolate": "pid_namespace"}
        if not IS_ROOT:
            backend = {"type": "shell", "isolate": "process_group", "allow_same_user": True}
        self.config: dict[str, Any] = {
            "version": 1,
            "site": "test.example",
            "state_dir": str(self.state),
            "people": {person: {"unix": user, "gitlab": [f"{person}-gl"]} for person, user in USERS.items()},
            "groups": {"release-managers": list(USERS)[:2]},
            "rules": [
                {
                    "name": "all",
                    "match": {},
                    "approvals": [{"count": 1, "of": ["release-managers"]}],
                    "decide_within": "10m",
                    **(rule or {}),
                }
            ],
            "backend": backend,
            **config,
        }
        self.write()

    def __enter__(self) -> Site:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _t: TracebackType | None
    ) -> None:
        shutil.rmtree(self.base, ignore_errors=True)

    def write(self, text: str | None = None) -> None:
        """Write gate.yaml: `self.config`, or `text` as it is."""
        self.yaml.write_text(yaml.safe_dump(self.config, sort_keys=False) if text is None else text, encoding="utf-8")
        self.yaml.chmod(0o644)

    def driver(self, *options: str) -> list[str]:
        """The command of the executor, up to the stage word."""
        return [sys.executable, "-I", str(ENTRY), "--config", str(self.yaml), *options]

    def wiring(self, *, prepare_timeout: int = 3600, **changes: Any) -> DriverWiring:
        """All four stages of this gate."""
        prepare = [*self.driver(), "prepare", "--prepare-timeout", str(prepare_timeout)]
        return DriverWiring.of(self.driver(), **{"prepare": prepare, **changes})

    def uid(self, person: str) -> int:
        return pwd.getpwnam(USERS[person]).pw_uid

    def shell(self, person: str, script: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a shell script as that person."""
        return self._as(person, ["sh", "-c", script], check=check)

    def drop(self, person: str, name: str, text: str = "") -> Path:
        """A drop as people make it: an editor or echo, as themselves, in their own directory."""
        path = self.state / "drop" / person / name
        self.shell(person, f'printf %s "$1" > "$0"'.replace('"$0"', f"'{path}'").replace('"$1"', f"'{text}'"))
        return path

    def gate(self, person: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the `gate` command as that person."""
        command = [sys.executable, "-I", "-c", _GATE.format(checkout=str(CHECKOUT)), "--config", str(self.yaml), *words]
        return self._as(person, command, check=False)

    def records(self, event: str | None = None, job: int | None = None) -> list[dict[str, Any]]:
        """The audit log, all segments, whole or filtered."""
        files = sorted((self.state / "audit").glob("audit.*.jsonl"), key=lambda path: int(path.name.split(".")[1]))
        lines = [json.loads(line) for path in files for line in path.read_text(encoding="ascii").splitlines()]
        return [r for r in lines if event in (None, r["event"]) and job in (None, r.get("job", {}).get("id"))]

    def events(self, job: int) -> list[str]:
        """The events of one job, in order."""
        return [record["event"] for record in self.records(job=job)]

    def job_dir(self, job: int) -> Path:
        """The directory of the one request of that job number."""
        (found,) = (self.state / "jobs").glob(f"*-{job}")
        return found

    def _as(self, person: str, command: list[str], *, check: bool) -> subprocess.CompletedProcess[str]:
        if IS_ROOT:
            uid = self.uid(person)
            command = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--", *command]
        environment = {"PATH": os.environ["PATH"], "HOME": "/", "LANG": "C.UTF-8"}
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=check,
            timeout=60,
            env=environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
        )


_GATE = "import sys; sys.path.insert(0, {checkout!r}); import gitlab_runner_gate; gitlab_runner_gate.gate_main()"
