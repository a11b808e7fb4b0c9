"""The `gate` command as scripts and shells use it: JSON, completion, watching, no colours."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
from click.testing import CliRunner

from config.schema import schema
from tests.support.help_text import WIDTH, commands, whole
from tests.support.host_namespace import GATE
from tests.support.site import APPROVER, CHECKOUT, IS_ROOT, Site
from tests.support.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

# a server, texts, and what is JSON unless asked for otherwise
WITHOUT_JSON = {"gate", "gate-executor", "gate page", "gate completion", "gate config schema", "gate audit export",
                "gate config runner"}  # fmt: skip


@pytest.fixture
def staged() -> Iterator[tuple[Site, Stage]]:
    with Site(rule={"decide_within": "1d"}) as site:
        stage = Stage(site)
        yield site, stage
        stage.close()


def as_json(done: subprocess.CompletedProcess[str]) -> Any:
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def is_group(command: str) -> bool:
    return any(other.startswith(f"{command.removesuffix(' --help')} ") and other != command for other in commands())


@pytest.mark.parametrize("command", [each for each in commands() if not is_group(each)])
def test_every_command_has_json(command: str) -> None:
    name = command.removesuffix(" --help")
    text = (CHECKOUT / "docs" / "reference" / "command-line.md").read_text(encoding="utf-8")
    said = text.partition(f"$ {command}\n")[2].partition("```")[0]
    assert ("--json" in said) == (name not in WITHOUT_JSON)


@pytest.mark.parametrize("width", [40, WIDTH])
@pytest.mark.parametrize("command", [each for each in commands() if is_group(each)])
def test_no_summary_of_a_command_is_cut(command: str, width: int) -> None:
    said = " ".join(CliRunner().invoke(whole(), command.split()[1:], terminal_width=width).output.split())
    group: click.Command = whole()
    for name in command.split()[1:-1]:
        assert isinstance(group, click.Group)
        group = group.commands[name]
    assert isinstance(group, click.Group)
    for name, each in group.commands.items():
        assert f" {name} {' '.join(each.get_short_help_str(1000).split())}" in said


@pytest.mark.parametrize("words", ["--help", "config schema", "check --only runner-config", "check --json"])
def test_a_full_disk_behind_stdout_is_told_in_one_line(words: str) -> None:
    with open("/dev/full", "w", encoding="ascii") as full:
        command = [sys.executable, "-I", "-c", GATE, *words.split()]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (1, "gate: no space left on device, where stdout goes\n")


def test_it_works_in_a_directory_that_is_gone(staged: tuple[Site, Stage], tmp_path: Path) -> None:
    site = staged[0]
    script = f"import os; os.chdir({str(tmp_path)!r}); os.rmdir({str(tmp_path)!r})\n{GATE}"
    command = [sys.executable, "-I", "-c", script, "--config", str(site.yaml), "list"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "nothing waits\n")


def test_what_waits_is_json(staged: tuple[Site, Stage]) -> None:
    site, stage = staged
    request = stage.waiting(name="migrate")
    (found,) = as_json(site.gate(APPROVER, "list", "--json"))
    assert (found["key"], found["facts"]["name"]) == (request.key, "migrate")
    assert as_json(site.gate(APPROVER, "show", request.key, "--json"))["waiting"] is True


def test_what_waits_is_told_beside_what_cannot_be_read(staged: tuple[Site, Stage]) -> None:
    site, stage = staged
    requests = [stage.waiting() for _ in range(3)]
    for broken in requests[:2]:
        Path(broken.directory, "request.json").chmod(0o600)
        Path(broken.directory, "request.json").write_text("{")
    told = site.gate(APPROVER, "list")
    assert (told.returncode, told.stdout.split()[-1]) == (7, requests[2].key)
    assert requests[0].key in told.stderr
    assert "(and 1 more: `gate check` names them)" in told.stderr
    found = json.loads(site.gate(APPROVER, "list", "--json").stdout)
    assert [(each["key"], each["state"]) for each in found] == [
        (requests[2].key, "waiting"),
        (requests[0].key, "unreadable"),
        (requests[1].key, "unreadable"),
    ]
    assert [each["error"]["kind"] for each in found[1:]] == ["gate-broken"] * 2


def test_an_answer_is_json(staged: tuple[Site, Stage]) -> None:
    site, stage = staged
    request = stage.waiting()
    told = as_json(site.gate(APPROVER, "approve", request.key, "--no-wait", "--json"))
    assert (told["job"], told["answer"], told["outcome"]) == (request.key, "approve", "left")
    assert told["message"].startswith("left ")


@pytest.mark.parametrize("words", [["approve"], ["reject", "--early"], ["show"], ["audit", "show"], ["statement"]])
def test_what_names_no_job_is_one_clear_error(staged: tuple[Site, Stage], words: list[str]) -> None:
    site, stage = staged
    stage.waiting()
    told = site.gate_here(*words, "job-1001", *(["approve"] if words == ["statement"] else []))
    assert (told.exit_code, "'job-1001' names no job" in str(told.exception)) == (1, True)


@pytest.mark.parametrize(
    "form",
    ["{number}", "#{number}", "{key}", "http://gitlab.example/grp/app/-/jobs/{number}", "http://x/requests/{key}"],
)
def test_a_job_is_meant_by_any_of_its_names(staged: tuple[Site, Stage], form: str) -> None:
    site, stage = staged
    request = stage.waiting()
    text = form.format(number=request.facts["job_id"], key=request.key)
    assert request.key in site.gate_here("show", text).stdout
    assert request.key in site.gate_here("audit", "show", text).stdout
    told = as_json(site.gate(APPROVER, "reject", text, "--no-wait", "--json"))
    assert (told["outcome"], f"{request.key}.reject" in told["message"]) == ("left", True)


def test_an_early_answer_is_for_a_job_to_come(staged: tuple[Site, Stage]) -> None:
    site, stage = staged
    request = stage.waiting()
    stage.decided(request, "rejected", APPROVER)
    told = site.gate(APPROVER, "reject", f"#{request.facts['job_id']}", "--early")
    assert (told.returncode, "is not waiting: rejected" in told.stderr) == (4, True)
    told = site.gate(APPROVER, "reject", "#7777", "--early")
    assert (told.returncode, "/7777.reject; it counts when" in told.stdout) == (0, True)


@pytest.mark.parametrize("early", [["--early"], []])
def test_an_address_of_a_job_that_cannot_be_seen_answers_no_other_gitlab_s(
    staged: tuple[Site, Stage], early: list[str]
) -> None:
    site, stage = staged
    request = stage.waiting()
    if not early:
        if not IS_ROOT:
            pytest.skip("hiding requests from an approver needs root: another user")
        Path(request.directory).parent.chmod(0o700)  # as for a person who is not in approvers_group
    told = site.gate(APPROVER, "approve", "https://other.example/shop/web/-/jobs/7777", *early)
    assert (told.returncode, told.stdout) == (1, "")
    assert "7777 alone would count for the job of that number of any GitLab" in told.stderr
    assert not list(Path(site.state, "drop", APPROVER).glob("7777*"))


def test_what_an_approver_is_warned_of_is_in_gate_show(staged: tuple[Site, Stage]) -> None:
    """The job log and the page say the same (dangers.of)."""
    site, stage = staged
    request = stage.waiting(variables={"CI_COMMIT_REF_NAME": "other", "CI_ENVIRONMENT_NAME": "x"})
    told = site.gate(APPROVER, "show", request.key).stdout
    assert "  warning: the job's own variables set CI_COMMIT_REF_NAME and CI_ENVIRONMENT_NAME to something else" in told
    assert "  warning: GIT_STRATEGY=none: what runs may not be what the sha says" in told
    assert "  warning: it claims several environments: production and x\n" in told


def test_gate_yaml_is_shown_with_its_defaults(staged: tuple[Site, Stage]) -> None:
    site, _stage = staged
    shown = as_json(site.gate(APPROVER, "config", "show", "--json"))
    assert shown["exit_codes"] == {"rejected": 80, "expired": 81, "superseded": 82, "refused": 83}
    assert shown["rules"][0]["after_rejection"] == "5m"
    assert shown["site"] == "test.example"
    assert "after_rejection: 5m" in site.gate(APPROVER, "config", "show").stdout
    assert list(shown) == [key for key in schema()["properties"] if key in shown]


def test_the_schema_is_printed(staged: tuple[Site, Stage]) -> None:
    assert as_json(staged[0].gate(APPROVER, "config", "schema")) == schema()


def test_watching_shows_what_comes_and_goes(staged: tuple[Site, Stage]) -> None:
    site, stage = staged
    with site.start_gate(APPROVER, "list", "--watch", "--json") as watching:
        assert watching.stdout is not None
        assert json.loads(watching.stdout.readline()) == []
        request = stage.waiting()
        assert [each["key"] for each in json.loads(watching.stdout.readline())] == [request.key]
        stage.decided(request, "expired")
        assert json.loads(watching.stdout.readline()) == []
        watching.terminate()


@pytest.mark.parametrize(("words", "expected"), [("gate ap", ["approve"]), ("gate config s", ["schema", "show"]),
                                                 ("gate list --w", ["--watch"])])  # fmt: skip
def test_bash_completes_words(staged: tuple[Site, Stage], words: str, expected: list[str]) -> None:
    assert completed(staged[0], words) == expected


def test_bash_completes_the_jobs_that_wait(staged: tuple[Site, Stage]) -> None:
    site, stage = staged
    numbers = [str(stage.waiting().facts["job_id"]) for _ in range(2)]
    assert completed(site, f"gate --config {site.yaml} approve 1") == numbers
    assert completed(site, "gate --config /nowhere approve 1") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_is_what_its_shell_reads(staged: tuple[Site, Stage], shell: str) -> None:
    printed = staged[0].gate(APPROVER, "completion", shell).stdout
    assert "_GATE_COMPLETE" in printed
    if shutil.which(shell):
        assert subprocess.run([shell, "-n"], input=printed, text=True, check=False, timeout=60).returncode == 0


def test_what_does_not_go_to_a_terminal_has_no_colours(staged: tuple[Site, Stage]) -> None:
    site, stage = staged
    stage.waiting()
    for words in (["list"], ["check"], ["--help"], ["show", "1001"]):
        done = site.gate(APPROVER, *words)
        assert "\x1b" not in done.stdout + done.stderr


def completed(site: Site, words: str) -> list[str]:
    """What bash would offer for a line that ends there."""
    script = f"import sys; sys.path.insert(0, {str(CHECKOUT)!r}); sys.argv[0] = 'gate'; import gitlab_runner_gate as g; g.gate_main()"
    environment = {"_GATE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    command = [sys.executable, "-I", "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    return [line.partition(",")[2] for line in done.stdout.split()]
