"""Rules on a real job: several approvals, repeats, newer jobs, refusals, and what the job learns."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.runner.gated import until
from tests.support.harness import RehearsalHarness
from tests.support.site import IS_ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.runner.gated import Gated

    Start = Callable[..., Gated]

NEEDS_USERS = pytest.mark.skipif(not IS_ROOT, reason="not root: only root can act as a second Unix user")
BOTH = {"approvals": [{"count": 1, "of": ["alice", "bob"]}, {"count": 1, "of": ["alice", "carol"]}]}


def rule_for(case: Gated, **changes: Any) -> dict[str, Any]:
    """The gate's one rule with changes."""
    return {**case.site.config["rules"][0], **changes}


def test_only_a_rehearsal_is_recorded_as_one_whatever_the_job_says(gated: Start) -> None:
    case = gated()
    names = ("REHEARSAL", "rehearsal", "CUSTOM_ENV_GATE_REHEARSAL", "FF_REHEARSAL")
    job = case.waiting(variables=dict.fromkeys(names, "1"))
    is_one = isinstance(case.harness, RehearsalHarness)
    told = json.loads(case.site.gate(case.approver, "show", str(job), "--json").stdout)
    assert (told["rehearsal"], told["key"].startswith("REHEARSAL.")) == (is_one, is_one)
    assert ("this is a rehearsal" in case.harness.trace(job)) is is_one
    case.drop(job, "approve")
    assert case.outcome(job)[0] == "success"
    until(lambda: case.site.records("ended", job), "ended")
    assert {record.get("rehearsal", False) for record in case.site.records(job=job)} == {is_one}


@NEEDS_USERS
def test_two_lists_need_two_people(gated: Start) -> None:
    case = gated(rule=BOTH)
    job = case.waiting()
    case.drop(job, "approve", person="alice")
    case.harness.wait_trace(job, "alice approves")
    assert case.decisions(job) == []
    case.drop(job, "approve", person="carol")
    assert case.outcome(job)[0] == "success"
    assert case.site.records("decided", job)[0]["why"] == "1 of 1: alice; 1 of 1: carol"


@NEEDS_USERS
def test_self_approval_is_refused_and_a_rejection_of_one_s_own_job_counts(gated: Start) -> None:
    case = gated(rule=BOTH)
    job = case.waiting(user_login="alice-gl")
    case.drop(job, "approve", person="alice")
    case.harness.wait_trace(job, "alice triggered this job, and rule 'all' allows no self-approval")
    case.drop(job, "reject", person="alice")
    assert case.outcome(job) == ("failed", "script_failure", 80)


def test_a_rejected_job_that_gitlab_retries_is_asked_for_once(gated: Start) -> None:
    case = gated()
    job = case.waiting()
    case.drop(job, "reject", "no")
    assert case.outcome(job)[2] == 80
    for _ in range(2):
        again = case.harness.retry(job)
        assert case.outcome(again) == ("failed", "script_failure", 83)
        log = case.harness.trace(again)
        assert f"the same job was rejected by {case.approver}" in log
        assert f"as #{job}" in log
        assert "waits for an approval" not in log
        assert case.site.events(again) == ["decided", "ended"]


def test_other_work_is_asked_for_at_once_after_a_rejection(gated: Start) -> None:
    case = gated()
    job = case.waiting()
    case.drop(job, "reject")
    case.outcome(job)
    other = case.waiting(script=["echo other"])
    case.drop(other, "approve")
    assert case.outcome(other)[0] == "success"


def test_a_newer_job_of_the_same_name_and_ref_ends_the_older_one(gated: Start) -> None:
    case = gated(rule={"supersede": True})
    older, elsewhere = case.waiting(sha="a" * 40), case.waiting(ref="other")
    newer = case.waiting(sha="b" * 40)
    assert case.outcome(older) == ("failed", "script_failure", 82)
    assert f"superseded by job #{newer}" in case.harness.trace(older)
    assert (case.decisions(newer), case.decisions(elsewhere)) == ([], [])
    case.drop(newer, "approve")
    assert case.outcome(newer)[0] == "success"


def test_a_rule_edited_while_a_job_waits_applies_and_only_shortens(gated: Start) -> None:
    case = gated(rule={"decide_within": "4m"})
    job = case.waiting()
    case.site.config["rules"] = [rule_for(case, decide_within="9m", comment={"approve": "required"})]
    case.site.write(in_place=True)
    case.harness.wait_trace(job, "gate.yaml has changed")
    case.drop(job, "approve")
    case.harness.wait_trace(job, "wants a comment with each approval")
    case.site.config["rules"] = [rule_for(case, decide_within="1s")]
    case.site.write()
    assert case.outcome(job) == ("failed", "script_failure", 81)


def test_a_job_that_no_rule_is_for_is_refused_and_nobody_is_asked(gated: Start) -> None:
    case = gated(rule={"match": {"project": "other/*"}})
    job = case.submit()
    assert case.outcome(job) == ("failed", "script_failure", 83)
    log = case.harness.trace(job)
    assert "no rule is for it: project grp/app" in log
    assert "waits for an approval" not in log
    assert case.site.events(job) == ["decided", "ended"]


def test_environments_that_disagree_are_refused(gated: Start) -> None:
    case = gated()
    loose = rule_for(case, name="loose", match={"environment": "staging"}, self_approval=True)
    case.site.config["rules"] = [loose, rule_for(case, name="strict", match={"project": "grp/*"})]
    case.site.write()
    job = case.submit(variables={"CI_ENVIRONMENT_NAME": "staging"})
    assert case.outcome(job) == ("failed", "script_failure", 83)
    assert "its variables claim the environments production and staging" in case.harness.trace(job)


def test_the_job_learns_who_approved(gated: Start) -> None:
    case = gated()
    script = ["echo by=$GATE_APPROVED_BY", 'echo "comment=$GATE_COMMENT"', "echo id=$GATE_DECISION_ID"]
    job = case.waiting(script=script)
    case.drop(job, "approve", "go ahead; $(id)")
    assert case.outcome(job)[0] == "success"
    lines = case.harness.trace(job).splitlines()
    assert f"by={case.approver}" in lines
    assert f"comment={case.approver}: go ahead; $(id)" in lines
    (decision_id,) = [line.removeprefix("id=") for line in lines if line.startswith("id=")]
    seq, sha256 = decision_id.split(":")
    assert case.site.verify(anchors=[(seq, sha256)]).ok
    assert int(seq) == case.site.records("decided", job)[0]["seq"]


def test_a_job_that_sets_such_a_name_itself_is_refused(gated: Start) -> None:
    case = gated()
    job = case.submit(variables={"GATE_APPROVED_BY": "the boss"})
    assert case.outcome(job) == ("failed", "script_failure", 83)
    assert "it sets GATE_APPROVED_BY itself" in case.harness.trace(job)


@pytest.mark.skipif(not IS_ROOT, reason="not root: only root can run jobs as another user")
def test_a_rule_s_own_user_runs_the_job(gated: Start) -> None:
    case = gated(rule={"run_as": "mail"})
    job = case.waiting(script=["id -un"])
    case.drop(job, "approve")
    assert case.outcome(job)[0] == "success"
    assert "\nmail\n" in case.harness.trace(job).replace("\r", "")
