"""What other runners of one config.toml can do to the gate beside them (issue 12, C2)."""

from __future__ import annotations

from typing import Any

import pytest

from executor.checks.runner import neighbours
from executor.checks.runner_unit import Unit
from tests.unit.test_checks import EXAMPLE, POLICY, context_of

WITH_USER = Unit({"ExecStart": ('/usr/bin/gitlab-runner "run" "--user" "gitlab-runner"',)})
PAGE = {"listen": ["127.0.0.1", 8420]}
MOUNT = '[runners.docker]\nvolumes = ["/cache", "data:/data", "{}"]'


def block(executor: str, more: str = "", token: str = "glrt-of-another") -> str:  # noqa: S107  no password
    return f'\n[[runners]]\nname = "other"\ntoken = "{token}"\nexecutor = "{executor}"\n{more}\n'


def found_with(more: str, **changes: Any) -> list[tuple[str, str]]:
    return [(each.state, each.message) for each in neighbours.find(context_of(EXAMPLE + more, **changes))]


# the block, what it is, and words of it
TOLD = [
    (block("docker", token="glrt-REPLACE-ME"), "fail", "has the token of 'gate'"),
    (block("custom", '[runners.custom]\nrun_exec = "/opt/driver"'), "warn", "its driver /opt/driver is started as root"),
    (block("shell"), "fail", "runs as root on this host"),
    (block("ssh", '[runners.ssh]\nhost = "localhost"\nuser = "root"'), "fail", "runs as root on this very host"),
    (block("ssh", '[runners.ssh]\nhost = "127.0.0.1"\nuser = "ci"'), "warn", "see that ci cannot become root"),
    (block("docker", "[runners.docker]\nprivileged = true"), "fail", "privileged is on"),
    (block("docker", "[runners.docker]\nservices_privileged = true"), "fail", "services_privileged is on"),
    (block("docker", '[runners.docker]\nprivileged = true\nhost = "unix:///run/user/1000/docker.sock"'), "warn", "privileged"),
    (block("docker", '[runners.docker]\ncap_add = ["NET_ADMIN", "CAP_SYS_ADMIN"]'), "fail", "cap_add has SYS_ADMIN"),
    (block("docker", '[runners.docker]\ndevices = ["/dev/sda"]'), "warn", "see that none is a disk"),
    *((block("docker", MOUNT.format(each)), state, words) for each, state, words in (
        ("/var/run/docker.sock:/var/run/docker.sock", "fail", "start a container"),
        ("/run:/host/run:ro", "fail", "start a container"),
        ("/:/host:ro", "fail", "start a container"),
        ("/var/lib/gitlab-runner-gate/drop:/drop", "fail", "write what is the gate's own"),
        ("/var/lib:/x:ro", "warn", "read what is the gate's own"),
        ("/etc/gitlab-runner:/x", "fail", "write what is the gate's own"),
        ("/etc/ssl:/etc/ssl:ro", "warn", "this host's own /etc/ssl"),
    )),
]  # fmt: skip
FINE = [
    block("docker"),
    block("docker", MOUNT.format("/srv/cache:/srv/cache")),
    block("docker", '[runners.docker]\nprivileged = true\nhost = "tcp://10.0.0.9:2376"'),
    block("docker+machine", "[runners.docker]\nprivileged = true"),
    block("kubernetes", "[runners.kubernetes]\nprivileged = true"),
    block("ssh", '[runners.ssh]\nhost = "build02.example.com"\nuser = "root"'),
    block("docker", "docker = 1"),
    block("docker", "[runners.docker]\nvolumes = 3\ndevices = [1]\ncap_add = 'x'").replace("devices = [1]\n", ""),
]


@pytest.mark.parametrize(("more", "state", "words"), TOLD, ids=[words for _, _, words in TOLD])
def test_what_undoes_the_gate_is_told(more: str, state: str, words: str) -> None:
    ((found, message),) = found_with(more)
    assert found == state
    assert words in message
    assert "glrt" not in message


@pytest.mark.parametrize("more", FINE)
def test_what_is_elsewhere_or_shut_in_is_not(more: str) -> None:
    ((state, message),) = found_with(more)
    assert (state, "has 1 other runners" in message) == ("ok", True)


def test_jobs_of_a_shell_runner_are_whom_the_unit_names() -> None:
    ((state, message),) = found_with(block("shell"), unit=WITH_USER)
    assert state == "warn"
    assert "runs as gitlab-runner on this host, ungated" in message


def test_a_container_on_the_host_s_network_reaches_a_page_that_listens() -> None:
    more = block("docker", '[runners.docker]\nnetwork_mode = "host"')
    assert [state for state, _ in found_with(more)] == ["ok"]
    ((state, message),) = found_with(more, policy={**POLICY, "page": PAGE})
    assert (state, "can try passwords" in message) == ("warn", True)


def test_all_that_is_wrong_with_one_is_told() -> None:
    more = block("docker", MOUNT.format("/:/host") + "\nprivileged = true", token="glrt-REPLACE-ME")
    assert [state for state, _ in found_with(more)] == ["fail", "fail", "fail"]


def test_a_gate_of_its_own_beside_it_is_none() -> None:
    lab = EXAMPLE[EXAMPLE.index("\n[[runners]]") :].replace("-gate/gate.yaml", "-gate-lab/gate.yaml")
    assert [state for state, _ in found_with("\n" + lab.replace("REPLACE-ME", "of-the-lab"))] == ["ok"]
    assert [state for state, _ in found_with("\n" + lab)] == ["fail"]
