"""What sweeps remove, while jobs wait and run: nothing of these."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from config.load import load_policy
from gate.upkeep import prune, sweep
from tests.runner.gated import Gated, until
from tests.support.fake_gitlab import WAIT_S
from tests.support.gate_state import DAY_S, fork

if TYPE_CHECKING:
    from collections.abc import Callable

    Start = Callable[..., Gated]

IN_YEARS_S = time.time() + 4000 * DAY_S
STILL_THERE = 'for n in $(seq 30); do test -d "$TMPDIR" && test -e kept || echo "IT WENT"; sleep 0.1; done'


def sweeps(case: Gated) -> int:
    """A process that sweeps again and again, as if it were years from now."""
    policy, _ = load_policy(str(case.site.yaml))

    def again_and_again() -> bool:
        until_s = time.monotonic() + WAIT_S
        while time.monotonic() < until_s and not (case.site.base / "enough").exists():
            sweep.sweep(policy, "own")
            prune.tidy(policy, "own", IN_YEARS_S)
        return True

    return fork(again_and_again)


def test_sweeps_take_nothing_of_a_job_that_waits_or_runs(gated: Start) -> None:
    case = gated(keep={"requests": "1h", "log": "1h"})
    job = case.waiting(script=["touch kept", STILL_THERE, "echo RAN | tr A-Z a-z"])
    children = [sweeps(case) for _ in range(3)]
    time.sleep(0.5)
    directory = case.site.job_dir(job)
    assert (directory / "request.json").exists()
    case.drop(job, "approve")
    outcome = case.outcome(job)
    until(lambda: not directory.exists(), "archived")
    (case.site.base / "enough").touch()

    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [33] * 3
    log = case.harness.trace(job)
    assert (outcome[0], "\nran" in log.replace("\r", ""), "IT WENT\n" in log) == ("success", True, False), log
    assert case.site.events(job) == ["requested", "vote", "decided", "released", "ended"]
    assert case.site.verify().ok
