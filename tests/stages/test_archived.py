"""A job whose request is archived: it is shown from the audit log, and does not come back, whatever it was."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from executor.rehearsal.session import Cancel, Outcome, rehearse
from executor.rehearsal.wiring import built_in
from tests.support.jobs import job_payload
from tests.support.page import PageServer
from tests.support.site import APPROVER, IS_ROOT, Site
from tests.support.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

SYSTEM_FAILURE = Outcome("failed", "runner_system_failure", None)


@pytest.fixture
def site() -> Iterator[Site]:
    with Site(rule={"early": True}, keep={"requests": "1h", "log": "1h"}).with_page(socket=True) as site:
        Stage(site)  # makes the drop directories
        yield site


def play(site: Site, job: dict[str, Any], answer: str = "", before_prepare: str = "") -> tuple[Outcome, str]:
    """A job from beginning to end, answered beforehand; what GitLab was told, and the job log."""
    if answer:
        site.drop(APPROVER, f"{job['id']}.{answer}", "so be it")
    cancel, log, runner_log = Cancel(), bytearray(), bytearray()
    wiring = built_in(str(site.yaml))
    if before_prepare:
        wiring = dataclasses.replace(
            wiring, prepare=("sh", "-c", f'{before_prepare}; exec "$@"', "sh", *wiring.prepare)
        )
    try:
        outcome = rehearse(job, wiring, log.extend, cancel, runner_log.extend)
    finally:
        cancel.close()
    assert runner_log == b""
    return outcome, log.decode()


def archive(site: Site, job: dict[str, Any]) -> None:
    """Have it archived by the sweeps of another job, as if it had ended two hours ago."""
    ended = site.job_dir(job["id"]) / "ended.json"
    for path in (ended, ended.parent):
        os.utime(path, (time.time() - 7200, time.time() - 7200))
    assert play(site, job_payload(5001), "approve")[0].state == "success"
    assert not ended.parent.exists()


@pytest.mark.parametrize(("answer", "first"), [("approve", ("success", None)), ("reject", ("failed", 80))])
@pytest.mark.parametrize("token", [None, "another-token"])
def test_a_job_that_comes_again_is_refused(site: Site, answer: str, first: tuple[str, int], token: str) -> None:
    job = job_payload(1001, script=["echo RAN | tr A-Z a-z"])
    outcome, log = play(site, job, answer)
    assert ((outcome.state, outcome.exit_code), "\nran\n" in log) == (first, answer == "approve")
    archive(site, job)
    before = site.events(1001)

    outcome, log = play(site, job_payload(1001, script=["echo RAN | tr A-Z a-z"], token=token), "approve")

    assert (outcome, "\nran\n" in log) == (SYSTEM_FAILURE, False)
    lines = [line for line in log.splitlines() if "gate: " in line]
    assert len(lines) == 3
    assert all("was here before, has ended, and is archived" in line for line in lines)
    assert (site.events(1001), site.verify().ok) == (before, True)
    assert not list((site.state / "jobs").glob("*-1001"))


def test_a_job_whose_request_is_archived_before_its_prepare_is_refused(site: Site) -> None:
    month = site.state / "archive" / "2026-11"
    aside = f"mkdir -p {month}; touch {month}/REHEARSAL.gitlab.example-42-1001"

    outcome, log = play(site, job_payload(1001), "approve", before_prepare=aside)

    assert (outcome, site.events(1001)) == (SYSTEM_FAILURE, [])
    assert log.count("REHEARSAL.gitlab.example-42-1001 was here before, has ended, and is archived") == 3
    assert not list((site.state / "jobs").glob("*/request.json"))


def test_an_archived_job_is_shown_from_the_log(site: Site) -> None:
    job = job_payload(1001)
    play(site, job, "reject")
    on_disk = json.loads(site.gate(APPROVER, "show", "1001", "--json").stdout)
    archive(site, job)

    shown = site.gate(APPROVER, "show", "1001")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert f'{on_disk["key"]}: rejected by {APPROVER}: "so be it"\n' in shown.stdout
    assert "deploy #1001 of grp/app" in shown.stdout
    assert "archived: only the audit log still has it" in shown.stdout
    told = json.loads(site.gate(APPROVER, "show", on_disk["key"], "--json").stdout)
    assert (told["archived"], on_disk["archived"]) == (True, False)
    for name in ("key", "state", "waiting", "rule", "digest", "records"):
        assert told[name] == on_disk[name]
    assert told.keys() == on_disk.keys()
    assert {name: told["facts"][name] for name in ("job_id", "name", "path", "sha")} == {
        name: on_disk["facts"][name] for name in ("job_id", "name", "path", "sha")
    }
    assert site.gate(APPROVER, "show", "77").returncode == 5


def test_an_archived_job_is_not_still_to_come(site: Site) -> None:
    job = job_payload(1001)
    play(site, job, "reject")
    archive(site, job)
    told = site.gate(APPROVER, "reject", "1001", "--early")
    assert (told.returncode, told.stdout) == (4, "")
    assert f"job 1001 is not waiting: rejected by {APPROVER}" in told.stderr
    assert not list((site.state / "drop" / APPROVER).iterdir())


def test_the_page_has_an_archived_job_in_its_history(site: Site) -> None:
    job = job_payload(1001)
    play(site, job, "reject")
    key = site.job_dir(1001).name
    with PageServer(site) as page:
        client = page.client(APPROVER)
        assert "no longer kept on disk" not in client.get(f"/requests/{key}").text
        archive(site, job)
        shown = client.get(f"/requests/{key}")
        history = client.get("/history")
        vote = client.post(f"/requests/{key}", {"answer": "approve"})
    assert (shown.status, "no longer kept on disk" in shown.text, "so be it" in shown.text) == (200, True, True)
    assert (history.status, "#1001" in history.text, vote.status) == (200, True, 404)


def test_a_job_ends_though_its_tree_cannot_be_removed_and_a_later_sweep_removes_it(site: Site) -> None:
    if not IS_ROOT:
        pytest.skip("not root: only root can mount")
    play(site, job_payload(1001), "approve")
    ended = site.job_dir(1001)
    tree = site.state / "work" / ended.name
    (tree / "tmp").mkdir(parents=True)
    (ended / "ended.json").unlink()  # as after the last run stage
    (site.base / "kept").mkdir()
    subprocess.run(["mount", "--bind", str(site.base / "kept"), str(tree / "tmp")], check=True)
    try:
        plan = {"GATE_PLAN": str(ended / "plan.1.json"), "GATE_JOB_DIR": str(ended)}
        command = [*site.driver(), "cleanup"]
        done = subprocess.run(command, env={**os.environ, **plan}, capture_output=True, text=True, check=False)
    finally:
        subprocess.run(["umount", str(tree / "tmp")], check=True)
    assert (done.returncode, done.stdout) == (0, "")
    assert "is a mount: unmount it" in done.stderr
    assert ((ended / "ended.json").exists(), tree.exists()) == (True, True)

    play(site, job_payload(1002), "reject")
    assert not tree.exists()
