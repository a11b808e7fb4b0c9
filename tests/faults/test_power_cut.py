"""The power goes, at any moment: what went on has its records, and the gate goes on from whatever the disk has.

Several gates open, decide and release jobs at once on a disk that records each write (tests/support/recorded_disk.py),
some of their steps killed on the way, while the audit log goes on in new segments. Then the power is cut at many places
of that record: all that was flushed by then is on the disk, and of the later writes any choice. Each such disk is
mounted, its journal replayed, and held against what prepare had answered, and the job logs had been told, before.
"""

from __future__ import annotations

import os
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from audit import log
from audit.verify import verify
from gate import clock
from gate.store import layout
from gate.store.files import write_once
from gate.store.request import keys, load
from gate.upkeep.sweep import sweep
from tests.faults.conftest import SOAK
from tests.support.effort import rounds
from tests.support.fault_injection import BUILD_FAILURE, NOBODY, Jobs
from tests.support.fault_stage import BY_ALARM
from tests.support.loop_mount import mounted
from tests.support.recorded_disk import PowerCut, RecordedDisk, entries
from tests.support.site import Site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gate.store.request import Request

GATES = 3
JOBS_OF_A_GATE = 4
CUTS = min(130, rounds(130, 40))  # in each of RUNS; SOAK makes more of these
RUNS = 4 * SOAK
ROTATE_AT_BYTES = 6000  # two jobs, or so
STEP_US = 12_000  # what a step takes, and a little more
IMPORTED = "executor.steps,json"


@dataclass(frozen=True)
class Answered:
    """What the runner had been told by some position of the disk's record."""

    position: int
    job: int
    code: int
    ended: bool


@dataclass
class Run:
    """What happened on a disk."""

    disk: RecordedDisk
    jobs: Jobs
    answered: list[Answered]
    heads: list[tuple[int, tuple[str, str]]]  # what the job logs showed by when


def do_jobs(run: Run, chance: random.Random) -> None:
    """One gate: jobs, one after the other, approved or rejected, some of whose steps are killed."""
    with run.jobs.stages(call=BY_ALARM, modules=IMPORTED) as stages:
        for _ in range(JOBS_OF_A_GATE):
            job = run.jobs.new()
            run.jobs.answer(job, chance.choice(["approve", "approve", "reject"]))
            strike = chance.choice([NOBODY, ("looking", chance.randrange(1, STEP_US))])
            code, said = stages.do("prepare", job, strike=strike)
            assert code in (0, BUILD_FAILURE), said
            note(run, job, code, ended=False)
            if code == 0:
                write_once(str(run.jobs.directory(job)), "started", b"")
            assert stages.do("cleanup", job)[0] == 0
            note(run, job, code, ended=True)


def note(run: Run, job: int, code: int, *, ended: bool) -> None:
    heads = list(run.jobs.heads)  # before the position is taken: what is not there yet is not asked for
    position = run.disk.position()
    run.answered.append(Answered(position, job, code, ended))
    run.heads += [(position, head) for head in heads]


@pytest.fixture
def run(tmp_path: Path, root: None, request: pytest.FixtureRequest) -> Iterator[Run]:
    """Jobs that were done on a recorded disk, by several gates at once."""
    chance = random.Random(request.param)
    disk = RecordedDisk(tmp_path)
    with Site(rule={"early": True}) as site:
        site.state.mkdir()
        with disk.mounted(site.state):
            (tmp_path / "jobs").mkdir()
            done = Run(disk, Jobs(site, tmp_path / "jobs"), [], [])
            done.jobs.policy["audit"]["rotate_at_bytes"] = ROTATE_AT_BYTES
            with ThreadPoolExecutor(GATES) as gates:
                list(
                    gates.map(lambda seed: do_jobs(done, random.Random(seed)), [chance.random() for _ in range(GATES)])
                )
            assert log.position(layout.audit(str(site.state)))[0] > 1
        yield done


