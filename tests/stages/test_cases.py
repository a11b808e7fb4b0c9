"""The conformance cases, tests/cases/: gate.yaml, job response and votes in; decision, exit code and reasons out.

Each is played through the installed commands. tests/cases/schema.yaml says what a case may hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.runner.gated import HEAD
from tests.support.case_file import RAN, Case, load_all
from tests.support.case_play import Played, play
from tests.support.site import IS_ROOT

if TYPE_CHECKING:
    from tests.support.case_file import CaseSite

CASES = list(load_all())
LEAST_CASES = 60


def test_there_are_enough_cases() -> None:
    assert len({case.path for case in CASES}) >= LEAST_CASES


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case) -> None:
    _skip_without_users(case)
    with case.site() as site:
        if "earlier" in case.content:
            play(site, case.earlier_job(), case.earlier_votes(), case.content.get("prepare_timeout"))
        job = case.job()
        played = play(site, job, case.votes(), case.content.get("prepare_timeout"))
        print(played.log)  # pytest shows it where the case fails
        assert _found(site, job["id"], played, case.expect) == _wanted(case.expect)
        _check_phrases(site, job["id"], played, case.expect)
        assert site.verify(HEAD.findall(played.log)).problems == ()


def _skip_without_users(case: Case) -> None:
    if IS_ROOT:
        return
    if case.content.get("needs") == "root":
        pytest.skip("not root: the case needs a gate that is")
    if len(case.voters) > 1:
        pytest.skip("not root: only root can act as a second Unix user")


def _wanted(expect: dict[str, Any]) -> dict[str, Any]:
    names = ("decision", "exit_code", "rule", "votes")
    wanted = {name: expect[name] for name in names if name in expect}
    approved = expect["decision"] == "approved"
    return wanted | {"released": approved, "ran": approved, "recorded": expect.get("recorded", {})}


def _found(site: CaseSite, job: int, played: Played, expect: dict[str, Any]) -> dict[str, Any]:
    """What came out, as far as the case says what it expects."""
    (decided,) = site.records("decided", job)
    found = {
        "decision": decided["decision"],
        "exit_code": 0 if played.state == "success" else played.exit_code,
        "rule": decided["rule"],
        "votes": [f"{vote['by']['person']} {vote['decision']}" for vote in site.records("vote", job)],
        "released": bool(site.records("released", job)),
        "ran": RAN in played.log,
        "recorded": {name: decided["job"].get(name) for name in expect.get("recorded", {})},
    }
    return {name: value for name, value in found.items() if name in _wanted(expect)}


def _check_phrases(site: CaseSite, job: int, played: Played, expect: dict[str, Any]) -> None:
    (decided,) = site.records("decided", job)
    decision_id = _decision_id(site, decided)
    missing = [phrase for phrase in expect.get("why", []) if phrase not in decided["why"]]
    assert (missing, decided["why"]) == ([], decided["why"])
    log = [phrase.replace("{decision_id}", decision_id) for phrase in expect.get("log", [])]
    assert [phrase for phrase in log if phrase not in played.log] == [], played.log
    assert [phrase for phrase in expect.get("not_in_log", []) if phrase in played.log] == [], played.log


def _decision_id(site: CaseSite, decided: dict[str, Any]) -> str:
    """Seq and SHA-256 of a record; the next record holds the latter."""
    after = [record["prev"] for record in site.records() if record["seq"] == decided["seq"] + 1]
    return f"{decided['seq']}:{after[0]}" if after else ""
