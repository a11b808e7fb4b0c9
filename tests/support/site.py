"""A gate of its own for a test: gate.yaml and state in a fresh directory, with real users where the tests run as root.

As root: alice, bob and carol are three of the system's own users, and jobs run as a fourth. Otherwise there is one
person, `me`, and jobs run as the same user, which is what `allow_same_user` is for.
"""

from __future__ import annotations

import grp
import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from click.testing import CliRunner

from audit.verify import verify
from executor.shell import cgroup
from tests.support.wiring import DriverWiring

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from click.testing import Result

    from audit.verify import Report

CHECKOUT = Path(__file__).parents[2]
ENTRY = CHECKOUT / "gitlab_runner_gate.py"
IS_ROOT = os.geteuid() == 0
USERS = {"alice": "daemon", "bob": "bin", "carol": "games"} if IS_ROOT else {"me": pwd.getpwuid(os.geteuid()).pw_name}
APPROVER = next(iter(USERS))
RUN_AS = "nobody"
APPROVERS_GROUP = "users"  # an own group of none of them: the tests give it to whoever acts as a person
PAGE_USER = "proxy" if IS_ROOT else USERS["me"]
PAGE_GROUP = "proxy"  # where there is a page, it is the approvers' group: the page's user must be in that
PROXY_GROUP = "www-data"