@pytest.mark.parametrize("run", range(RUNS), indirect=True)
def test_what_went_on_before_the_power_went_has_its_records(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(len(run.answered))
    at = tmp_path / "mounted"
    at.mkdir()
    (tmp_path / "boot_id").write_text("after-the-power-came-back\n")
    monkeypatch.setattr(clock, "BOOT_ID_FILE", str(tmp_path / "boot_id"))
    ends = [end for end, _offset, _content in entries(run.disk.record) if end >= run.answered[0].position // 2]
    cut = PowerCut(run.disk, tmp_path)
    wrong: list[str] = []
    for position in sorted(chance.sample(ends, CUTS)):
        share = chance.choice([0, 0.5, 1])
        image = tmp_path / f"left.{position}"  # none twice (loop_mount.py)
        cut.at(position, image, lambda: chance.random() < share)  # noqa: B023
        with mounted(image, at):
            wrong += [f"{position}, {share}: {what}" for what in found_wrong(run, position, str(at))]
        image.unlink()
    assert len(run.answered) == 2 * GATES * JOBS_OF_A_GATE
    assert not wrong, "\n".join(wrong)


def found_wrong(run: Run, position: int, state_dir: str) -> list[str]:
    """What must not be, on a disk of which the power went at that position."""
    audit = layout.audit(state_dir)
    if not os.path.isdir(audit):
        return ["no audit/"]
    told = [head for when, head in run.heads if when <= position]
    anchors = [(int(seq), sha256) for seq, sha256 in told]
    records = list(log.records(audit))
    wrong = [str(problem) for problem in verify(audit, anchors).problems] if records or anchors else []
    for answered in run.answered:
        if answered.position <= position:
            wrong += unkept(run, answered, state_dir, [record for _head, record in records])
    for request in requests_in(state_dir):
        wrong += contradicted(request, [record for _head, record in records if record.get("request") == request.key])
    return wrong + [f"afterwards: {what}" for what in afterwards(run, state_dir, anchors)]


def requests_in(state_dir: str) -> list[Request]:
    if not os.path.isdir(layout.jobs(state_dir)):
        return []
    found = [load(state_dir, key) for key in keys(state_dir)]
    return [request for request in found if request is not None]


def unkept(run: Run, answered: Answered, state_dir: str, records: list[Any]) -> list[str]:
    """What the runner was told of, and is not there."""
    key = run.jobs.directory(answered.job).name
    events = {record["event"] for record in records if record.get("request") == key}
    names = ["decision.json"] + ["release.json"] * (answered.code == 0) + ["ended.json"] * answered.ended
    due = {"requested", "vote", "decided"} | ({"released"} if answered.code == 0 else set())
    due |= {"ended"} if answered.ended else set()
    request = load(state_dir, key)
    file: Any = request.file if request else None
    missing = [name for name in names if file is None or file(name) is None]
    return [f"{answered}: no {sorted(due - events)}, no {missing}"] if missing or due - events else []


def contradicted(request: Request, records: list[Any]) -> list[str]:
    """Where what is on disk of one request and what is recorded of it do not go together."""
    events = [record["event"] for record in records]
    decision, votes = request.file("decision.json"), os.listdir(layout.votes(request.directory))
    wrong = ["recorded twice"] if len(events) != len(set(events)) else []
    for record in records:
        if record["event"] == "vote" and record["by"]["vote"] not in votes:
            wrong.append("a vote recorded that is not there")
        if record["event"] == "decided" and (decision is None or decision["decision"] != record["decision"]):
            wrong.append("decided otherwise than recorded")
    wrong += ["released unrecorded"] if request.has("release.json") and "released" not in events else []
    wrong += ["released undecided"] if "released" in events and "decided" not in events else []
    return [f"{request.key}, {events}: {what}" for what in wrong]


def afterwards(run: Run, state_dir: str, anchors: list[tuple[int, str]]) -> list[str]:
    """What is wrong once the host is up again, and the next job's config and cleanup have swept."""
    audit = layout.audit(state_dir)
    layout.make(run.jobs.policy | {"state_dir": state_dir})
    for _ in range(2):
        wrong = sweep(run.jobs.policy | {"state_dir": state_dir}, "no job of its own")
    head = log.append(audit, {"event": "ended", "request": "the next job"}, version="0")
    report = verify(audit, [*anchors, head])
    wrong += [str(problem) for problem in report.problems] + ([report.unfinished] if report.unfinished else [])
    found = [record for _head, record in log.records(audit)]
    for request in requests_in(state_dir):
        events = [record["event"] for record in found if record.get("request") == request.key]
        if events.count("ended") != 1 or len(events) != len(set(events)) or not request.has("ended.json"):
            wrong.append(f"{request.key}: {events}")
    return wrong
