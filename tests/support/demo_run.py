"""One demo from beginning to end: a job, its log, an answer, its outcome."""

from __future__ import annotations

import os
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING

from tests.support import demo_words
from tests.support.demo_gate import COMMENTS, SAMPLE_JOB, SCRIPT_SAYS, DemoError, DemoGate
from tests.support.demo_log import LiveLog
from tests.support.demo_page import DemoPage
from tests.support.fake_gitlab import FINAL_STATES
from tests.support.harness import Harness, RealHarness, RehearsalHarness
from tests.support.runner import find_runner

if TYPE_CHECKING:
    from executor.rehearsal.session import Outcome
    from tests.support.demo import Interruption

OPENED = "audit head seq="  # the last line of what a job says when it starts to wait
WITHIN_S = 60
LOOK_EVERY_S = 0.1
REJECTED_CODE = 80


class Interrupted(Exception):  # noqa: N818
    """Somebody has had enough."""


def run(answer: str | None, interruption: Interruption) -> int:
    """Show one job; `answer` None: a person answers it. Returns the exit status."""
    try:
        gate = DemoGate()
    except DemoError as error:
        return _failed(error)
    keeps = os.environ.get("KEEP") == "1"
    try:
        is_expected = _play(gate, answer, interruption)
        keeps = keeps or (answer is None and os.environ.get("KEEP") != "0")
    except DemoError as error:
        return _failed(error)
    except Interrupted:
        print("\nInterrupted: the runner and all that it started are ended.")
        return 1
    else:
        return 0 if is_expected else 1
    finally:
        if not keeps:
            gate.remove()
        print(demo_words.goodbye(gate, keeps=keeps))


def _failed(error: DemoError) -> int:
    sys.stdout.flush()
    print(f"make demo: {error}", file=sys.stderr)
    return 1


def _play(gate: DemoGate, answer: str | None, interruption: Interruption) -> bool:
    real = find_runner()
    print(demo_words.introduction(gate, real), flush=True)
    with closing((RealHarness if real else RehearsalHarness)(gate.wiring(), gate.scratch)) as harness:
        job = Job(harness, interruption)
        job.follow(until=OPENED, within_s=WITHIN_S)
        if job.is_over:
            raise DemoError("the job ended before it could be answered; its log says why")
        with DemoPage(gate) as page:
            print(demo_words.page(gate, page.password), flush=True)
            if answer:
                _answer(gate, job, answer)
            else:
                print(demo_words.invitation(gate, job.id), flush=True)
                page.open("/")
            job.follow(within_s=WITHIN_S if answer else None)
        outcome, ran = harness.wait(job.id), job.log.has_line(f"{SCRIPT_SAYS} {job.id}")
    print(
        f"\nThe job's end, as GitLab was told: {demo_words.outcome(outcome)}. Its script {'ran' if ran else 'never ran'}."
    )
    return _is_expected(answer, outcome, ran=ran) and _is_verified(gate)


class Job:
    """The sample job: queued, and shown while it goes on."""

    def __init__(self, harness: Harness, interruption: Interruption) -> None:
        self._harness, self._interruption = harness, interruption
        self.log = LiveLog()
        self.id = harness.submit(**SAMPLE_JOB)
        self.is_over = False

    def follow(self, *, within_s: float | None, until: str | None = None) -> None:
        """Show the log until it says `until`, or the job is over; raises DemoError after `within_s`, Interrupted."""
        give_up = None if within_s is None else time.monotonic() + within_s
        while not (self.is_over or (until and until in self.log.text)):
            if self._interruption.signal:
                raise Interrupted
            if give_up and time.monotonic() > give_up:
                raise DemoError(f"nothing more in {within_s} s; the runner says:\n{self._harness.runner_log()}")
            self.is_over = self._harness.state(self.id) in FINAL_STATES  # before the log, which is whole then
            self.log.show(self._harness.trace(self.id), is_whole=self.is_over)
            time.sleep(LOOK_EVERY_S)


def _answer(gate: DemoGate, job: Job, answer: str) -> None:
    words = (answer, str(job.id), "-m", COMMENTS[answer])
    print(f"\n$ {gate.pasteable(*words)}", flush=True)
    status, said = gate.run(*words)
    print(f"{said}\n", flush=True)
    if status != 0:
        raise DemoError(f"gate {answer} ended with exit status {status}")


def _is_expected(answer: str | None, outcome: Outcome, *, ran: bool) -> bool:
    approved = outcome.state == "success" and ran
    rejected = (outcome.state, outcome.failure_reason, outcome.exit_code) == ("failed", "script_failure", REJECTED_CODE)
    ends = {"approve": approved, "reject": rejected and not ran}
    return ends[answer] if answer else any(ends.values())


def _is_verified(gate: DemoGate) -> bool:
    status, said = gate.run("audit", "verify")
    print(f"\n$ {gate.pasteable('audit', 'verify')}\n{said}")
    return status == 0
