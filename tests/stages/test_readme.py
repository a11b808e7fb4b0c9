"""README.md, followed word for word on a host with nothing but Python: its blocks are run, in their order, as they stand.

What is not of the README is played: GitLab, by a fake one; the hand that puts the runner's block with its token into
config.toml; systemd, where units are started (tests/support/systemctl.py); the approvers, who are Unix users.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING

import pytest

from tests.support.bare_host import BareHost
from tests.support.host_runner import CONFIG, HostRunner, RealRunner, Rehearsed, until
from tests.support.readme import Block, blocks
from tests.support.runner import find_runner
from tests.support.site import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FOLLOWED = ["Install it on a runner's host", "Who approves what", "A gated pipeline", "Answer"]
PEOPLE = ("alice", "bob", "carol")
WAITS = "this job waits for an approval"


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, as `make package` builds it."""
    directory = tmp_path_factory.mktemp("wheels")
    words = [sys.executable, "-m", "build", "--wheel", "--outdir", str(directory), str(CHECKOUT)]
    subprocess.run(words, check=True, capture_output=True, timeout=300)
    return directory


@pytest.fixture
def host(tmp_path: Path) -> Iterator[BareHost]:
    runner = find_runner()
    with BareHost(tmp_path, programs=[runner] if runner else [], people=PEOPLE) as host:
        stand_in = host.path("/usr/local/bin/systemctl")
        shutil.copy(CHECKOUT / "tests" / "support" / "systemctl.py", stand_in)
        stand_in.write_text(f"#!/usr/bin/python3 -I\n{stand_in.read_text(encoding='utf-8')}", encoding="utf-8")
        stand_in.chmod(0o755)
        yield host


@pytest.fixture
def runner(host: BareHost) -> Iterator[HostRunner]:
    chosen = RealRunner(host) if find_runner() else Rehearsed(host)
    yield chosen
    chosen.close()


def readme() -> Iterator[Block]:
    return (block for block in blocks(CHECKOUT / "README.md") if block.section in FOLLOWED)


def put_into_config_toml(host: BareHost, said: str, url: str) -> None:
    """What `gate init` printed, with url and token; `concurrent` as README says."""
    block = "[[runners]]\n" + said.partition("[[runners]]\n")[2].partition("\n\n")[0]
    text = re.sub(r"^( *url = ).*$", rf'\g<1>"{url}"', f"concurrent = 50\n{block}\n", flags=re.MULTILINE)
    text = re.sub(r'^( *token = )"[^"]*"', r'\g<1>"glrt-test"', text, flags=re.MULTILINE)
    tomllib.loads(text)
    host.path(CONFIG).parent.mkdir(mode=0o700)
    host.path(CONFIG).touch(mode=0o600)
    host.path(CONFIG).write_text(text, encoding="utf-8")


def test_readme_word_for_word(host: BareHost, runner: HostRunner, wheels: Path) -> None:
    todo = readme()

    install = next(todo)
    host.run(install.text, check=True, PIP_FIND_LINKS=str(wheels))
    said = host.run(next(todo).text, check=True).stdout
    host.run(next(todo).text, check=True)
    put_into_config_toml(host, said, runner.url)
    check = host.run(next(todo).text)
    assert (check.returncode, re.findall(r"^(?:warn|fail).*", check.stdout, re.MULTILINE)) == (0, [])
