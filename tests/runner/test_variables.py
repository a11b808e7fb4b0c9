"""Variables, image, steps and the project's path of a real job: shown before anybody answers, and refused where gate.yaml says so."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.jobs import variable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.runner.gated import Gated

    Start = Callable[..., Gated]

CARRIERS = {
    "BASH_ENV": "$(id)",
    "PATH": "/tmp/evil:/usr/bin:/bin",
    "LD_PRELOAD": "/tmp/evil.so",
    "PROMPT_COMMAND": "id",
    "GIT_CONFIG_COUNT": "1",
    "PYTHONPATH": "/tmp/evil",
    "BASH_ENV+": "$(id)",  # `export BASH_ENV+=…` sets BASH_ENV
}
RUN = [{"name": "greet", "script": "echo hello"}, {"name": "call", "step": "./my-step", "inputs": {"to": ["a", "b"]}}]


def test_what_the_server_did_not_set_stands_in_the_job_log(gated: Start) -> None:
    case = gated()
    variables = [
        variable("TARGET", "prod --force\x1b[31m\nsection_start:1:x"),
        variable("REGION", "made-up-region-1", public=False),
        variable("SECRET", "made-up-secret-1", public=False, masked=True),
        variable("CI_PIPELINE_SOURCE", "web"),
        *(variable(name, value) for name, value in CARRIERS.items()),
    ]
    job = case.waiting(variables=variables)
    log = case.harness.trace(job)
    assert 'variable  TARGET="prod --force\\x1b[31m\\nsection_start:1:x"' in log
    assert "variable  REGION (value not shown: not marked public by GitLab)" in log
    assert "variable  SECRET (value not shown: masked in GitLab)" in log
    assert 'variable  CI_PIPELINE_SOURCE="web"  (overrides the server\'s)' in log
    assert (
        "warning: it sets BASH_ENV, PATH, PROMPT_COMMAND and BASH_ENV+: such variables change what the shell itself runs"
        in log
    )
    assert "warning: it sets LD_PRELOAD: such variables change what programs load" in log
    assert "made-up" not in log
    case.drop(job, "reject", "no")
    assert case.outcome(job) == ("failed", "script_failure", 80)


@pytest.mark.parametrize("name", CARRIERS)
def test_one_that_carries_code_is_refused_before_anybody_is_asked(gated: Start, name: str) -> None:
    case = gated(rule={"variables": {"deny": ["shell", "loader", "git", "interpreters"]}})
    job = case.submit(variables={name: CARRIERS[name]})
    assert case.outcome(job) == ("failed", "script_failure", 83)
    log = case.harness.trace(job)
    assert f"refused: rule 'all' denies jobs that set {name}" in log
    assert "waits for an approval" not in log
    assert not case.ran(job)


def test_what_changed_since_the_last_approval_is_marked(gated: Start) -> None:
    case = gated()
    first = case.waiting(
        variables=[variable("TARGET", "dev"), variable("KEY", "one", public=False), variable("OLD", "x")]
    )
    assert "since #" not in case.harness.trace(first)
    case.drop(first, "approve", "ok")
    assert case.outcome(first)[0] == "success"
    again = case.waiting(
        variables=[variable("TARGET", "prod"), variable("KEY", "two", public=False), variable("NEW", "x")]
    )
    log = case.harness.trace(again)
    assert f'variable  TARGET="prod"  (changed since #{first} was approved)' in log
    assert f"variable  KEY (value not shown: not marked public by GitLab)  (changed since #{first} was approved)" in log
    assert f'variable  NEW="x"  (new since #{first} was approved)' in log
    assert f"gone      OLD was set when #{first} was approved" in log


def test_a_variable_denied_while_a_job_waits_refuses_it(gated: Start) -> None:
    case = gated()
    job = case.waiting(variables={"BASH_ENV": "x"})
    case.site.config["rules"] = [{**case.site.config["rules"][0], "variables": {"deny": ["code"]}}]
    case.site.write()
    assert case.outcome(job) == ("failed", "script_failure", 83)
    assert "denies jobs that set GIT_STRATEGY and BASH_ENV" in case.harness.trace(job)


def test_an_image_is_warned_of_first_thing_or_refused(gated: Start) -> None:
    case = gated()
    asks = {"image": {"name": "alpine:3"}, "services": [{"name": "postgres:16"}]}
    job = case.waiting(**asks)
    lines = [line.split("gate: ", 1)[1] for line in case.harness.trace(job).splitlines() if "gate: " in line]
    first = next(n for n, line in enumerate(lines) if line.startswith("this job waits")) + 1
    assert lines[first].startswith("warning: it asks for the image alpine:3 and the service postgres:16, not used here")
    case.drop(job, "reject", "no")
    case.outcome(job)
    case.site.config["backend"]["image"] = "refuse"
    case.site.write()
    refused = case.submit(**asks)
    assert case.outcome(refused) == ("failed", "script_failure", 83)
    assert "it asks for the image alpine:3 and the service postgres:16" in case.harness.trace(refused)
    plain = case.waiting(image=None)
    case.drop(plain, "approve", "ok")
    assert case.outcome(plain)[0] == "success"


def test_a_relative_url_is_no_part_of_the_projects_path(gated: Start) -> None:
    case = gated(rule={"match": {"project": "shop/*"}})
    job = case.waiting(server_url="http://gitlab.example/gitlab", project_path="shop/web")
    log = case.harness.trace(job)
    assert "of shop/web, main" in log
    assert "own variables set CI_PROJECT_PATH" not in log
    case.drop(job, "approve", "ok")
    assert case.outcome(job)[0] == "success"
    assert case.site.records("released", job)[0]["job"]["path"] == "shop/web"


def test_run_steps_are_shown_whole(gated: Start, tmp_path: Path) -> None:
    case = gated()
    step_runner = tmp_path / "bin" / "step-runner"  # without one it is refused before anybody is asked
    step_runner.parent.mkdir(0o755)
    step_runner.write_text("#!/bin/sh\n")
    step_runner.chmod(0o755)
    case.site.config["backend"]["path"] = [str(step_runner.parent)]
    case.site.write()
    job = case.waiting(script=[], extra={"run": json.dumps(RUN)})
    shown: dict[str, Any] = json.loads(case.site.gate(case.approver, "show", str(job), "--json").stdout)
    assert json.loads(shown["content"]["run"]) == RUN
    assert '"script": "echo hello"' in case.site.gate(case.approver, "show", str(job)).stdout.replace('":"', '": "')
    case.drop(job, "reject", "no")
    assert case.outcome(job)[2] == 80
