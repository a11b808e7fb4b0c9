"""What one person can do to everybody: four floods beside the quiet figure, as ratios. Part of `make bench`; needs root.

`floods.py [FILES]`: how many files bob leaves; 20,000 if not given.
"""

from __future__ import annotations

import json
import os
import pwd
import statistics
import sys
import tempfile
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

CHECKOUT = Path(__file__).parents[1]
sys.path.insert(0, str(CHECKOUT))

from tests.support.harness import RehearsalHarness  # noqa: E402
from tests.support.site import IS_ROOT, PAGE_USER, Site  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    Flood = Callable[[Site, int], AbstractContextManager[None]]

ROUNDS = 7
FILES = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
PAGE_VOTES = 1500
DECIDE_WITHIN_S = 10
EITHER = {"approvals": [{"count": 1, "of": ["alice", "bob"]}]}
BOTH = {"approvals": [{"count": 1, "of": ["alice"]}, {"count": 1, "of": ["bob"]}]}
COME_AND_GO = """
import os, sys
while True:
    os.close(os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY))
    os.unlink(sys.argv[1])
"""


def files_in(directory: str) -> Flood:
    """FILES files in a directory below drop/, once."""

    def flood(site: Site, _job: int) -> AbstractContextManager[None]:
        path = site.state / "drop" / directory
        for number in range(len(os.listdir(path)), FILES):
            (path / f".{number}").touch()
        return nullcontext()

    return flood


@contextmanager
def name_that_comes_and_goes(site: Site, job: int) -> Iterator[None]:
    """A loop that makes and removes bob's approval."""
    path = str(site.state / "drop" / "bob" / f"{job}.approve")
    with site.start_as("bob", ["/usr/bin/python3", "-I", "-S", "-c", COME_AND_GO, path]) as loop:
        yield
        loop.kill()


@contextmanager
def page_votes(site: Site, job: int) -> Iterator[None]:
    """Votes of bob's on the page."""
    directory, uid = site.job_dir(job), pwd.getpwnam(PAGE_USER).pw_uid
    request = json.loads((directory / "request.json").read_text())
    said = {"v": 1, "request": request["key"], "digest": request["digest"], "person": "bob", "answer": "approve"}
    for number in range(PAGE_VOTES):
        path = directory / "votes" / f"{number:032x}.vote"
        path.write_text(json.dumps(said | {"comment": str(number)}))
        os.chown(path, uid, -1)
    yield


FLOODS: dict[str, Flood] = {
    f"{FILES:,} files in bob's drop directory": files_in("bob"),
    f"{FILES:,} files in drop/signed": files_in("signed"),
    "bob's approval comes and goes in a loop": name_that_comes_and_goes,
    f"{PAGE_VOTES:,} page votes of bob's": page_votes,
}


def answer_to_running(flood: Flood) -> float:
    """Median of the seconds from an answer of alice's to the first line of the job's script."""
    taken = []
    rule = BOTH if flood is page_votes else EITHER
    with Site(rule=rule).with_page(socket=True) as site, tempfile.TemporaryDirectory() as scratch:
        harness = RehearsalHarness(site.wiring(), Path(scratch))
        try:
            for _ in range(ROUNDS):
                job = harness.submit(script=["date +began=%s.%N"])
                harness.wait_trace(job, "audit head seq=")
                with flood(site, job):
                    dropped = time.time()
                    site.drop("alice", f"{job}.approve")
                    harness.wait(job)
                began = next(line for line in harness.trace(job).splitlines() if line.startswith("began="))
                taken.append(float(began.removeprefix("began=")) - dropped)
        finally:
            harness.close()
    return statistics.median(taken)


def past_the_deadline(flood: Flood) -> float:
    """Seconds from the deadline to the record of the decision."""
    rule = BOTH | {"decide_within": f"{DECIDE_WITHIN_S}s"}
    with Site(rule=rule).with_page(socket=True) as site, tempfile.TemporaryDirectory() as scratch:
        harness = RehearsalHarness(site.wiring(), Path(scratch))
        try:
            job = harness.submit()
            harness.wait_trace(job, "audit head seq=")
            with flood(site, job):
                harness.wait(job)
            opened_ms = json.loads((site.job_dir(job) / "request.json").read_text())["deadline_boottime_ms"]
            (decided,) = site.records("decided", job)
            return float(decided["boottime"] - opened_ms) / 1000
        finally:
            harness.close()


def main() -> None:
    """Measure and print a Markdown table."""
    if not IS_ROOT:
        print("floods: two people need root; skipped")
        return

    def quiet(_site: Site, _job: int) -> AbstractContextManager[None]:
        return nullcontext()

    usual, usual_late = answer_to_running(quiet), past_the_deadline(quiet)
    print("| one person's flood | from another's answer to running | ratio | past the deadline | of the wait |")
    print("|---|---|---|---|---|")
    print(f"| none | {usual * 1000:.0f} ms | | {usual_late * 1000:.0f} ms | |")
    for name, flood in FLOODS.items():
        taken, late = answer_to_running(flood), past_the_deadline(flood)
        of_the_wait = (DECIDE_WITHIN_S + late) / (DECIDE_WITHIN_S + usual_late)
        print(f"| {name} | {taken * 1000:.0f} ms | {taken / usual:.2f} | {late * 1000:.0f} ms | {of_the_wait:.2f} |")


if __name__ == "__main__":
    main()
