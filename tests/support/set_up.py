"""A host that `gate init` has set up: how it is called there, what is then there, and a job that comes to it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from tests.support.host_namespace import ENVIRONMENT, GATE

if TYPE_CHECKING:
    from tests.support.host_namespace import PrivateHost

ETC, STATE, CONFIG = "/etc/gitlab-runner-gate", "/var/lib/gitlab-runner-gate", "/etc/gitlab-runner-gate/gate.yaml"
TOLD = ("init", "--site", "a.example", "--approvers", "alice=4711,bob=4712")
PLACES = (ETC, STATE, "/home/gitlab-job")
TREE = {
    ETC: ("d", "root", "root", "0755"),
    CONFIG: ("-", "root", "root", "0644"),
    STATE: ("d", "root", "root", "0755"),
    f"{STATE}/audit": ("d", "root", "gate-approvers", "2750"),
    f"{STATE}/audit.key": ("-", "root", "root", "0600"),
    f"{STATE}/cache": ("d", "root", "root", "0711"),
    f"{STATE}/drop": ("d", "root", "root", "0755"),
    f"{STATE}/drop/alice": ("d", "alice", "root", "0700"),
    f"{STATE}/drop/bob": ("d", "bob", "root", "0700"),
    f"{STATE}/drop/signed": ("d", "root", "gate-approvers", "1770"),
    f"{STATE}/jobs": ("d", "root", "gate-approvers", "2750"),
    f"{STATE}/page": ("d", "gitlab-gate", "gitlab-gate", "0700"),
    f"{STATE}/turned-away": ("d", "root", "root", "0700"),
    f"{STATE}/archive": ("d", "root", "root", "0700"),
    f"{STATE}/archive/removing": ("d", "root", "root", "0700"),
    f"{STATE}/compiled": ("d", "root", "root", "0700"),
    f"{STATE}/work": ("d", "root", "root", "0711"),
    "/home/gitlab-job": ("d", "gitlab-job", "gitlab-job", "0700"),
}


def accounts(host: PrivateHost) -> str:
    return host.text("/etc/passwd") + host.text("/etc/group")


def everything(host: PrivateHost) -> dict[str, Any]:
    """All that `gate init` can change there."""
    return {"tree": host.tree("/etc", "/home", "/var/lib", "/usr/local/sbin"), "accounts": accounts(host)}


def done(ran: subprocess.CompletedProcess[str]) -> str:
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def refused(ran: subprocess.CompletedProcess[str]) -> str:
    """What it says, where it does not do it; never a traceback."""
    assert ran.returncode == 1
    assert ran.stdout == ""
    assert ran.stderr.startswith("gate: ")
    assert "Traceback" not in ran.stderr
    return ran.stderr.removeprefix("gate: ")


def rehearsed(host: PrivateHost, *options: str, config: str = CONFIG, user: str | None = None) -> str:
    """The log of a job that the rehearsal runs as `user`, and alice approves."""
    words = [sys.executable, "-I", "-c", GATE, "--config", config, "rehearse", *options]
    pipe = subprocess.PIPE
    with subprocess.Popen(host.command(words, user), stdout=pipe, stderr=pipe, text=True, env=ENVIRONMENT) as job:
        assert job.stdout is not None
        log = ""
        while "approve" not in log:
            line = job.stdout.readline()
            assert line, log
            log += line
        key = json.loads(done(host.gate("--config", config, "list", "--json", user=user)))[0]["key"]
        done(host.gate("--config", config, "approve", key, user="alice"))
        log += job.stdout.read()
    assert job.returncode == 0, log
    return log
