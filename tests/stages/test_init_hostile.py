"""`gate init` with answers that cannot be: one plain fault, and nothing made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.host_namespace import PrivateHost
from tests.support.set_up import STATE, TOLD, everything, refused

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def host() -> Iterator[PrivateHost]:
    """One for all: nothing here makes anything, which each test looks at."""
    with PrivateHost() as made:
        yield made


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--site", "a"], "--approvers is missing"),
        (["--approvers", "alice,nobody-here"], "no Unix user 'nobody-here' on this host: useradd --create-home nobody-here"),
        (["--approvers", ""], "--approvers: no one to approve"),
        (["--approvers", ","], "--approvers: no one to approve"),
        (["--approvers", "alice,alice"], "'alice' is there twice"),
        (["--approvers", "alice=7,bob=7"], "'7' is there twice"),
        (["--approvers", "alice=x"], "'x' is no numeric GitLab user id"),
        (["--approvers", "alice=0"], "'0' is no numeric"),
        (["--approvers", "alice=" + "9" * 5000], "is no numeric"),
        (["--approvers", "alice:root"], "'alice:root' does not fit"),
        (["--approvers", "-x"], "'-x' does not fit"),
        (["--approvers", b"al\xffce"], "does not fit"),
        (["--approvers", "x" * 100_000], "does not fit"),
        (["--approvers", "alice", "--run-as", "alice"], "'alice' is the person 'alice' too"),
        (["--approvers", "alice", "--run-as", "root"], "so a job could approve itself"),
        (["--approvers", "alice", "--run-as", "gitlab-gate"], "jobs run as 'gitlab-gate', so a job could vote"),
        (["--approvers", "alice", "--run-as", "Deploy.User"], "systemd-sysusers takes no such name"),
        (["--approvers", "alice", "--run-as", "a b"], "--run-as: 'a b' does not fit"),
        (["--approvers", "alice", "--run-as", "--help"], "--run-as: '--help' does not fit"),
        (["--approvers", "alice", "--run-as", "$(id)"], "systemd-sysusers takes no such name"),
        (["--approvers", "alice", "--site", "a b"], "--site: 'a b' does not fit"),
        (["--approvers", "alice", "--site", ""], "--site: '' does not fit"),
        (["--approvers", "alice", "--site", "a\nb: c"], "--site: 'a\\nb: c' does not fit"),
        (["--approvers", "alice", "--state-dir", ""], "--state-dir: '' does not fit"),
        (["--approvers", "alice", "--state-dir", "/home/gitlab-job/state"], "in a directory of gitlab-job"),
        (["--approvers", "alice", "--state-dir", "state"], "'state' does not fit"),
        (["--approvers", "alice", "--state-dir", "/var/lib/../x"], "'/var/lib/../x' does not fit"),
        (["--approvers", "alice", "--state-dir", b"/var/lib/\xff"], "does not fit"),
        (["--approvers", "alice", "--state-dir", "/var/lib" + "/x" * 3000], "/var/lib/x"),
        (["--approvers", "alice", "--state-dir", "/var/lib/" + "x" * 300], "File name too long"),
        (["--approvers", "alice", "--state-dir", "/proc/gate"], "/proc"),
        (["--approvers", "alice", "--state-dir", "/etc/passwd/state"], "/etc/passwd"),
        (["--approvers", "alice", "--run-as", "x", "--allow-same-user"], "exclude each other"),
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_is_told_before_anything_is_made(host: PrivateHost, words: list[str], message: str) -> None:
    before = everything(host)
    assert message in refused(host.gate("init", *words))
    assert everything(host) == before


@pytest.mark.parametrize(
    "config",
    [
        "/etc/g\n/gate.yaml",
        b"/etc/\xff.yaml",
        "/etc" + "/x" * 3000,
        "/etc/passwd/gate.yaml",
        "/",
        f"{STATE}/jobs/gate.yaml",
    ],
)
def test_a_gate_yaml_that_cannot_be_is_told_before_anything_is_made(host: PrivateHost, config: str) -> None:
    before = everything(host)
    refused(host.gate("--config", config, *TOLD))
    assert everything(host) == before
