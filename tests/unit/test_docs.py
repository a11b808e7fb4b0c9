"""What README and docs/ say is so: quoted help, links, and the runner's example configuration."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from executor.rehearsal_wiring import Wiring, from_config_toml
from tests.support import help_text

CHECKOUT = Path(__file__).parents[2]
PAGES = sorted([*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/**/*.md")])
EXAMPLE = CHECKOUT / "runner-config.example.toml"
_LINK = re.compile(r"\[[^\]\n]+\]\(([^)\s]+)\)")
_CODE = re.compile(r"^```.*?^```$|^(?: {4}|\t).*$|`[^`\n]+`", re.MULTILINE | re.DOTALL)


def _page(command: str) -> str:
    return help_text.quoted(help_text.PAGE.read_text(encoding="utf-8")).get(command, "")


@pytest.mark.parametrize("command", [*help_text.commands(), "gate-executor"])
def test_command_line_page_quotes_what_each_command_says(command: str) -> None:
    assert _page(command) == help_text.said(command), "renew it: python -m tests.support.help_text"


def test_command_line_page_quotes_no_command_that_is_gone() -> None:
    quoted = help_text.quoted(help_text.PAGE.read_text(encoding="utf-8"))
    assert set(quoted) == {*help_text.commands(), "gate-executor"}


@pytest.mark.parametrize(("command", "entry"), [("gate --help", "gate_main"), ("gate-executor", "executor_main")])
def test_quoted_help_is_that_of_the_installed_command(command: str, entry: str) -> None:
    code = f"import sys; sys.argv[0] = 'gate'; import gitlab_runner_gate as it; it.{entry}()"
    words = [sys.executable, "-c", code, *command.split()[1:]]
    env = {**os.environ, "COLUMNS": "80", "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=env, timeout=60)
    assert done.stdout + done.stderr == _page(command)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    text = _CODE.sub("", page.read_text(encoding="utf-8"))
    relative = [target for target in _LINK.findall(text) if "://" not in target]
    missing = [target for target in relative if not _leads_somewhere(page, target)]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_pages_name_no_path_of_a_developers_machine(page: Path) -> None:
    assert re.findall(r"/work/(?:main|shared)|/tmp/dev\b|\.\./shared", page.read_text(encoding="utf-8")) == []


def test_readme_says_what_ci_runs() -> None:
    run = (CHECKOUT / ".ci" / "run").read_text(encoding="utf-8")
    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    assert re.search(r"\bmake test$", run, re.MULTILINE)
    assert "\n    make test\n" in readme


def test_readme_gate_yaml_is_right() -> None:
    from config.load import policy_from
    from tests.support.fake_accounts import FakeHost

    (text,) = re.findall(r"^```yaml\n(version: 1\n.*?)^```$", _readme(), re.MULTILINE | re.DOTALL)
    policy = policy_from(text.encode(), "README.md", runner_uid=0, host=FakeHost())
    assert policy["rules"][0]["approvals"][0]["people"] == ["alice", "bob"]


def test_readme_exit_codes_are_the_defaults() -> None:
    from config.schema import schema

    known = schema()["properties"]["exit_codes"]["properties"]
    rows = dict(re.findall(r"^\| (\w+)[^|]* \| (8\d) \|", _readme(), re.MULTILINE))
    assert rows == {name: str(part["default"]) for name, part in known.items()}


def test_example_runner_config_wires_all_four_stages_by_absolute_paths() -> None:
    wiring = from_config_toml(str(EXAMPLE))
    for stage in ("config", "prepare", "run", "cleanup"):
        program, *arguments = getattr(wiring, stage)
        assert program == "/opt/gitlab-runner-gate/bin/gate-executor"
        assert arguments[:3] == ["--config", "/etc/gitlab-runner-gate/gate.yaml", stage]


def test_example_runner_config_gives_both_prepare_timeouts_alike() -> None:
    wiring = from_config_toml(str(EXAMPLE))
    assert wiring.prepare[-2:] == ("--prepare-timeout", str(wiring.prepare_exec_timeout))
    assert wiring.prepare_exec_timeout > Wiring().prepare_exec_timeout


def test_example_runner_config_has_one_runner_and_no_directories_of_its_own() -> None:
    (runner,) = _example()["runners"]
    assert runner["executor"] == "custom"
    assert not {"builds_dir", "cache_dir"} & runner.keys()


def _example() -> dict[str, Any]:
    return tomllib.loads(EXAMPLE.read_text(encoding="utf-8"))


def _readme() -> str:
    return (CHECKOUT / "README.md").read_text(encoding="utf-8")


def _leads_somewhere(page: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    found = page.parent / path if path else page
    return found.exists() and (not anchor or anchor in _anchors(found))


def _anchors(page: Path) -> list[str]:
    """As GitLab makes them: lower case, spaces as hyphens, other marks left out."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]
