"""What README and docs/ say is so: quoted help, links, and the runner's example configuration."""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner

from config.load import policy_from
from config.schema import schema
from executor.checks.command import check
from executor.rehearsal.command import rehearse
from executor.rehearsal.sample import sample_job
from executor.rehearsal.wiring import Wiring, from_config_toml
from gate.commands import gate as gate_command
from gate.model.looser import looser
from tests.support import help_text
from tests.support.fake_accounts import FakeHost

CHECKOUT = Path(__file__).parents[2]
PAGES = sorted([*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/**/*.md")])
RULES_PAGE = CHECKOUT / "docs" / "how-to" / "rules.md"
TAUGHT = [CHECKOUT / "README.md", *sorted(CHECKOUT.glob("docs/how-to/*.md"))]
EXAMPLE = CHECKOUT / "runner-config.example.toml"
_LINK = re.compile(r"\[[^\]\n]+\]\(([^)\s]+)\)")
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SHELL_LINE = re.compile(r"^(?: {4}|\$ | {4}\$ )(gate .*)$", re.MULTILINE)
_CODE = re.compile(r"^```.*?^```$|^(?: {4}|\t).*$|`[^`\n]+`", re.MULTILINE | re.DOTALL)


def _gate_yamls(page: Path) -> list[str]:
    """The gate.yaml examples of a page.

    One that is only some sections takes the place of these in its first, or README's.
    """
    sections = schema()["properties"].keys()
    yamls = [text for kind, text in _FENCED.findall(page.read_text(encoding="utf-8")) if kind == "yaml"]
    found = [text for text in yamls if text.partition(":")[0] in sections]
    whole = [text for text in found if text.startswith("version: 1\n")]
    parts = [text for text in found if text not in whole]
    first = (whole or _gate_yamls(CHECKOUT / "README.md"))[0]
    return whole + [yaml.safe_dump({**yaml.safe_load(first), **yaml.safe_load(text)}) for text in parts]


def _shell_lines(page: Path) -> list[str]:
    return _SHELL_LINE.findall(page.read_text(encoding="utf-8"))


def _named_commands(page: Path) -> list[str]:
    return sorted(set(re.findall(r"`(gate [a-z][^`\n]*)`", page.read_text(encoding="utf-8"))))


def _whole_gate() -> click.Command:
    """The command as gitlab_runner_gate.gate_main puts it together."""
    return click.Group(
        "gate", {**gate_command.commands, "check": check, "rehearse": rehearse}, params=gate_command.params
    )


def _context(command: click.Command) -> click.Context:
    """As within `gate`: a command keeps the help option of the first context that it meets, for the tests after this one."""
    return click.Context(command, **gate_command.context_settings)


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


def test_readme_says_what_ci_runs() -> None:
    run = (CHECKOUT / ".ci" / "run").read_text(encoding="utf-8")
    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    assert re.search(r"\bmake test$", run, re.MULTILINE)
    assert "\n    make test\n" in readme


@pytest.mark.parametrize("page", TAUGHT, ids=lambda page: page.name)
def test_gate_yaml_examples_load(page: Path) -> None:
    for text in _gate_yamls(page):
        policy = policy_from(text.encode(), page.name, runner_uid=0, host=FakeHost())
        assert policy["rules"]
        assert [(each.strict["name"], each.loose["name"]) for each in looser(policy)] == []
        assert not any("never" in rule for rule in policy["rules"])


def test_gate_yaml_examples_are_found() -> None:
    assert len(_gate_yamls(CHECKOUT / "README.md")) == 1
    assert len(_gate_yamls(RULES_PAGE)) > 1


def test_readme_gate_yaml_asks_two_people_of_different_lists() -> None:
    (text,) = _gate_yamls(CHECKOUT / "README.md")
    policy = policy_from(text.encode(), "README.md", runner_uid=0, host=FakeHost())
    assert [entry["people"] for entry in policy["rules"][0]["approvals"]] == [["alice", "bob"], ["carol"]]


@pytest.mark.parametrize("line", [pytest.param(line, id=line) for page in TAUGHT for line in _shell_lines(page)])
def test_commands_that_pages_show_exist_with_their_options(line: str) -> None:
    command, words = _whole_gate(), shlex.split(line, comments=True)[1:]
    while isinstance(command, click.Group):
        _options, words, _order = command.make_parser(_context(command)).parse_args(words)
        assert words, f"{line!r} names no command"
        command, words = command.commands[words[0]], words[1:]
    command.make_parser(_context(command)).parse_args(words)


@pytest.mark.parametrize("text", [pytest.param(text, id=text) for page in TAUGHT for text in _named_commands(page)])
def test_commands_that_pages_name_exist_with_their_options(text: str) -> None:
    command, words = _whole_gate(), text.split()[1:]
    while isinstance(command, click.Group) and words:
        command, words = command.commands[words[0]], words[1:]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= known


def test_rules_page_shows_what_rules_test_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = policy_from(_gate_yamls(RULES_PAGE)[0].encode(), RULES_PAGE.name, runner_uid=0, host=FakeHost())
    module = importlib.import_module("gate.commands.rules")  # as an attribute, that is the command
    monkeypatch.setattr(module, "load_policy_as_reader", lambda _config: (policy, ""))
    job = tmp_path / "job.json"
    sample = sample_job()
    job.write_text(json.dumps(sample).replace(str(sample["id"]), "1234"), encoding="utf-8")
    printed = CliRunner().invoke(gate_command, ["rules", "test", "--job", str(job)]).output
    assert f"```\n$ gate rules test --job job.json\n{printed}```\n" in RULES_PAGE.read_text(encoding="utf-8")


def test_readme_exit_codes_are_the_defaults() -> None:
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


def _exec_start(page: str) -> str:
    """As systemd reads it: a line that ends in a backslash goes on in the next."""
    (command,) = re.findall(r"^ExecStart=((?:.*\\\n)*.*)$", page, re.MULTILINE)
    return str(command).replace("\\\n", " ")


@pytest.mark.parametrize("code", [0, 1])
def test_the_unit_that_sends_checkpoints_away_sends_none_where_there_is_none(tmp_path: Path, code: int) -> None:
    page = (CHECKOUT / "docs" / "how-to" / "audit.md").read_text(encoding="utf-8")
    shell, option, script = shlex.split(_exec_start(page).replace("%%", "%"))
    (tmp_path / "gate").write_text(f"#!/bin/sh\necho the note\nexit {code}\n")
    (tmp_path / "ssh").write_text(f'#!/bin/sh\n(echo "$2"; cat) > {tmp_path}/sent\n')
    for name in ("gate", "ssh"):
        (tmp_path / name).chmod(0o755)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "RUNTIME_DIRECTORY": str(tmp_path)}

    done = subprocess.run([shell, option, script], env=env, check=False)

    sent = (tmp_path / "sent").read_text() if (tmp_path / "sent").exists() else ""
    assert (done.returncode, bool(sent)) == (code, not code)
    assert not sent or re.fullmatch(r"cat > notes/\d{4}-\d\d-\d\dT\d{4}\.note\nthe note\n", sent)
