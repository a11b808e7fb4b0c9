"""A host of its own for a test, as README sets one up: users, gate.yaml, state, config.toml, the runner's unit.

Its /etc, /home, /opt, /root, /run and /var/lib are directories of the test's, bound over the real ones in a mount
namespace in which each command runs, and all else of the machine is read-only there. So commands that mend are run as
they are printed, and nothing of this machine changes. Needs root.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from config.host import path_problems
from tests.support.host_namespace import copy_etc, mounts_of_etc
from tests.support.machine import SHUT
from tests.support.shared import made_once
from tests.support.site import CHECKOUT, ENTRY, IS_ROOT
from tests.support.tools import need

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

PRIVATE = ("etc", "home", "opt", "root", "run", "var/lib")
GATE_YAML = "/etc/gitlab-runner-gate/gate.yaml"
STATE = "/var/lib/gitlab-runner-gate"
CONFIG_TOML = "/etc/gitlab-runner/config.toml"
BIN = Path(sys.executable).parent
WITHIN_S = 60

_YAML = """\
version: 1
site: build01.example.com
state_dir: /var/lib/gitlab-runner-gate
approvers_group: gate-approvers
people:
  alice: {unix: alice, gitlab: [alice, 4711]}
  bob: {unix: bob, gitlab: [bob.builder, 4712]}
groups:
  release-managers: [alice, bob]
rules:
  - name: production
    match: {project: "shop/*", ref: main, protected: true}
    approvals:
      - {count: 1, of: [release-managers]}
    decide_within: 4h
    run_as: deployer
    variables: {deny: [code]}
  - name: branches
    match: {project: "shop/*"}
    approvals:
      - {count: 1, of: [release-managers]}
    decide_within: 1h
    variables: {deny: [code]}
backend:
  type: shell
  run_as: gitlab-job
page: {user: gitlab-gate, socket: /run/gitlab-runner-gate/page.sock}
on_event: [/etc/gitlab-runner-gate/notify]
"""
_UNIT = """\
[Unit]
Description=GitLab Runner
After=network.target

[Service]
ExecStart=/usr/bin/gitlab-runner "run" "--config" "/etc/gitlab-runner/config.toml" "--service" "gitlab-runner"
Restart=always
RestartSec=120

[Install]
WantedBy=multi-user.target
"""
_SET_UP = f"""
set -e
groupadd --force --system gate-approvers
for user in alice bob; do
  id -u $user >/dev/null 2>&1 || useradd --no-create-home $user
  usermod --append --groups gate-approvers $user
