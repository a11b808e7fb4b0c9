"""README.md, followed word for word on a host with nothing but Python: its blocks are run, in their order, as they stand.

What is not of the README is played: GitLab, by a fake one; the hand that puts the runner's block with its token into
config.toml; systemd, where units are started (tests/support/systemctl.py); the approvers, who are Unix users.
"""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.support.empty_host import BareHost
from tests.support.host_runner import CONFIG, FIRST_JOB, HostRunner, RealRunner, Rehearsed, until
from tests.support.installed_host import is_of_the_machine
from tests.support.readme import Block, blocks
from tests.support.runner import find_runner
from tests.support.site import CHECKOUT
from tests.support.tools import need

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLLOWED = ["Install it on a runner's host", "Who approves what", "A gated pipeline", "Answer"]
UNIT = """[Service]
ExecStart=/usr/bin/gitlab-runner run --config /etc/gitlab-runner/config.toml --working-directory /var/lib/gitlab-runner
Restart=always
"""
WAITS = "this job waits for an approval"


CLONE = "/home/alice/gitlab-runner-gate"
NOT_CLONED = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "images")


@pytest.fixture
def host() -> Iterator[BareHost]:
    need("curl")
    runner = find_runner()
    with BareHost([runner] if runner else []) as host:
        stand_in = host.at("/usr/local/bin/systemctl")
        code = (CHECKOUT / "tests" / "support" / "systemctl.py").read_text(encoding="utf-8")
        stand_in.write_text(f"#!/usr/bin/python3 -I\n{code}", encoding="utf-8")
        stand_in.chmod(0o755)
        host.at("/etc/systemd/system/gitlab-runner.service").write_text(UNIT)  # as GitLab's package has it
        shutil.copytree(CHECKOUT, host.at(CLONE), ignore=NOT_CLONED)
        host.sh(f"chown -R alice:alice {CLONE}", check=True)
        yield host


@pytest.fixture
def runner(host: BareHost) -> Iterator[HostRunner]:
    chosen = RealRunner(host) if find_runner() else Rehearsed(host)
    yield chosen
    chosen.close()


def readme() -> Iterator[Block]:
    return (block for block in blocks(CHECKOUT / "README.md") if block.section in FOLLOWED)


def put_into_config_toml(host: BareHost, top: str, said: str, url: str) -> None:
    """What README has for its top, and what `gate init` printed, with url and token."""
    block = "[[runners]]\n" + said.partition("[[runners]]\n")[2].partition("\n\nCheckpoints")[0]
    text = re.sub(r"^( *url = ).*$", rf'\g<1>"{url}"', f"{top}{block}\n", flags=re.MULTILINE)
    text = re.sub(r'^( *token = )"[^"]*"', r'\g<1>"glrt-test-token-of-nobody"', text, flags=re.MULTILINE)
    tomllib.loads(text)
    host.at(CONFIG).parent.mkdir(mode=0o700)
    host.at(CONFIG).touch(mode=0o600)
    host.at(CONFIG).write_text(text, encoding="utf-8")


def mended(host: BareHost, check: Block) -> list[str]:
    """What `gate check` finds once its mending commands were run; as README says, until nothing is left to do."""
    for _ in range(3):
        findings = json.loads(host.sh(f"{check.text.strip()} --json").stdout)["findings"]
        left = [each for each in findings if each["state"] != "ok" and not is_of_the_machine(each)]
        if not left:
            return []
        for each in left:
            host.sh(each["fix"])
    return [f"{each['check']}: {each['message']}" for each in left]


def build_and_install(host: BareHost, build: Block, install: Block) -> None:
    """The one by alice, who may write nowhere else; the other by root, who gets nothing from anywhere."""
    host.sh(f"cd {CLONE}\n{build.text}", user="alice", check=True)
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9", "PIP_FIND_LINKS": "", "PIP_EXTRA_INDEX_URL": ""}
    host.sh(f"cd {CLONE}\n{install.text}", check=True, **nowhere)


def test_readme_word_for_word(host: BareHost, runner: HostRunner) -> None:
    build, install, init, page, top, check, user, gate_yaml, pipeline, ssh, answers, drop = readme()

    build_and_install(host, build, install)
    said = host.sh(init.text, check=True).stdout
    host.sh(page.text, check=True)
    put_into_config_toml(host, top.text, said, runner.url)
    assert mended(host, check) == []

    host.sh(user.text, check=True)
    host.at("/etc/gitlab-runner-gate/gate.yaml").write_text(gate_yaml.text, encoding="utf-8")
    assert mended(host, check) == []

    deploy = yaml.safe_load(pipeline.text)["deploy"]
    job = {"project_path": "shop/web", "timeout": 5 * 3600, "environment": deploy["environment"]}
    job |= {"script": ["id -un", "echo by $GATE_APPROVED_BY"], "variables": {"GIT_STRATEGY": "none"}}
    assert deploy["tags"] == ["gated"]
    assert deploy["timeout"] == "5h"

    rejected = runner.submit(**job)
    until(rejected, WAITS, runner.log)
    door = ssh.text.split(":")[1].split()[0]
    curl = f"curl --silent --unix-socket {door} --cookie-jar /tmp/alice.jar --cookie /tmp/alice.jar"
    address = host.sh("gate page link", user="alice", check=True).stdout.strip()
    host.sh(f"{curl} --data '' --header 'Sec-Fetch-Site: same-origin' {address}", user="alice", check=True)
    page_as_alice = f"{curl} http://gate.localhost:8420/"
    until(rejected, str(rejected), lambda _job: host.sh(page_as_alice, user="alice", check=True).stdout)
    for line in answers.text.splitlines():
        host.sh(line, user="alice", check=True)
    assert runner.end(rejected)[:2] == ("failed", 80)
    assert 'rejected by alice: "not on a Friday"' in runner.end(rejected).log

    turned_away = runner.submit(**job)
    until(turned_away, "refused", runner.log)
    assert runner.end(turned_away)[:2] == ("failed", 83)

    dropped = runner.submit(**job, name="by drop")
    until(dropped, WAITS, runner.log)
    by_file = drop.text.replace(str(FIRST_JOB), str(dropped))
    host.sh(by_file, user="alice", check=True)
    assert runner.end(dropped)[:2] == ("failed", 80)

    approved = runner.submit(**job, name="approved")
    until(approved, WAITS, runner.log)
    by_file = drop.text.replace(str(FIRST_JOB), str(approved)).replace(".reject", ".approve")
    host.sh(by_file, user="alice", check=True)
    host.sh(by_file.replace("alice", "carol"), user="carol", check=True)
    end = runner.end(approved)
    assert (end.state, "deployer" in end.log, "by alice,carol" in end.log) == ("success", True, True)
    assert host.sh("gate audit verify", user="alice").stdout.startswith("ok ")
    assert mended(host, check) == []
