"""`gate check`, job-host: what jobs find on the host, and what their user could leave there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from config.accounts import User
from executor.checks import job_host
from executor.checks.context import Context, GateYaml
from executor.runner_config import RunnerConfig
from executor.shell import backend
from tests.support.parts import part

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from executor.checks.finding import Finding

UID = 1_000_033


class FakeHost:
    """A host with one user that jobs run as."""

    def __init__(self, home: Path, shell: str) -> None:
        self.job = User("gitlab-job", UID, UID, str(home), shell)

    def user(self, name: str) -> User | None:
        return self.job if name == self.job.name else None

    def user_of_uid(self, uid: int) -> User | None:
        return self.job if uid == UID else None

    def gid(self, _group: str) -> int | None:
        return None

    def gids_of(self, user: User) -> frozenset[int]:
        return frozenset({user.gid})


class Programs:
    """A system on which each of these programs says its version."""

    def __init__(self, versions: dict[str, str]) -> None:
        self.versions = versions

    def said(self, program: str, *_words: str) -> str:
        return f"Version:      {self.versions.get(program, '')}\n"


class Place:
    """A host in a directory: the user's home, cron's and at's, and a PATH of jobs."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.shell = root, "/usr/sbin/nologin"
        self.changes: Any = {}
        self.versions: dict[str, str] = {}
        for name in ("home", "cron", "at", "bin"):
            (root / name).mkdir()
        monkeypatch.setattr(job_host, "_TABLES", (str(root / "cron"),))
        monkeypatch.setattr(job_host, "_AT_JOBS", (str(root / "at"), str(root / "no-such-directory")))
        monkeypatch.setattr(backend, "TOOL_PATH", str(root / "bin"))
        for name in ("git", "gitlab-runner"):
            self.program(name)

    def program(self, name: str) -> None:
        (self.root / "bin" / name).write_text("")
        (self.root / "bin" / name).chmod(0o755)

    def find(self) -> list[Finding]:
        home = str(self.root / "home")
        asked = {"run_as": "gitlab-job", "uid": UID, "gid": UID, "home": home, "isolate": "pid_namespace"}
        policy = {
            "state_dir": self.changes.pop("state_dir", "/var/lib/gitlab-runner-gate"),
            "rules": [{"name": "all", "run_as": None}],
            "backend": {**asked, "allow_same_user": False, **self.changes},
        }
        host, system = FakeHost(self.root / "home", self.shell), Programs(self.versions)
        gate_yaml = GateYaml("/etc/gitlab-runner-gate/gate.yaml", part(policy))
        config = RunnerConfig("/etc/gitlab-runner/config.toml")
        return list(job_host.find(Context(gate_yaml, config, 0, 0, host=host, system=system)))  # type: ignore[arg-type]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path, monkeypatch)


def test_all_is_well_on_a_good_host(place: Place) -> None:
    assert [finding.state for finding in place.find()] == ["ok"]


def keys(place: Place) -> None:
    (place.root / "home" / ".ssh").mkdir()
    (place.root / "home" / ".ssh" / "authorized_keys").write_text("ssh-ed25519 …")
    place.changes["named_home"] = str(place.root / "home")


def at_job(place: Place) -> None:
    if os.geteuid() != 0:
        pytest.skip("a file of another user needs root: run the tests as root to see it")
    (place.root / "at" / "a0000133").write_text("")
    os.chown(place.root / "at" / "a0000133", UID, -1)


def open_home(place: Place) -> None:
    place.changes |= {"named_home": str(place.root / "home"), "isolate": "process_group", "allow_same_user": True}
    (place.root / "home").chmod(0o777)


def older_runner(place: Place, version: str = "17.9.3") -> None:
    place.versions = {str(place.root / "bin" / "gitlab-runner"): version, "gitlab-runner": "19.3.0"}


@pytest.mark.parametrize("version", ["19.3.0", "19.10.1", "20.0.0", "?"])
def test_a_runner_that_is_as_new_or_says_nothing_is_not_told_of(place: Place, version: str) -> None:
    older_runner(place, version)
    assert [finding.state for finding in place.find()] == ["ok"]


FOUND: dict[str, tuple[Callable[[Place], Any], str, str]] = {
    "a shell": (lambda p: setattr(p, "shell", "/bin/bash"), "can log in (/bin/bash)", "usermod --shell"),
    "a key": (keys, "lets somebody log in", "rm "),
    "a crontab": (lambda p: (p.root / "cron" / "gitlab-job").write_text(""), "has a crontab", "crontab -r -u gitlab-job"),
    "a job for at": (at_job, "for at(1)", "rm "),
    "keys in the home": (lambda p: (p.root / "home" / ".netrc").write_text(""), "with `home: ", "gate.yaml"),
    "a home that jobs can write to": (open_home, "can be written by jobs", "chown -R root:"),
    "no git": (lambda p: (p.root / "bin" / "git").unlink(), "no git in", "gate.yaml"),
    "no gitlab-runner": (lambda p: (p.root / "bin" / "gitlab-runner").unlink(), "without caches and artifacts", "gate.yaml"),
    "an older gitlab-runner": (older_runner, "is version 17.9, and the runner is 19.3", "gate.yaml"),
    "an older gitlab-runner of the same year": (lambda p: older_runner(p, "19.2.9"), "is version 19.2,", "gate.yaml"),
    "no namespace": (lambda p: p.changes.update(isolate="process_group"), "see each other's files", "gate.yaml"),
    "a long state_dir": (
        lambda p: p.changes.update(isolate="process_group", allow_same_user=True, state_dir=f"/srv/{'x' * 60}"),
        "too long for the sockets",
        "gate.yaml",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", FOUND)
def test_what_is_amiss_is_said_with_what_mends_it(place: Place, what: str) -> None:
    plant, message, fix = FOUND[what]
    plant(place)
    (finding,) = place.find()
    assert finding.state == "warn"
    assert message in finding.message
    assert fix in finding.fix


@pytest.mark.parametrize("version", ["19.3.0", "20.0.0", ""])
def test_gitlab_runner_that_is_as_new_or_tells_nothing_is_fine(place: Place, version: str) -> None:
    place.versions = {str(place.root / "bin" / "gitlab-runner"): version, "gitlab-runner": "19.3.0"}
    assert [finding.state for finding in place.find()] == ["ok"]
