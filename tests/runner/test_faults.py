"""Faults of the gate: never a no, never a yes, always one plain line."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.runner.gated import Gated, until
from tests.support.site import IS_ROOT, Site
from tests.support.tools import need_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Start = Callable[..., Gated]

SYSTEM_FAILURE = ("failed", "runner_system_failure", None)
ROOT = pytest.mark.skipif(not IS_ROOT, reason="not root: only root can mount a small tmpfs")


@pytest.fixture
def small_disk() -> Iterator[Site]:
    """A gate whose state_dir is a tmpfs of 2 MiB, half of which is the reserve."""
    with Site() as site:
        site.state.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=755", "gate-test", str(site.state)], check=True)
        try:
            yield site
        finally:
            subprocess.run(["umount", "--lazy", str(site.state)], check=True)


def fill(site: Site) -> None:
    subprocess.run(["sh", "-c", f"cat /dev/zero > {site.state}/ballast"], check=False, capture_output=True)


def said(case: Gated, job: int) -> list[str]:
    """What the gate said in the job log, without the runner's own lines about it."""
    return [line.partition("gate: ")[2] for line in case.harness.trace(job).splitlines() if "gate: " in line]


def test_a_typo_in_gate_yaml_is_waited_out(gated: Start) -> None:
    case = gated()
    job = case.waiting()
    case.site.write(case.site.yaml.read_text().replace("approvals:", "aprovals:"))
    log = case.harness.wait_trace(job, "cannot decide now: ")
    assert "did you mean 'approvals'" in log
    dropped = case.drop(job, "approve")
    assert case.harness.state(job) == "running"
    case.site.write()
    case.harness.wait_trace(job, "that is fixed; the wait goes on")
    assert case.outcome(job)[0] == "success"
    assert (dropped.exists(), case.site.events(job)) == (False, ["requested", "vote", "decided", "released", "ended"])


def test_a_person_taken_off_the_list_while_the_job_waits_does_not_count(gated: Start) -> None:
    case = gated()
    job = case.waiting()
    rule = case.site.config["rules"][0]
    case.site.config["people"]["zoe"] = {"gitlab": ["zoe-gl"]}
    rule["approvals"][0]["of"] = ["zoe"]
    case.site.write()
    case.harness.wait_trace(job, "gate.yaml has changed; what counts now: 1 of zoe")
    case.drop(job, "approve")
    case.let_expire()
    assert case.outcome(job) == ("failed", "script_failure", 81)
    assert case.site.events(job) == ["requested", "decided", "ended"]


def test_a_rule_that_is_renamed_is_the_rule_of_what_waits_already(gated: Start) -> None:
    case = gated()
    job = case.waiting()
    case.site.config["rules"][0]["name"] = "renamed"
    case.site.write()
    case.harness.wait_trace(job, "gate.yaml has changed; what counts now: rule 'renamed': 1 of")
    case.drop(job, "approve")
    assert case.outcome(job)[0] == "success"
    assert case.decisions(job) == ["approved"]


def test_a_rule_that_has_gone_refuses_the_job(gated: Start) -> None:
    case = gated()
    job = case.waiting()
    case.site.config["rules"][0]["match"] = {"ref": "another"}
    case.site.write()
    assert case.outcome(job) == ("failed", "script_failure", 83)
    assert case.decisions(job) == ["refused"]


def test_a_runner_without_prepare_runs_nothing(gated: Start) -> None:
    case = gated(wiring={"prepare": None})
    job = case.submit()
    assert case.outcome(job) == SYSTEM_FAILURE
    assert not case.ran(job)
    assert "refused: this job was not let through; is prepare_exec wired" in case.harness.trace(job)


def test_a_runner_without_config_runs_nothing(gated: Start) -> None:
    case = gated(wiring={"config": None})
    job = case.submit()
    assert case.outcome(job) == SYSTEM_FAILURE
    assert (
        said(case, job)
        == ["GATE_PLAN is not set: wire config_exec in the runner's config.toml, see runner-config.example.toml"] * 3
    )


