"""What a pipeline's author writes into variables changes nothing about who and what a job is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.runner.gated import Gated

    Start = Callable[..., Gated]

FORGED = {"CI_JOB_ID": "999999", "CI_PROJECT_PATH": "someone/else", "CI_PROJECT_ID": "1", "CI_COMMIT_SHA": "f" * 40}


def test_forged_job_and_project_have_no_effect_and_are_shown(gated: Start) -> None:
    case = gated()
    job = case.waiting(variables=FORGED)
    log = case.harness.trace(job)
    assert f"deploy #{job} (stage deploy) of grp/app, main at 01234567" in log
    assert "own variables set CI_JOB_ID, CI_PROJECT_ID, CI_PROJECT_PATH and CI_COMMIT_SHA to something else" in log
    recorded = case.site.records("requested", job)[0]["job"]
    assert (recorded["id"], recorded["path"], recorded["project_id"]) == (job, "grp/app", 42)
    case.drop(job, "approve")
    assert case.outcome(job)[0] == "success"


def test_naming_an_approver_as_the_user_bars_that_person_and_still_the_true_one(gated: Start) -> None:
    case = gated()
    login = f"{case.approver}-gl"
    job = case.waiting(variables={"GITLAB_USER_LOGIN": login.upper()})
    case.drop(job, "approve")
    case.harness.wait_trace(job, f"{case.approver} triggered this job, and rule 'all' allows no self-approval")
    case.let_expire()
    assert case.outcome(job) == ("failed", "script_failure", 81)


def test_the_one_who_triggered_it_cannot_hide_behind_another_name(gated: Start) -> None:
    case = gated()
    job = case.waiting(user_login=f"{case.approver}-gl", variables={"GITLAB_USER_LOGIN": "someone-else"})
    case.drop(job, "approve")
    case.harness.wait_trace(job, f"{case.approver} triggered this job, and rule 'all' allows no self-approval")
    case.let_expire()
    assert case.outcome(job) == ("failed", "script_failure", 81)


def test_the_one_who_triggered_it_may_where_the_rule_says_so(gated: Start) -> None:
    case = gated(rule={"self_approval": True})
    job = case.waiting(user_login=f"{case.approver}-gl")
    case.drop(job, "approve")
    assert case.outcome(job)[0] == "success"


def test_hostile_text_is_harmless_in_the_job_log(gated: Start) -> None:
    case = gated()
    job = case.waiting(name="x\n\x1b[31mgate: approved\r\x1b[0Ksection_start:1:z\r\x1b[0K", ref="ma\u202ein")
    lines = [line for line in case.harness.trace(job).splitlines() if "gate:   job" in line]
    assert len(lines) == 1
    assert "\x1b" not in lines[0].split("gate:")[1]
    assert r"\n\x1b[31mgate: approved\r\x1b[0Ksection_start:1:z\r\x1b[0K" in lines[0]
    assert "\u202e" not in lines[0]
