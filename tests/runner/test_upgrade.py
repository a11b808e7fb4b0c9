"""Another version of the gate is installed while a job waits: it waits on, and goes on with the new one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gate import __version__
from tests.runner.gated import Gated, until
from tests.support.installed import Installed
from tests.support.site import Site
from tests.support.wiring import DriverWiring

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.harness import Harness

ANSWERED = {"approve": ("success", None, None), "reject": ("failed", "script_failure", 80)}
OF_THE_OLD = ["requested", "notice-failed"]


@pytest.fixture
def installed(tmp_path: Path) -> Installed:
    directory = tmp_path / "site-packages"
    directory.mkdir()
    return Installed(directory)


@pytest.fixture
def gated(installed: Installed, harness: Callable[..., Harness]) -> Iterator[Gated]:
    with Site() as site:
        driver = installed.driver(site.yaml)
        prepare = [*driver, "prepare", "--prepare-timeout", "3600"]
        yield Gated(site, harness(DriverWiring.of(driver, prepare=prepare)))


@pytest.mark.parametrize("answer", ANSWERED)
def test_a_waiting_job_goes_on_with_the_new_version(installed: Installed, gated: Gated, answer: str) -> None:
    job = gated.waiting()
    installed.remove()
    dropped = gated.drop(job, answer)
    log = gated.harness.wait_trace(job, "cannot decide now: the gate's own code cannot be read; is it being upgraded?")
    assert (gated.harness.state(job), dropped.exists()) == ("running", True)
    assert gated.site.events(job) == ["requested"]
    assert "is it being upgraded? (" in log

    installed.install("9.9.9")

    gated.harness.wait_trace(job, "that is fixed; the wait goes on")
    outcome = gated.outcome(job)
    assert (outcome[:2], outcome[2]) == (ANSWERED[answer][:2], ANSWERED[answer][2])
    assert gated.ran(job) == (answer == "approve")
    written_by = {record["event"]: record["version"] for record in gated.site.records(job=job)}
    assert written_by.pop("requested") == __version__
    assert set(written_by.values()) == {"9.9.9"}
    assert gated.site.verify().ok


def test_an_upgrade_between_two_answers_loses_neither(installed: Installed, gated: Gated) -> None:
    gated.site.config["rules"][0]["approvals"] = [{"count": 2, "of": ["release-managers"]}]
    if len(gated.site.config["people"]) < 2:
        pytest.skip("not root: two people need two users")
    gated.site.write()
    job = gated.waiting()
    gated.drop(job, "approve", person="alice")
    gated.harness.wait_trace(job, "alice approves")
    installed.remove()
    installed.install("9.9.9")
    gated.drop(job, "approve", person="bob")

    assert gated.outcome(job)[0] == "success"
    votes = [(record["by"]["person"], record["version"]) for record in gated.site.records("vote", job)]
    assert votes == [("alice", __version__), ("bob", "9.9.9")]


def test_a_new_version_with_a_fault_is_waited_out_until_it_is_mended(installed: Installed, gated: Gated) -> None:
    job = gated.waiting()
    installed.append("gate/model/rules.py", "\ndef unfinished(:\n")
    gated.drop(job, "approve")
    gated.harness.wait_trace(job, "the gate's own code cannot be read")
    installed.remove()
    installed.install("9.9.9")

    assert gated.outcome(job)[0] == "success"


CONTEXT = {"config_file", "prepare_timeout_s", "runner_pid"}
CALLED_WITH = {"opening": CONTEXT, "looking": CONTEXT | {"deadline_ms"}}
WAITING = {
    "again_ms", "attempt", "deadline_ms", "drops", "job_dir", "lines", "names", "progress", "remind_ms", "signed",
    "state", "votes", "watch",
}  # fmt: skip
RETURNED = {"waiting": WAITING, "released": {"lines", "release", "state"}, "failed": {"exit_code", "lines", "state"}}
_SPY = """
import json as _json
_step = step
def step(name, context, *more):
    result = _step(name, context, *more)
    with open({path!r}, "a") as log:
        log.write(_json.dumps([name, sorted(context), result["state"], sorted(result)]) + "\\n")
    return result
"""


@pytest.mark.parametrize("answer", ANSWERED)
def test_what_the_waiting_process_and_its_steps_tell_each_other_never_changes(
    installed: Installed, gated: Gated, tmp_path: Path, answer: str
) -> None:
    """Either may be of another version. To add is allowed; whoever must change this table has broken an upgrade."""
    spied = tmp_path / "spied"
    installed.append("executor/prepare.py", _SPY.format(path=str(spied)))
    job = gated.waiting()
    gated.drop(job, answer)
    gated.outcome(job)
    until(spied.exists, "spied on")

    seen: list[Any] = [json.loads(line) for line in spied.read_text().splitlines()]
    assert {name for name, *_ in seen} == {"opening", "looking"}
    for name, context, state, result in seen:
        assert set(context) >= CALLED_WITH[name], name
        assert set(result) >= RETURNED[state], (name, state)
