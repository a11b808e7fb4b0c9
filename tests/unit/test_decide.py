"""Deciding and releasing: one decision stands, nothing is released before its records, no step is recorded twice."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from audit import log
from audit.log import AuditError
from gate.clock import boottime_ms
from gate.flow import decide as deciding
from gate.flow.decide import Interrupted, TooLate, decide, end, record_decided, release
from gate.store import layout
from gate.store.files import StateError, write_json_once
from gate.store.request import Request
from tests.support.cut_short import Crash
from tests.support.gate_state import in_children, made, open_request, records, same_json
from tests.support.parts import part

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

VOTE = {"person": "alice", "via": "drop", "uid": 20_001, "comment": "go ahead", "answer": "approve"}
OTHER_VOTE = {"person": "bob", "via": "drop", "uid": 20_002, "comment": "", "answer": "approve"}
BACKEND: Any = {"type": "shell", "run_as": "deployer", "uid": 996, "gid": 996, "home": "/", "allow_same_user": False}


@pytest.fixture
def policy(tmp_path: Path) -> Any:
    return made(tmp_path / "state")


@pytest.fixture
def request_(policy: Any) -> Request:
    return open_request(policy)


def approved(request: Request, *votes: Any, **backend: Any) -> Any:
    counted = list(votes) or [VOTE]
    return decide(request, "approved", "1 of 1", rule="all", config="c" * 64, votes=counted, backend=BACKEND | backend)


def let_through(request: Request, policy: Any, *votes: Any, interrupted: bool = False, **backend: Any) -> None:
    plan = {"policy": policy, "work_dir": "/jobs-own", "cache_dir": "/projects-own"}
    release(request, approved(request, *votes, **backend), part(plan), lambda: interrupted)


def release_of(request: Request) -> Any:
    return same_json(os.path.join(request.directory, "release.json"))


def events(policy: Any) -> list[str]:
    return [record["event"] for record in records(policy)][1:]  # after genesis


def test_of_many_deciders_one_stands_and_all_are_told_the_same(request_: Request, tmp_path: Path) -> None:
    words: Any = ("approved", "rejected", "expired", "canceled")

    def work(n: int) -> bool:
        told = decide(request_, words[n % 4], f"by {n}", rule="all", config="")
        (tmp_path / f"told.{n}").write_text(told["why"])
        return bool(told["why"] == f"by {n}")

    won = in_children(8, work)
    standing = same_json(os.path.join(request_.directory, "decision.json"))["why"]
    assert won.count(True) == 1
    assert {(tmp_path / f"told.{n}").read_text() for n in range(8)} == {standing}


def test_a_release_names_this_very_job(policy: Any, request_: Request) -> None:
    let_through(request_, policy)

    content = same_json(os.path.join(request_.directory, "release.json"))
    assert (content["key"], content["response_sha256"]) == (request_.key, request_.opened["response_sha256"])
    assert content["boot_id"] == request_.opened["boot_id"]
    (record,) = records(policy, "released")
    assert content["head"][0] == record["seq"]
    assert events(policy) == ["decided", "released"]
    assert records(policy, "decided")[0]["by"] == {"person": "alice", "uid": 20_001, "via": "drop"}


def test_the_same_user_is_said_each_time(policy: Any, request_: Request) -> None:
    let_through(request_, policy, allow_same_user=True)

    assert records(policy, "released")[0]["same_user"] is True


def test_a_job_runs_as_was_decided_whatever_gate_yaml_says_at_its_release(policy: Any, request_: Request) -> None:
    approved(request_)
    let_through(request_, policy, uid=0)

    assert release_of(request_)["backend"] == BACKEND


def test_the_job_is_told_who_approved_it_and_which_record_says_so(policy: Any, request_: Request) -> None:
    said = VOTE | {"comment": "line 1\nline 2"}
    let_through(request_, policy, said, OTHER_VOTE, VOTE | {"person": "carol", "comment": "ok"})

    (line,) = [
        (head, record)
        for head, record in log.records(layout.audit(policy["state_dir"]))
        if record["event"] == "decided"
    ]
    assert release_of(request_)["environment"] == {
        "GATE_APPROVED_BY": "alice,bob,carol",
        "GATE_COMMENT": "alice: line 1\nline 2\ncarol: ok",
        "GATE_DECISION_ID": f"{line[0].seq}:{line[0].sha256}",
    }
    assert line[1]["by"]["person"] == "carol"  # who tipped it


def test_a_job_is_told_the_same_however_often_its_release_was_cut_short(
    policy: Any, request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        cut_short(patched, "release.json", "before")
        with pytest.raises(Crash):
            let_through(request_, policy)
    open_request(policy, "git.example-42-1002").record("requested", why="")  # another job's record comes between
    let_through(request_, policy)

    (decided,) = records(policy, "decided")
    assert release_of(request_)["environment"]["GATE_DECISION_ID"].split(":")[0] == str(decided["seq"])


@pytest.mark.parametrize("event", ["decided", "released"])
def test_the_digest_is_in_the_record(policy: Any, request_: Request, event: str) -> None:
    let_through(request_, policy)

    assert records(policy, event)[0]["digest"] == request_.opened["digest"]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", ["decision.json", "decided", "released", "release.json"])
def test_a_release_cut_short_anywhere_is_finished_with_no_record_twice(
    policy: Any, request_: Request, monkeypatch: pytest.MonkeyPatch, step: str, when: str
) -> None:
    with monkeypatch.context() as patched:
        cut_short(patched, step, when)
        with pytest.raises(Crash):
            let_through(request_, policy)
    if step != "release.json" or when == "before":
        assert not request_.has("release.json")

    for _ in range(2):
        let_through(request_, policy)
    assert events(policy) == ["decided", "released"]
    assert request_.has("release.json")


def cut_short(patched: pytest.MonkeyPatch, step: str, when: str) -> None:
    """Be killed before or after one record or one file is written."""
    true_record, true_write = Request.record, write_json_once

    def either(doing: str, true: Any, words: Any, named: Any) -> Any:
        done = true(*words, **named) if doing != step or when == "after" else None
        if doing == step:
            raise Crash
        return done

    patched.setattr(Request, "record", lambda *words, **named: either(words[1], true_record, words, named))
    patched.setattr(deciding, "write_json_once", lambda *words, **named: either(words[1], true_write, words, named))


@pytest.mark.parametrize("event", ["decided", "released"])
def test_nothing_is_released_where_a_record_cannot_be_written(
    policy: Any, request_: Request, monkeypatch: pytest.MonkeyPatch, event: str
) -> None:
    true_record = Request.record

    def record(self: Request, wanted: str, *same: str, **more: Any) -> Any:
        if wanted == event:
            raise AuditError("no space left")
        return true_record(self, wanted, *same, **more)

    monkeypatch.setattr(Request, "record", record)
    with pytest.raises(AuditError):
        let_through(request_, policy)
    assert not request_.has("release.json")


def test_nothing_is_released_once_the_runner_has_ended_the_wait(policy: Any, request_: Request) -> None:
    with pytest.raises(Interrupted):
        let_through(request_, policy, interrupted=True)

    assert events(policy) == ["decided"]
    assert not request_.has("release.json")
    let_through(request_, policy)
    assert request_.has("release.json")


def test_from_the_release_on_nothing_takes_it_back(policy: Any, request_: Request) -> None:
    let_through(request_, policy)

    let_through(request_, policy, interrupted=True)
    assert events(policy) == ["decided", "released"]


def test_nothing_is_released_with_too_little_time_left(policy: Any) -> None:
    late = open_request(policy, start_by_boottime_ms=boottime_ms() - 1)

    with pytest.raises(TooLate):
        let_through(late, policy)
    assert not late.has("release.json")
    assert events(policy) == ["decided"]


def test_an_end_is_recorded_once(policy: Any, request_: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        cut_short(patched, "ended.json", "before")
        with pytest.raises(Crash):
            end(request_, "over")

    for _ in range(2):
        end(request_, "over")
    assert events(policy) == ["ended"]
    assert same_json(os.path.join(request_.directory, "ended.json"))["why"] == "over"


def test_a_decision_that_cannot_be_written_is_none(request_: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deciding, "write_json_once", lambda *_words: True)

    with pytest.raises(StateError, match=r"decision\.json has gone"):
        decide(request_, "approved", "1 of 1", rule="all", config="")


def test_a_decision_of_nobodys_is_recorded_without_a_person(policy: Any, request_: Request) -> None:
    record_decided(request_, decide(request_, "expired", "0 of 1", rule="all", config=""))

    (record,) = records(policy, "decided")
    assert "by" not in record
    assert (record["decision"], record["why"], record["comment"]) == ("expired", "0 of 1", "")


def test_records_lie_where_the_request_does(policy: Any, request_: Request) -> None:
    let_through(request_, policy)

    assert os.listdir(layout.audit(policy["state_dir"])).count("audit.1.jsonl") == 1


def _overwrite(path: str) -> None:
    size = os.path.getsize(path)
    with open(path, "wb") as target:
        target.write(b"x" * (size - 1) + b"\n")


LOST: dict[str, Callable[[str], None]] = {
    "cut": lambda path: os.truncate(path, 10),
    "emptied, as by copytruncate": lambda path: os.truncate(path, 0),
    "gone": os.unlink,
    "another one, as long": _overwrite,
}


@pytest.mark.parametrize("what", LOST)
def test_nothing_is_released_where_the_log_is_not_what_it_was_when_the_job_came(policy: Any, what: str) -> None:
    open_request(policy, "git.example-42-1000").record("requested", rule="all", config="", why="")
    request = open_request(policy)
    request.record("requested", rule="all", config="", why="")
    LOST[what](os.path.join(layout.audit(policy["state_dir"]), "audit.1.jsonl"))

    with pytest.raises(AuditError, match="the log is shorter than when this job came, or it is another one"):
        let_through(request, policy)
    assert not request.has("release.json")


def test_an_older_request_knows_the_length_alone(policy: Any) -> None:
    open_request(policy, "git.example-42-1000").record("requested", rule="all", config="", why="")
    request = open_request(policy, log_mark=None)
    request.check_log()
    os.truncate(os.path.join(layout.audit(policy["state_dir"]), "audit.1.jsonl"), 10)

    with pytest.raises(AuditError, match="shorter"):
        request.check_log()
