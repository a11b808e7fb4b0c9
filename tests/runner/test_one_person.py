"""One person in gate.yaml holds up no job, whatever she does with what is hers."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.support.silent_mount import silent_mount
from tests.support.site import CHECKOUT, IS_ROOT, Site

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.runner.gated import Gated

    Start = Callable[..., Gated]

needs_people = pytest.mark.skipif(not IS_ROOT, reason="two people need root")
EXPIRED = ["requested", "decided", "ended"]


def hanging(site: Site, at: str) -> dict[str, list[str]]:
    script = CHECKOUT / "tests/support/hung_prepare.py"
    return {"prepare": [sys.executable, "-I", "-S", str(script), at, "--config", str(site.yaml), "prepare"]}


@needs_people
@pytest.mark.parametrize("where", ["", "{job}.approve", "{job}.reject"])
def test_a_mount_of_hers_that_never_answers_is_said_recorded_and_passed_over(gated: Start, where: str) -> None:
    case = gated()
    job = case.waiting()
    place = case.site.state / "drop" / "bob" / where.format(job=job)
    with ExitStack() as stack:
        if where:
            place.mkdir()
            os.chown(place, case.site.uid("bob"), -1)
        stack.enter_context(silent_mount(str(place), case.site.uid("bob")))
        case.drop(job, "approve")
        assert case.outcome(job)[0] == "success"
        another = case.waiting()  # config gets by it, and cleanup did
        case.drop(another, "approve")
        assert case.outcome(another)[0] == "success"
    (record,) = case.site.records("drop-turned-away", job)
    shown = str(place.relative_to(case.site.state))
    assert (record["by"], record["drop"]["name"]) == ({"person": "bob", "via": "drop"}, shown)
    assert f"{shown} is a mount: unmount it; what is there does not count" in case.harness.trace(job)


@needs_people
def test_where_a_look_hangs_the_next_one_passes_over_and_others_count(gated: Start) -> None:
    with Site() as site:
        case = gated(site=site, wiring=hanging(site, "bob"))
        job = case.waiting()
        case.drop(job, "approve")
        assert case.outcome(job)[0] == "success"
        assert "a process of the gate hung while looking, at the answers of bob" in case.harness.trace(job)
        assert [record["drop"] for record in site.records("drop-turned-away", job)] == [{"name": "drop/bob"}]


def test_where_every_look_hangs_the_job_expires_in_time_with_its_record(gated: Start) -> None:
    with Site(rule={"decide_within": "8s"}) as site:
        case = gated(site=site, wiring=hanging(site, "all"))
        job = case.waiting()
        case.drop(job, "approve")
        assert case.outcome(job)[2] == 81
        assert site.events(job) == EXPIRED
        asked, decided = (record["boottime"] for record in site.records(job=job)[:2])
        assert decided - asked < 80_000  # 8 s; ten times as wide, against hanging
        assert "when the time was up; the last look failed: a process of the gate hung" in case.harness.trace(job)


@needs_people
def test_a_name_that_comes_and_goes_and_a_full_directory_hold_up_nobody(gated: Start) -> None:
    case = gated()
    job = case.waiting()
    hers, over = case.site.state / "drop" / "bob", threading.Event()
    for number in range(20_000):
        os.mknod(hers / f"{number}.x")

    def come_and_go() -> None:
        path = hers / f"{job}.approve"
        while not over.is_set():
            path.touch()
            path.unlink(missing_ok=True)

    loop = threading.Thread(target=come_and_go)
    loop.start()
    try:
        case.drop(job, "approve")
        assert case.outcome(job)[0] == "success"
    finally:
        over.set()
        loop.join()


def test_config_does_not_wait_for_the_sweep(gated: Start, tmp_path: Path) -> None:
    script = tmp_path / "gitlab_runner_gate.py"  # by this name a rehearsal knows the gate
    script.write_text(
        f"import sys, time; sys.path.insert(0, {str(CHECKOUT)!r})\n"
        "import executor.main, gate.upkeep.sweep\n"
        "gate.upkeep.sweep.sweep = lambda *_, **__: time.sleep(40)\n"
        "executor.main.main(sys.argv[1:])\n"
    )
    with Site() as site:
        command = [sys.executable, "-I", str(script), "--config", str(site.yaml), "config"]
        case = gated(site=site, wiring={"config": command})
        job = case.waiting()
        case.drop(job, "approve")
        assert case.outcome(job)[0] == "success"
        released = site.records("released", job)[0]["boottime"] - site.records("requested", job)[0]["boottime"]
        assert released < 30_000
