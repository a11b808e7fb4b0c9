"""What one person can do to everybody: floods, each beside a quiet host in turn. Part of `make bench`; needs root.

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
from typing import TYPE_CHECKING, Any

CHECKOUT = Path(__file__).parents[1]
sys.path.insert(0, str(CHECKOUT))

from tests.support.harness import RehearsalHarness  # noqa: E402
from tests.support.site import IS_ROOT, PAGE_USER, Site  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    Flood = Callable[[Site, int], AbstractContextManager[None]]

ROUNDS = 9
DEADLINES = 3
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


def page_votes(count: int, *, taken: bool = True) -> Flood:
    """Approvals of bob's on the page, `taken` in before alice answers. (The page itself lets nobody leave so many.)"""

    @contextmanager
    def flood(site: Site, job: int) -> Iterator[None]:
        directory, uid = site.job_dir(job), pwd.getpwnam(PAGE_USER).pw_uid
        request = json.loads((directory / "request.json").read_text())
        said = {"v": 1, "request": request["key"], "digest": request["digest"], "person": "bob", "answer": "approve"}
        for number in range(count):
            path = directory / "votes" / f"{number:032x}.vote"
            path.write_text(json.dumps(said | {"comment": str(number)}))
            os.chown(path, uid, -1)
        while taken and any((directory / "votes").glob("*.vote")):
            time.sleep(0.05)
        yield

    return flood


def nothing(_site: Site, _job: int) -> AbstractContextManager[None]:
    """No flood."""
    return nullcontext()


# Name, flood, what there is instead on the quiet host, rule.
FLOODS: list[tuple[str, Flood, Flood, dict[str, Any]]] = [
    (f"{FILES:,} files in bob's drop directory", files_in("bob"), nothing, EITHER),
    (f"{FILES:,} files in drop/signed", files_in("signed"), nothing, EITHER),
    ("bob's approval comes and goes in a loop", name_that_comes_and_goes, nothing, EITHER),
    (f"{PAGE_VOTES:,} page votes of bob's, not one", page_votes(PAGE_VOTES), page_votes(1), BOTH),
    ("the same, while they are taken in", page_votes(PAGE_VOTES, taken=False), page_votes(1, taken=False), BOTH),
]


@contextmanager
def host(rule: dict[str, Any]) -> Iterator[tuple[Site, RehearsalHarness]]:
    """A site and a runner for it."""
    with Site(rule=rule).with_page(socket=True) as site, tempfile.TemporaryDirectory() as scratch:
        harness = RehearsalHarness(site.wiring(), Path(scratch))
        try:
            yield site, harness
        finally:
            harness.close()


def answer_to_running(site: Site, harness: RehearsalHarness, flood: Flood) -> float:
    """Seconds from an answer of alice's to the first line of the job's script."""
    job = harness.submit(script=["date +began=%s.%N"])
    harness.wait_trace(job, "audit head seq=")
    with flood(site, job):
        dropped = time.time()
        site.drop("alice", f"{job}.approve")
        harness.wait(job)
    began = next(line for line in harness.trace(job).splitlines() if line.startswith("began="))
    return float(began.removeprefix("began=")) - dropped


def past_the_deadline(site: Site, harness: RehearsalHarness, flood: Flood) -> float:
    """Seconds from the deadline to the record of the decision."""
    job = harness.submit()
    harness.wait_trace(job, "audit head seq=")
    with flood(site, job):
        harness.wait(job)
    opened_ms = json.loads((site.job_dir(job) / "request.json").read_text())["deadline_boottime_ms"]
    (decided,) = site.records("decided", job)
    return float(decided["boottime"] - opened_ms) / 1000


def in_turn(
    measured: Callable[[Site, RehearsalHarness, Flood], float],
    rounds: int,
    rule: dict[str, Any],
    floods: tuple[Flood, Flood],
) -> tuple[float, float]:
    """Medians of what is measured on two hosts in turn, each with its flood."""
    with host(rule) as first, host(rule) as second:
        taken = [
            [measured(*each, flood) for each, flood in zip((first, second), floods, strict=True)] for _ in range(rounds)
        ]
    return statistics.median(quiet for quiet, _ in taken), statistics.median(flooded for _, flooded in taken)


def main() -> None:
    """Measure and print a Markdown table."""
    if not IS_ROOT:
        print("floods: two people need root; skipped")
        return
    print("| one person's flood | from another's answer to running | ratio | past the deadline | of the wait |")
    print("|---|---|---|---|---|")
    for name, flood, quiet, rule in FLOODS:
        usual, taken = in_turn(answer_to_running, ROUNDS, rule, (quiet, flood))
        limited = BOTH | {"decide_within": f"{DECIDE_WITHIN_S}s"}
        usual_late, late = in_turn(past_the_deadline, DEADLINES, limited, (quiet, flood))
        of_the_wait = (DECIDE_WITHIN_S + late) / (DECIDE_WITHIN_S + usual_late)
        running, past = f"{taken * 1000:.0f} ({usual * 1000:.0f}) ms", f"{late * 1000:.0f} ({usual_late * 1000:.0f}) ms"
        print(f"| {name} | {running} | {taken / usual:.2f} | {past} | {of_the_wait:.2f} |", flush=True)


if __name__ == "__main__":
    main()
