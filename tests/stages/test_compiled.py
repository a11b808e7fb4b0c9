"""A stage that finds an unchanged gate.yaml needs neither PyYAML nor jsonschema.

One that does not, finds them without `site`.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from config.load import load_policy
from tests.support.site import CHECKOUT, Site
from tests.support.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

LIBRARIES = {"yaml", "jsonschema"}


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as site:
        Stage(site).close()
        yield site


def imported(site: Site, *options: str) -> set[str]:
    """Which of the two libraries the stage imports that prints the policy."""
    entry = str(CHECKOUT / "gitlab_runner_gate.py")
    command = [sys.executable, "-I", *options, "-X", "importtime", entry, "--config", str(site.yaml), "policy"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    policy, digest = load_policy(str(site.yaml))
    assert json.loads(done.stdout) == {"policy": json.loads(json.dumps(policy)), "sha256": digest}
    return set(re.findall(r"\| +(\w+)$", done.stderr, re.MULTILINE)) & LIBRARIES


@pytest.mark.parametrize("options", [(), ("-S",)])
def test_a_stage_needs_the_libraries_once_for_each_gate_yaml(site: Site, options: tuple[str, ...]) -> None:
    assert [imported(site, *options) for _ in range(2)] == [LIBRARIES, set()]
    site.config["site"] = "other.example"
    site.write()
    assert [imported(site, *options) for _ in range(2)] == [LIBRARIES, set()]


def test_where_nothing_can_be_kept_each_stage_reads_gate_yaml_whole(site: Site) -> None:
    (site.state / "compiled").chmod(0o755)
    assert [imported(site) for _ in range(2)] == [LIBRARIES, LIBRARIES]
    assert list((site.state / "compiled").iterdir()) == []