def test_a_faulty_gate_yaml_is_a_system_failure_with_one_line_in_each_attempt(gated: Start) -> None:
    case = gated()
    case.site.write("version: 1\nsite: [\n")
    job = case.submit()
    assert case.outcome(job) == SYSTEM_FAILURE
    lines = said(case, job)
    assert len(lines) == 3
    assert all("gate.yaml:" in line for line in lines)


@ROOT
def test_a_full_disk_is_a_system_failure_with_one_line_in_each_attempt(gated: Start, small_disk: Site) -> None:
    case = gated(site=small_disk)
    fill(small_disk)
    job = case.submit()
    assert case.outcome(job) == SYSTEM_FAILURE
    lines = said(case, job)
    assert (len(lines), case.ran(job)) == (3, False)
    assert all("No space left on device" in line for line in lines)


@ROOT
def test_a_read_only_disk_is_a_system_failure_with_one_line_in_each_attempt(gated: Start, small_disk: Site) -> None:
    case = gated(site=small_disk)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk.state)], check=True)
    job = case.submit()
    assert case.outcome(job) == SYSTEM_FAILURE
    lines = said(case, job)
    assert (len(lines), case.ran(job)) == (3, False)
    assert all("Read-only file system" in line for line in lines)


@ROOT
def test_a_disk_that_fills_up_while_a_job_waits_is_waited_out(gated: Start, small_disk: Site) -> None:
    case = gated(site=small_disk)
    job = case.waiting()
    written = case.site.drop(case.approver, f".{job}.approve")
    fill(small_disk)
    written.rename(written.with_name(f"{job}.approve"))
    case.harness.wait_trace(job, "cannot decide now: ")
    assert "No space left on device" in case.harness.trace(job)
    assert case.decisions(job) == []
    (small_disk.state / "ballast").unlink()
    assert case.outcome(job)[0] == "success"
    assert case.site.events(job) == ["requested", "vote", "decided", "released", "ended"]
    assert case.site.verify().ok


def test_where_the_disk_stays_full_the_job_expires_and_that_is_recorded(gated: Start, small_disk: Site) -> None:
    small_disk.config["rules"][0]["decide_within"] = "30s"
    small_disk.write()
    case = gated(site=small_disk)
    job = case.waiting()
    reject = case.site.drop(case.approver, f".{job}.reject")
    fill(small_disk)
    reject.rename(reject.with_name(f"{job}.reject"))
    assert case.outcome(job) == ("failed", "script_failure", 81)
    (decided,) = case.site.records("decided", job)
    assert "when the time was up; the last look failed: " in decided["why"]
    assert "o space left" in decided["why"]


@pytest.mark.parametrize("spoil", ["chmod 0770 {}", "setfacl -m u:65534:rwx {}", "chmod 0701 {}"])
def test_a_drop_directory_that_others_may_use_counts_for_nobody(gated: Start, spoil: str) -> None:
    case = gated()
    job = case.waiting()
    directory = case.site.state / "drop" / case.approver
    command = spoil.format(directory)
    need_for(command)
    if subprocess.run(["sh", "-c", command], check=False, capture_output=True).returncode != 0:
        pytest.skip(f"cannot be done here: {command}")
    dropped = case.drop(job, "approve")
    case.harness.wait_trace(job, f"drop/{case.approver} has mode")
    case.let_expire()
    assert case.outcome(job) == ("failed", "script_failure", 81)
    assert dropped.exists()
    assert len(case.site.records("drop-turned-away", job)) == 1


def test_one_job_number_on_two_instances_needs_the_long_name(gated: Start) -> None:
    with Site() as site:
        first, second = gated(site=site), gated(site=site)
        job = first.waiting()
        assert second.waiting(**second.other_instance()) == job
        first.drop(job, "approve")
        until(lambda: site.records("drop-turned-away"), "turned away")
        keys = sorted(path.name for path in (site.state / "jobs").iterdir())
        why = site.records("drop-turned-away")[0]["why"]
        assert all(f"{key}.approve" in why for key in keys)
        asked = site.gate(first.approver, "approve", str(job))
        assert asked.returncode == 1
        assert all(key in asked.stderr for key in keys)
        for key in keys:
            assert site.gate(first.approver, "approve", key).returncode == 0
        assert (first.outcome(job)[0], second.outcome(job)[0]) == ("success", "success")