class Site:
    checkout = CHECKOUT

    """A gate; `rule` changes keys of its one rule, `config` keys of gate.yaml."""

    def __init__(self, *, rule: dict[str, Any] | None = None, **config: Any) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="gate-site-"))
        self.base.chmod(0o755)  # others must get at their drop directories
        self.state = self.base / "state"
        self.yaml = self.base / "gate.yaml"
        self.run = self.base / "run"
        backend: dict[str, Any] = {"type": "shell", "run_as": RUN_AS, "isolate": "pid_namespace"}
        if IS_ROOT:
            config = {"approvers_group": APPROVERS_GROUP, **config}
        else:
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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _t: TracebackType | None
    ) -> None:
        if IS_ROOT:
            cgroup.sweep(str(self.state), [])  # of jobs whose runner a test has killed
        shutil.rmtree(self.base, ignore_errors=True)

    def write(self, text: str | None = None, *, in_place: bool = False) -> None:
        """Write gate.yaml: `self.config`, or `text` as it is.

        `in_place`: whoever reads it just then may find it empty.
        """
        plain = json.loads(
            json.dumps(self.config)
        )  # no object twice: YAML would write an alias, which gate.yaml refuses
        made = self.yaml if in_place else self.yaml.with_suffix(".new")
        made.write_text(yaml.safe_dump(plain, sort_keys=False) if text is None else text, encoding="utf-8")
        made.chmod(0o644)
        made.rename(self.yaml)

    def with_page(self, **page: Any) -> Self:
        """Give this gate a page, as gate.yaml has it; `socket` and `proxy_socket` may be True."""
        self.run.mkdir()
        if IS_ROOT:
            self.config["approvers_group"] = PAGE_GROUP
            os.chown(self.run, pwd.getpwnam(PAGE_USER).pw_uid, -1)
        for name in ("socket", "proxy_socket"):
            if page.get(name) is True:
                page[name] = str(self.run / f"{name}.sock")
        if "proxy_socket" in page:
            page["proxy_group"] = PROXY_GROUP if IS_ROOT else grp.getgrgid(os.getegid()).gr_name
        self.config["page"] = {"user": PAGE_USER, **page}
        self.write()
        return self

    def driver(self, *options: str) -> list[str]:
        """The command of the executor, up to the stage word."""
        return [sys.executable, "-I", str(ENTRY), "--config", str(self.yaml), *options]

    def wiring(self, *, prepare_timeout: int = 3600, **changes: Any) -> DriverWiring:
        """All four stages of this gate."""
        prepare = [*self.driver(), "prepare", "--prepare-timeout", str(prepare_timeout)]
        return DriverWiring.of(self.driver(), **{"prepare": prepare, **changes})

    def uid(self, person: str) -> int:
        return pwd.getpwnam(USERS[person]).pw_uid

    def drop(self, person: str, name: str, text: str = "") -> Path:
        """A drop as people make it: with echo, as themselves, in their own directory.

        `ok` where they have nothing to say.
        """
        path = self.state / "drop" / person / name
        self.run_as(person, ["sh", "-c", 'printf %s "$2" > "$1"', "sh", str(path), text or "ok"], check=True)
        return path

    def gate(self, person: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the `gate` command as that person, to its end."""
        return self.run_as(person, self._gate_command(person, words))

    def gate_here(self, *words: str, stdin: str | bytes | None = None) -> Result:
        """Run the `gate` command in this process, as the gate's own user; what stops it is in `exception`."""
        from gate.commands import gate

        return CliRunner().invoke(gate, ["--config", str(self.yaml), *words], input=stdin)

    def start_gate(self, person: str, *words: str) -> subprocess.Popen[str]:
        """Start the `gate` command as that person."""
        return self.start_as(person, self._gate_command(person, words))

    def forward(self, person: str, port: int) -> subprocess.Popen[str]:
        """`ssh -L port:socket`, by that person: a loopback port that leads to the page's Unix socket."""
        script = Path(__file__).with_name("forward.py").read_text(encoding="utf-8")
        words = [sys.executable, "-I", "-c", script, str(port), self.config["page"]["socket"]]
        process = self.start_as(person, words)
        assert process.stdout is not None
        assert process.stdout.readline() == "forwards\n"
        return process

    def run_as(self, person: str, command: list[str], *, check: bool = False) -> subprocess.CompletedProcess[str]:
        """Run a command as that person, to its end."""
        options: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 60, "stdin": subprocess.DEVNULL}
        return subprocess.run(self._as(person, command), check=check, env=_ENVIRONMENT, cwd="/", **options)

    def start_as(self, person: str, command: list[str]) -> subprocess.Popen[str]:
        """Start a command as that person, with pipes."""
        pipe = subprocess.PIPE
        return subprocess.Popen(
            self._as(person, command), env=_ENVIRONMENT, cwd="/", text=True, stdin=pipe, stdout=pipe, stderr=pipe
        )

    def verify(self, anchors: list[tuple[str, str]] | None = None) -> Report:
        """Verify the audit log, against heads as a job log shows them."""
        return verify(str(self.state / "audit"), [(int(seq), sha256) for seq, sha256 in anchors or []])

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

    def _gate_command(self, person: str, words: tuple[str, ...]) -> list[str]:
        """As root, a person is another user, who needs a Python and a checkout that they can read."""
        if not self._is_usable(person):
            pytest.skip(f"{sys.executable} or {CHECKOUT} cannot be used by other users: try PYTHON=/usr/bin/python3")
        return [sys.executable, "-I", "-c", _GATE.format(checkout=str(CHECKOUT)), "--config", str(self.yaml), *words]

    def _is_usable(self, person: str) -> bool:
        """Whether that person can use our code and its Python; asked once for each."""
        if person not in _USABLE:
            probe = [sys.executable, "-I", "-c", f"import click; open({str(ENTRY)!r})"]
            try:
                _USABLE[person] = self.run_as(person, probe).returncode == 0
            except OSError:
                _USABLE[person] = False
        return _USABLE[person]

    def _as(self, person: str, command: list[str]) -> list[str]:
        if not IS_ROOT:
            return command
        uid, group = self.uid(person), grp.getgrnam(self.config["approvers_group"]).gr_gid
        return ["setpriv", f"--reuid={uid}", f"--regid={uid}", f"--groups={group}", "--", *command]


_USABLE: dict[str, bool] = {}
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/", "LANG": "C.UTF-8"}
_GATE = "import sys; sys.path.insert(0, {checkout!r}); import gitlab_runner_gate; gitlab_runner_gate.gate_main()"
