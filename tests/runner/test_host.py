"""What a job finds on the host, or lacks there, through a runner: said before anybody is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.runner.gated import RAN, Gated
from tests.support.harness import RealHarness
from tests.support.site import IS_ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    Start = Callable[..., Gated]


def ends(case: Gated, job: int) -> str:
    """Approve the job; returns how it ended."""
    case.drop(job, "approve")
    return case.outcome(job)[0]


def test_shell_sh_works_whatever_sh_is(gated: Start) -> None:
    """Scripts that the runner writes for `sh` are not for dash: `config` asks for bash."""
    case = gated(wiring={"shell": "sh"})
    job = case.waiting()
    assert ends(case, job) == "success"
    assert case.ran(job)


@pytest.mark.skipif(not IS_ROOT, reason="not root: jobs have no namespace of their own")
def test_a_job_finds_nothing_of_an_earlier_one_of_another_project(gated: Start) -> None:
    case = gated()
    leave = [
        f"echo left > {place}/left-33" for place in ("~", "/tmp", "/var/tmp", "/dev/shm", '"$TMPDIR"', "/run/lock")
    ]
    first = case.waiting(script=[*leave, "ipcmk -Q", f"echo '{RAN}'"], project_id=33, project_path="shop/first")
    assert ends(case, first) == "success"
    state = case.site.state
    look = [
        "! ls -a ~ /tmp /var/tmp /dev/shm $TMPDIR /run/lock | grep left-33",
        "! ipcs -q | grep 0x",
        f"test $(ls {state}/work | wc -l) = 1",
        f"test $(ls {state}/cache | wc -l) = 1",
        f"! ls -d {state}/jobs {state}/audit {state}/drop {state}/secret",
        "test $(ls -d /proc/[0-9]* | wc -l) -lt 20",
        f"echo '{RAN}'",
    ]
    second = case.waiting(script=look, project_id=34, project_path="shop/second")
    assert ends(case, second) == "success", case.harness.trace(second)


def test_stages_share_tmp(gated: Start) -> None:
    case = gated()
    job = case.waiting(script=["echo 33 > $TMPDIR/left"], after_script=["echo found $(cat $TMPDIR/left)"])
    assert ends(case, job) == "success"
    assert "found 33" in case.harness.trace(job)


def test_run_steps_without_a_step_runner_are_refused_before_anybody_is_asked(gated: Start) -> None:
    case = gated()
    job = case.submit(script=["step-runner ci"])
    assert case.outcome(job)[2] == 83
    assert "no step-runner in" in case.harness.trace(job)


def test_a_runner_with_pwsh_is_refused_before_anybody_is_asked(gated: Start) -> None:
    case = gated(wiring={"shell": "pwsh"})
    if not isinstance(case.harness, RealHarness):
        pytest.skip("the rehearsal writes scripts for bash only")
    job = case.submit()
    assert case.outcome(job)[2] == 83
    assert "shell = 'pwsh'" in case.harness.trace(job)


def test_environment_and_path_of_gate_yaml_reach_the_job(gated: Start) -> None:
    own = {"path": ["/usr/bin", "/opt"], "environment": {"HTTPS_PROXY": "http://p:33"}}
    case = gated()
    case.site.config["backend"] |= own
    case.site.write()
    job = case.waiting(script=["echo proxy=$HTTPS_PROXY path=$PATH"])
    assert ends(case, job) == "success"
    assert "proxy=http://p:33 path=/usr/bin:/opt:/usr/local/sbin" in case.harness.trace(job)
