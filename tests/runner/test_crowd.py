"""Many jobs wait: two of them listen for all, and whatever becomes of these, each job hears of its answer and meets its deadline.

Where the net is an hour away (tests/support/distant_net.py), who hears of an answer was rung.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from tests.runner.gated import Gated, until
from tests.support.site import CHECKOUT, IS_ROOT, Site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Start = Callable[..., Gated]


@pytest.fixture
def only_rung(gated: Start) -> Iterator[Gated]:
    """A gate whose waiting jobs hardly ever look by themselves."""
    with Site() as site:
        script = CHECKOUT / "tests/support/distant_net.py"
        prepare = [sys.executable, "-I", "-S", str(script), "--config", str(site.yaml), "prepare"]
        yield gated(site=site, wiring={"prepare": prepare}, concurrent=8)


def waiting(case: Gated, count: int) -> list[int]:
    """Jobs that wait, the first two of them as lookouts."""
    jobs = []
    for number in range(count):
        jobs.append(case.waiting(project_id=100 + number))
        until(lambda: len(case.lookouts()) >= min(len(jobs), 2), "on the lookout")
    return jobs


def test_each_hears_of_its_answer_and_who_ends_hands_the_lookout_on(only_rung: Gated) -> None:
    jobs = waiting(only_rung, 5)
    for job in jobs:
        only_rung.drop(job, "approve")
        assert only_rung.outcome(job)[0] == "success"
        jobs_left = len(jobs) - jobs.index(job) - 1
        until(lambda left=jobs_left: len(only_rung.lookouts()) == min(left, 2), "handed on")  # type: ignore[misc]


def test_answers_that_come_together_reach_everybody(only_rung: Gated) -> None:
    jobs = waiting(only_rung, 4)
    for job in jobs:
        only_rung.drop(job, "reject", "no")
    assert [only_rung.outcome(job)[2] for job in jobs] == [80] * len(jobs)


def test_where_one_lookout_is_stopped_the_other_rings(only_rung: Gated) -> None:
    (first,) = waiting(only_rung, 1)
    (stopped,) = only_rung.lookouts()
    *_, last = waiting(only_rung, 2)
    os.kill(stopped, signal.SIGSTOP)
    only_rung.drop(last, "approve")
    assert only_rung.outcome(last)[0] == "success"
    os.kill(stopped, signal.SIGCONT)
    only_rung.drop(first, "approve")
    assert only_rung.outcome(first)[0] == "success"


def test_where_both_are_stopped_each_finds_its_answer_and_meets_its_deadline(gated: Start) -> None:
    with Site() as site:
        rule = site.config["rules"][0]
        site.config["rules"].insert(
            0, rule | {"name": "soon", "match": {"project": "grp/soon"}, "decide_within": "15s"}
        )
        site.write()
        case = gated(site=site, concurrent=8)
        *_, answered = waiting(case, 3)
        for pid in case.lookouts():
            os.kill(pid, signal.SIGSTOP)
        unanswered = case.submit(project_path="grp/soon", project_id=200)
        case.drop(answered, "approve")
        assert case.outcome(answered)[0] == "success"
        assert case.outcome(unanswered)[2] == 81
        (requested, decided) = (record["boottime"] for record in site.records(job=unanswered)[:2])
        assert decided - requested < 150_000  # 15 s; ten times as wide, against hanging


def test_where_both_are_killed_who_comes_to_their_place_rings_everybody(only_rung: Gated) -> None:
    *_, job = waiting(only_rung, 3)
    killed = only_rung.lookouts()
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    until(lambda: not only_rung.lookouts() & killed, "ended")
    only_rung.drop(job, "approve")
    assert only_rung.outcome(job)[0] == "success"  # the runner tries those two again


def test_a_newer_gate_yaml_and_a_newer_job_reach_who_is_no_lookout(only_rung: Gated) -> None:
    only_rung.site.config["rules"][0]["supersede"] = True
    only_rung.site.write()
    *_, job, last = waiting(only_rung, 4)
    newer = only_rung.waiting(project_id=102)
    assert only_rung.outcome(job)[2] == 82
    only_rung.let_expire()
    assert [only_rung.outcome(each)[2] for each in (last, newer)] == [81, 81]


@pytest.mark.skipif(not IS_ROOT, reason="two people need root")
def test_a_loop_of_names_in_one_directory_holds_up_nobody_in_another(only_rung: Gated) -> None:
    jobs = waiting(only_rung, 3)
    loop = "import os, sys\nwhile True:\n os.mknod(sys.argv[1]); os.unlink(sys.argv[1])\n"
    hers = str(only_rung.site.state / "drop" / "bob" / f"{jobs[-1]}.approve")
    with only_rung.site.start_as("bob", ["/usr/bin/python3", "-I", "-S", "-c", loop, hers]) as flood:
        only_rung.drop(jobs[-1], "approve", person="alice")
        assert only_rung.outcome(jobs[-1])[0] == "success"
        flood.kill()
