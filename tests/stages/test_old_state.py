"""State that older versions of the gate left on disk is read, gone on with, and swept by this one."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from config.load import load_policy
from executor.rehearsal.session import Cancel, Outcome, rehearse
from executor.rehearsal.wiring import built_in
from gate.clock import boot_id, boottime_ms
from gate.page.history.index import Index
from gate.store import layout
from gate.upkeep import prune, sweep
from tests.runner.gated import until
from tests.support.as_runner import as_runner
from tests.support.gate_state import DAY_S
from tests.support.old_state import PLACE
from tests.support.site import CHECKOUT, IS_ROOT, Site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DATA = CHECKOUT / "tests" / "data"
OLD = sorted(path.name for path in DATA.iterdir() if path.is_dir())
WAITING = "gitlab.example-42-1003"
RULE = {"approvals": [{"count": 2, "of": ["release-managers"]}]}

pytestmark = pytest.mark.skipif(not IS_ROOT, reason="not root: two people who answer need two users")


@pytest.fixture(params=OLD)
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """A gate that finds the state of an older one, of this boot, and was just upgraded."""
    with Site(rule=RULE) as site:
        for file in [path for path in (DATA / request.param).rglob("*") if path.is_file()]:
            target = site.state / file.relative_to(DATA / request.param)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
            if file.suffix == ".json":
                target.write_bytes(target.read_bytes().replace(PLACE.encode(), str(site.base).encode()))
        (site.state / "secret").chmod(0o600)
        (site.state / "waiting.json").rename(site.base / "waiting.json")
        _of_this_boot(site.state / "jobs" / WAITING)
        yield site


def _of_this_boot(request: Path) -> None:
    now_ms = boottime_ms()
    times = {"opened_boottime_ms": now_ms - 30_000, "deadline_boottime_ms": now_ms + 600_000}
    _change(request / "request.json", boot_id=boot_id(), start_by_boottime_ms=now_ms + 600_000, **times)
    for vote in (request / "votes").glob("*.json"):
        _change(vote, counted_boottime_ms=now_ms - 20_000)


def _change(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def play(site: Site) -> tuple[Outcome, str]:
    """The waiting job's next attempt; bob answers it."""
    cancel, log = Cancel(), bytearray()

    def answer() -> None:
        until(lambda: b"audit head seq=" in log, "waiting")
        site.drop("bob", "1003.approve", "me too")

    bob = threading.Thread(target=answer)
    bob.start()
    try:
        outcome = rehearse(
            json.loads((site.base / "waiting.json").read_text()),
            as_runner(built_in(str(site.yaml))),
            log.extend,
            cancel,
        )
    finally:
        bob.join()
        cancel.close()
    return outcome, log.decode()


def test_a_job_that_waited_is_resumed_with_the_votes_it_had(site: Site) -> None:
    outcome, log = play(site)

    assert outcome == Outcome("success", None, None), log
    assert "this job still waits for the approval that it asked for before" in log
    assert site.events(1003) == ["requested", "vote", "vote", "decided", "released", "ended"]
    (decided,) = site.records("decided", 1003)
    assert "alice" in decided["why"]
    assert "bob" in decided["why"]
    assert site.verify().ok


def test_what_was_decided_is_listed_shown_and_verified(site: Site) -> None:
    layout.make(load_policy(str(site.yaml))[0])
    said = {
        words: site.gate("alice", *words)
        for words in (("list",), ("show", "1001"), ("show", "1002"), ("audit", "verify"))
    }
    assert {words: (done.returncode, done.stderr) for words, done in said.items()} == {
        ("list",): (0, "" if "1003" in said[("list",)].stdout else "nothing waits\n"),
        ("show", "1001"): (0, ""),
        ("show", "1002"): (0, ""),
        ("audit", "verify"): (0, ""),
    }
    assert "approved: 2 of 2 from release-managers: alice, bob" in said[("show", "1001")].stdout
    assert "rejected by alice" in said[("show", "1002")].stdout
    assert WAITING in said[("list",)].stdout


def test_the_page_s_index_takes_it_in(site: Site, tmp_path: Path) -> None:
    index = Index(str(tmp_path / "index.sqlite"), str(site.state / "audit"))
    while index.catch_up():
        pass
    decided = {key: (index.row(f"gitlab.example-42-{key}") or {})["decision"] for key in (1001, 1002)}
    assert decided == {1001: "approved", 1002: "rejected"}
    assert index.open_keys() == [WAITING]
    assert [vote["person"] for vote in index.votes(WAITING)] == ["alice"]


def test_it_is_swept_without_a_fault_and_archived(site: Site) -> None:
    policy, _ = load_policy(str(site.yaml))
    layout.make(policy)

    assert sweep.sweep(policy, WAITING) == []
    assert prune.tidy(policy, WAITING, time.time() + 31 * DAY_S) == []
    assert os.listdir(layout.jobs(policy["state_dir"])) == [WAITING]
    assert site.gate("alice", "show", "1002").stdout.startswith("gitlab.example-42-1002: rejected by alice")
    assert sweep.sweep(policy, "own") == []  # it was opened just now, and may still come


@pytest.mark.parametrize("job", [1001, 1002, 1003])
def test_cleanup_of_a_job_that_the_older_gate_let_in_says_nothing(site: Site, job: int) -> None:
    """The gate was upgraded while the job ran, or between two attempts."""
    plan = site.state / "jobs" / f"gitlab.example-42-{job}" / "plan.1.json"
    environment = {**os.environ, "GATE_PLAN": str(plan), "GATE_JOB_DIR": str(plan.parent)}
    layout.make(load_policy(str(site.yaml))[0])

    done = subprocess.run([*site.driver(), "cleanup"], env=environment, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert site.verify().ok


def test_a_job_that_ended_is_not_let_through_again(site: Site) -> None:
    response = json.loads((site.base / "waiting.json").read_text())
    cancel, log = Cancel(), bytearray()
    try:
        outcome = rehearse({**response, "id": 1001}, as_runner(built_in(str(site.yaml))), log.extend, cancel)
    finally:
        cancel.close()
    assert outcome == Outcome("failed", "runner_system_failure", None)
    assert site.events(1001).count("released") == 1


def test_a_job_that_the_older_gate_let_through_is_run(site: Site) -> None:
    """The gate was upgraded between two stages."""
    job_dir, runner = site.state / "jobs" / "gitlab.example-42-1001", site.base / "runner"
    layout.make(load_policy(str(site.yaml))[0])
    runner.mkdir(mode=0o700)
    response, script = runner / "response.json", runner / "script"
    response.write_text("{}\n")
    response.chmod(0o600)
    script.write_text("#!/usr/bin/env bash\necho it ran as $(id -un)\n")
    (job_dir / "ended.json").unlink()
    (job_dir / "started").unlink()
    _change(
        job_dir / "release.json",
        boot_id=boot_id(),
        response_sha256=hashlib.sha256(response.read_bytes()).hexdigest(),
    )
    of_the_runner = {"JOB_RESPONSE_FILE": str(response), "GATE_JOB_DIR": str(job_dir), "SYSTEM_FAILURE_EXIT_CODE": "34"}

    command = [*site.driver(), "run", str(script), "step_script"]
    done = subprocess.run(command, env={**os.environ, **of_the_runner}, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, "it ran as nobody\n", "")