done
for user in gitlab-job deployer gitlab-gate; do id -u $user >/dev/null 2>&1 || useradd --system --no-create-home --shell /usr/sbin/nologin $user; done
usermod --append --groups gate-approvers gitlab-gate
install -d -m 0755 /etc/gitlab-runner-gate {STATE} /opt/gitlab-runner-gate/bin
install -d -o gitlab-gate -m 0755 /run/gitlab-runner-gate
install -d -m 0700 /etc/gitlab-runner
install -m 0755 {BIN}/gate-executor /opt/gitlab-runner-gate/bin/gate-executor
touch /opt/gitlab-runner-gate/pyvenv.cfg
install -m 0600 {CHECKOUT}/runner-config.example.toml {CONFIG_TOML}
sed -i 's|gitlab.example.com|gitlab.example|; s/glrt-REPLACE-ME/glrt-of-this-host/' {CONFIG_TOML}
install -d /etc/systemd/system/gitlab-runner.service.d
printf '[Service]\\nKillSignal=SIGQUIT\\nKillMode=mixed\\nTimeoutStopSec=25h\\n' > /etc/systemd/system/gitlab-runner.service.d/gate.conf
printf '#!/bin/sh\\n' > /etc/gitlab-runner-gate/notify
chmod 0755 /etc/gitlab-runner-gate/notify
"""
_USED = """
from audit import copies, log
from config.load import load_policy
from gate.store import audit_key, layout
policy, _ = load_policy("/etc/gitlab-runner-gate/gate.yaml")
layout.make(policy)
layout.make_job(policy, "git.example-42-1001")
audit_key.make(policy["state_dir"], policy["site"])
log.append(layout.audit(policy["state_dir"]), {"event": "drop-turned-away", "comment": "a record"}, version="1")
copies.keep_in_step(layout.audit(policy["state_dir"]), "syslog")
copies.keep_in_step(layout.audit(policy["state_dir"]), None)
"""


class WholeHost:
    """One such host, from which nothing is left behind."""

    def __init__(self) -> None:
        if not IS_ROOT:
            pytest.skip("a host of its own, with users and mounts, needs root")
        self.base = Path(tempfile.mkdtemp(prefix="gate-host-"))
        self.base.chmod(0o755)
        self.mounts: list[str] = []

    def __enter__(self) -> Self:
        subprocess.run(["cp", "-a", f"{_template()}/.", str(self.base)], check=True)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _t: TracebackType | None
    ) -> None:
        self.sh(f"chattr -R -f -ai {STATE}/audit")
        shutil.rmtree(self.base)

    def sh(self, script: str, *, check: bool = False) -> subprocess.CompletedProcess[str]:
        """Run a command line there by sh, as root, as an operator would."""
        return self.run(["sh", "-c", script], check=check)

    def run(self, command: list[str], *, check: bool = False) -> subprocess.CompletedProcess[str]:
        """Run a command there, as root."""
        done = subprocess.run(
            self.command(command),
            env=ENVIRONMENT,
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            timeout=WITHIN_S,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def command(self, command: list[str]) -> list[str]:
        """What runs a command there."""
        mounts = mounts_of_etc(self.base / "etc")
        mounts += [f"mount --rbind {self.base}/{name} /{name}" for name in PRIVATE]
        mounts += [f"mount --bind {self.base}/{name.rpartition('/')[2]} {name}" for name in _FILES]
        if runner := _runner():
            mounts.append(f"mount --bind {self.base}/gitlab-runner {runner}")
        script = " && ".join([*mounts, *self.mounts, *SHUT, 'exec "$@"'])
        return ["unshare", "--mount", "sh", "-c", script, "sh", *command]

    def check(self, *options: str) -> list[dict[str, Any]]:
        """What `gate check` finds there."""
        done = self.run([str(BIN / "gate"), "check", "--json", *options])
        assert done.stderr == ""
        told = json.loads(done.stdout)
        assert (done.returncode == 0) == told["ok"] == all(each["state"] != "fail" for each in told["findings"])
        return list(told["findings"])


ENVIRONMENT = {
    "PATH": f"{BIN}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/",
    "LANG": "C.UTF-8",
}
_FILES = {"/proc/1/comm": "init\n", "/proc/sys/fs/inotify/max_user_instances": "128\n"}


def is_of_the_machine(finding: dict[str, Any]) -> bool:
    """Whether a finding is of the machine that tests run on, and not of the host that is set up on it."""
    lies_on = str(finding["message"]).partition(" lies on ")[2]
    if finding["check"] == "job-host" and str(finding["message"]).startswith(("no git in ", "no gitlab-runner in ")):
        return True
    return bool(finding["check"] == "clock") or lies_on.startswith(("tmpfs, which is", "overlay, which is"))


@functools.cache
def _runner() -> str | None:
    """The machine's gitlab-runner, where it has one."""
    found = shutil.which("gitlab-runner", path=ENVIRONMENT["PATH"])
    return found and os.path.realpath(found)


def _make_runner(program: Path) -> None:
    """Stand in for the machine's: it says the same of itself, in a tenth of the time. A check asks three times."""
    said = subprocess.run([_runner() or "false", "--version"], capture_output=True, text=True, check=False).stdout
    program.write_text(f"#!/bin/sh\ncat << 'END'\n{said}END\n", encoding="utf-8")
    program.chmod(0o755)


@functools.cache
def _template() -> Path:
    """A host to copy."""
    _skip_unless_usable()
    return made_once("whole-host", _make_template)


def _make_template(base: Path) -> None:
    for name in PRIVATE:
        (base / name).mkdir(parents=True)
    for name, content in _FILES.items():
        (base / Path(name).name).write_text(content, encoding="ascii")
    _make_runner(base / "gitlab-runner")
    copy_etc(base / "etc")
    host = WholeHost.__new__(WholeHost)
    host.base, host.mounts = base, []
    (base / "etc/systemd/system").mkdir(parents=True, exist_ok=True)
    (base / "etc/systemd/system/gitlab-runner.service").write_text(_UNIT, encoding="ascii")
    host.sh(_SET_UP, check=True)
    (base / "etc/gitlab-runner-gate/gate.yaml").write_text(_YAML, encoding="ascii")
    host.run([sys.executable, "-c", f"import sys; sys.path.insert(0, {str(CHECKOUT)!r})\n{_USED}"], check=True)


def _skip_unless_usable() -> None:
    """The programs are this checkout's, which has to be root's alone, and for others to read."""
    need("systemd-analyze")  # by which it reads the runner's unit
    weak = path_problems(str(CHECKOUT), 0)
    if weak:
        pytest.skip(f"gate check would tell of this checkout itself: {weak[0]}")
    words = [
        "setpriv",
        "--reuid=65534",
        "--clear-groups",
        "--",
        sys.executable,
        "-I",
        "-c",
        f"import click; open({str(ENTRY)!r})",
    ]
    if subprocess.run(words, capture_output=True, check=False, timeout=WITHIN_S).returncode:
        pytest.skip(f"{sys.executable} or {CHECKOUT} cannot be used by other users: try PYTHON=/usr/bin/python3")
