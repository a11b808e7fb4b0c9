"""From drops to votes: counted once and recorded once, whatever is cut short and done again."""

from __future__ import annotations

import json
import os
import signal
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from gate.model.rules import weigh
from gate.store import layout
from gate.store.files import write_json_once
from gate.votes import from_drops
from gate.votes.inbox import Inbox
from tests.support.cut_short import STEPS, Crash, cut_short
from tests.support.gate_state import (
    UIDS,
    drop_file,
    facts_of,
    made,
    mode_of,
    next_tick,
    open_request,
    records,
    rule_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gate.store.request import Request

KEY = "git.example-42-1001"
OTHER_KEY = "other.example-7-1001"


@pytest.fixture(autouse=True)
def _no_sigio() -> Iterator[None]:
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)  # as prepare does
    yield
    signal.signal(signal.SIGIO, before)


@pytest.fixture
def policy(tmp_path: Path) -> Any:
    return made(tmp_path / "state")


def look(policy: Any, request: Request, **rule: Any) -> tuple[list[Any], list[str], bool]:
    """One look: (votes, lines for the job log, whether to look again)."""
    box = Inbox(request, policy, rule_of(**rule))
    return box.collect(), box.lines, box.again


def left(policy: Any, person: str = "alice") -> list[str]:
    return sorted(os.listdir(os.path.join(layout.drops(policy["state_dir"]), person)))


def turned_away(policy: Any) -> list[str]:
    return [name for name in os.listdir(layout.turned_away(policy["state_dir"])) if not name.endswith(".note")]


@pytest.mark.parametrize("name", ["1001.approved", "1001.rejected", "1001.approve.txt", "1001.reject.txt"])
def test_a_misnamed_drop_is_turned_away_like_any_other_that_does_not_count(policy: Any, name: str) -> None:
    request = open_request(policy)
    drop_file(policy, "alice", name, "go ahead\n")
    votes, lines, _again = look(policy, request)
    (record,) = records(policy, "drop-turned-away")
    assert (votes, left(policy), len(turned_away(policy)), record["drop"]["name"]) == ([], [], 1, name)
    assert "an answer has the name 1001.approve or 1001.reject" in lines[0]


def test_a_drop_becomes_one_vote_and_one_record(policy: Any) -> None:
    request = open_request(policy)
    drop_file(policy, "alice", "1001.approve", "go ahead\n")

    votes, lines, again = look(policy, request)
    (vote,), (record,) = votes, records(policy, "vote")
    assert (vote["person"], vote["answer"], vote["comment"], vote["via"]) == ("alice", "approve", "go ahead", "drop")
    assert (vote["key"], vote["uid"], vote["early"]) == (KEY, UIDS["alice"], False)
    assert record["by"] == {"person": "alice", "uid": UIDS["alice"], "via": "drop", "vote": vote["file"]}
    assert (record["decision"], record["comment"], record["request"]) == ("approve", "go ahead", KEY)
    assert set(lines) == {'alice approves: "go ahead"'}
    assert (left(policy), turned_away(policy), again) == ([], [], False)


def test_looking_again_records_nothing_again(policy: Any) -> None:
    request = open_request(policy)
    drop_file(policy, "alice", "1001.approve")

    first, _, _ = look(policy, request)
    second, _, _ = look(policy, request)
    assert first == second
    assert len(records(policy, "vote")) == 1


def test_each_drop_of_a_person_is_a_vote_and_the_last_is_theirs(policy: Any) -> None:
    request = open_request(policy)
    for answer in ("approve", "approve", "reject"):
        drop_file(policy, "alice", f"1001.{answer}")
        votes, _, _ = look(policy, request)

    assert [vote["answer"] for vote in votes] == ["approve", "approve", "reject"]
    assert len(records(policy, "vote")) == 3
    assert weigh(rule_of(), policy, request.facts, votes, 0, 1).state == "rejected"


def test_both_answers_at_once_are_a_rejection(policy: Any) -> None:
    request = open_request(policy)
    drop_file(policy, "alice", "1001.reject")
    drop_file(policy, "alice", f"{KEY}.approve")

    votes, _, _ = look(policy, request)
    assert weigh(rule_of(), policy, request.facts, votes, 0, 1).state == "rejected"


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", ["vote file", "record", "move", "unlink"])
def test_a_vote_cut_short_anywhere_is_finished_once(
    policy: Any, monkeypatch: pytest.MonkeyPatch, step: str, when: str
) -> None:
    request = open_request(policy)
    drop_file(policy, "alice", "1001.approve", "go ahead")
    with monkeypatch.context() as patched:
        cut_short(patched, STEPS[step], when)
        with pytest.raises(Crash):
            look(policy, request)

    for _ in range(2):
        votes, _, _ = look(policy, request)
        assert [(vote["person"], vote["answer"], vote["comment"]) for vote in votes] == [
            ("alice", "approve", "go ahead")
        ]
    assert [record["by"]["vote"] for record in records(policy, "vote")] == [votes[0]["file"]]
    assert records(policy, "drop-turned-away") == []
    assert left(policy) == []


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", ["record", "move"])
def test_turning_away_cut_short_anywhere_is_finished_once(
    policy: Any, monkeypatch: pytest.MonkeyPatch, step: str, when: str
) -> None:
    request = open_request(policy)
    drop_file(policy, "bob", "1001.approve", "")
    with monkeypatch.context() as patched:
        cut_short(patched, STEPS[step], when)
        with pytest.raises(Crash):
            look(policy, request)

    for _ in range(2):
        assert look(policy, request)[0] == []
    assert len(records(policy, "drop-turned-away")) == 1
    assert (left(policy, "bob"), len(turned_away(policy))) == ([], 1)


def test_a_half_written_drop_is_left_for_later(policy: Any) -> None:
    request = open_request(policy)
    writer = os.open(drop_file(policy, "alice", "1001.reject", "no"), os.O_WRONLY)

    assert look(policy, request) == ([], [], True)
    os.close(writer)
    assert [vote["answer"] for vote in look(policy, request)[0]] == ["reject"]


AWAY = {
    "triggered it, not on the list": (
        "carol",
        "1001.approve",
        {"names": ["carol"]},
        "carol is not on the list of rule 'all'",
    ),
    "triggered it": ("alice", "1001.approve", {"names": ["Alice-GL"]}, "alice triggered this job"),
    "matches a forged one": ("alice", "1001.approve", {"names": ["dev", "alice"]}, "alice triggered this job"),
}


@pytest.mark.parametrize("case", AWAY)
def test_a_drop_that_does_not_count_is_turned_away_with_a_record(policy: Any, case: str) -> None:
    person, name, by, why = AWAY[case]
    request = open_request(policy, facts=facts_of(triggered_by={"names": ["dev"], "ids": [], "emails": []} | by))
    drop_file(policy, person, name)

    votes, lines, _ = look(policy, request)
    (record,) = records(policy, "drop-turned-away")
    assert votes == []
    assert (record["request"], record["by"], record["drop"]["name"]) == (KEY, {"person": person, "via": "drop"}, name)
    assert why in record["why"]
    assert why in lines[0]
    assert (left(policy, person), len(turned_away(policy))) == ([], 1)


def test_who_triggered_it_may_still_reject(policy: Any) -> None:
    request = open_request(policy, facts=facts_of(triggered_by={"names": ["alice"], "ids": [], "emails": []}))
    drop_file(policy, "alice", "1001.reject")

    assert [vote["answer"] for vote in look(policy, request)[0]] == ["reject"]


def test_a_hostile_drop_is_turned_away_and_the_next_one_counts(policy: Any) -> None:
    request = open_request(policy)
    os.symlink("/etc/passwd", os.path.join(layout.drops(policy["state_dir"]), "alice", "1001.approve"))
    os.lchown(os.path.join(layout.drops(policy["state_dir"]), "alice", "1001.approve"), UIDS["alice"], -1)
    drop_file(policy, "bob", "1001.approve", "\xff".encode("latin-1"))

    assert look(policy, request)[0] == []
    assert {record["why"] for record in records(policy, "drop-turned-away")} == {
        "not a regular file",
        "is not UTF-8 text",
    }
    drop_file(policy, "alice", "1001.approve")
    assert len(look(policy, request)[0]) == 1


def test_a_directory_that_others_may_write_counts_for_nobody_and_disturbs_nobody(policy: Any) -> None:
    request = open_request(policy)
    drop_file(policy, "alice", "1001.approve")
    drop_file(policy, "bob", "1001.approve")
    os.chmod(os.path.join(layout.drops(policy["state_dir"]), "alice"), 0o770)

    for _ in range(2):
        votes, lines, _ = look(policy, request)
        assert [vote["person"] for vote in votes] == ["bob"]
        assert any(line.startswith("drop/alice has mode 0770, ") for line in lines)
    (record,) = records(policy, "drop-turned-away")
    assert (record["by"], left(policy)) == ({"person": "alice", "via": "drop"}, ["1001.approve"])


def test_people_without_a_user_here_are_passed_over(policy: Any) -> None:
    policy["people"]["bob"]["uid"] = None
    request = open_request(policy)

    assert look(policy, request) == ([], [], False)
    assert records(policy) == []


def early_drop(policy: Any, tmp_path: Path, answer: str) -> Request:
    drop_file(policy, "alice", f"1001.{answer}", "beforehand")
    next_tick(tmp_path)
    return open_request(policy)


def test_an_early_approval_does_not_count(policy: Any, tmp_path: Path) -> None:
    request = early_drop(policy, tmp_path, "approve")

    votes, lines, _ = look(policy, request)
    assert votes == []
    assert "it was there before its job, and rule 'all' takes no early approval" in lines[0]
    assert len(turned_away(policy)) == 1


def test_an_early_approval_counts_where_the_rule_says_so(policy: Any, tmp_path: Path) -> None:
    request = early_drop(policy, tmp_path, "approve")

    (vote,), lines, _ = look(policy, request, early=True)
    assert vote["early"] is True
    assert records(policy, "vote")[0]["early"] is True
    assert lines[0] == 'alice approves (answered before the job was here): "beforehand"'


def test_an_early_approval_that_is_old_does_not_count(
    policy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = early_drop(policy, tmp_path, "approve")
    monkeypatch.setattr(from_drops, "time", SimpleNamespace(time=lambda: time.time() + 601))

    votes, lines, _ = look(policy, request, early=True)
    assert votes == []
    assert "it is early and older than 10min" in lines[0]


@pytest.mark.parametrize("early", [True, False])
def test_an_early_rejection_always_counts(policy: Any, tmp_path: Path, early: bool) -> None:
    request = early_drop(policy, tmp_path, "reject")

    votes, _, _ = look(policy, request, early=early)
    assert [(vote["answer"], vote["early"]) for vote in votes] == [("reject", True)]


def test_an_answer_in_the_instant_of_the_opening_is_not_early(policy: Any) -> None:
    """The clock that stamps files lags behind time.time(), by up to 10 ms; here, for all to see, by a second."""
    request = open_request(policy, opened_wall_s=time.time() + 1)
    drop_file(policy, "alice", "1001.approve")

    assert [vote["early"] for vote in look(policy, request)[0]] == [False]


def test_a_short_name_for_two_waiting_jobs_is_turned_away_naming_both(policy: Any) -> None:
    request, _other = open_request(policy), open_request(policy, OTHER_KEY)
    drop_file(policy, "alice", "1001.approve")

    votes, lines, _ = look(policy, request)
    assert votes == []
    assert f"{KEY}.approve or {OTHER_KEY}.approve" in lines[0]
    assert f"{KEY}.approve or {OTHER_KEY}.approve" in records(policy, "drop-turned-away")[0]["why"]


def test_a_long_name_reaches_its_own_job_only(policy: Any) -> None:
    request, other = open_request(policy), open_request(policy, OTHER_KEY)
    drop_file(policy, "alice", f"{OTHER_KEY}.approve")

    assert look(policy, request)[0] == []
    assert [vote["key"] for vote in look(policy, other)[0]] == [OTHER_KEY]


@pytest.mark.parametrize("over", ["decision.json", "ended.json"])
def test_a_short_name_counts_where_the_namesake_is_over(policy: Any, over: str) -> None:
    request, other = open_request(policy), open_request(policy, OTHER_KEY)
    write_json_once(other.directory, over, {})
    drop_file(policy, "alice", "1001.approve")

    assert len(look(policy, request)[0]) == 1


def test_a_drop_for_another_job_stays(policy: Any) -> None:
    request = open_request(policy)
    names = ["1002.approve", ".1001.approve", "1001.approve.tmp", "1001.approve~"]
    for name in names:
        drop_file(policy, "alice", name)

    assert look(policy, request) == ([], [], False)
    assert left(policy) == sorted(names)


def test_a_vote_is_kept_where_its_record_cannot_be_written(policy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    request = open_request(policy)
    drop_file(policy, "alice", "1001.approve")
    audit = layout.audit(policy["state_dir"])
    os.rename(audit, f"{audit}.away")
    with pytest.raises(Exception, match="audit log"):
        look(policy, request)

    assert left(policy) == ["1001.approve"]
    os.rename(f"{audit}.away", audit)
    assert len(look(policy, request)[0]) == 1
    assert len(records(policy, "vote")) == 1


def test_what_authors_wrote_is_harmless_in_the_job_log(policy: Any) -> None:
    request = open_request(policy)
    drop_file(policy, "alice", "1001.approve", "fine\r\n\x1b[0Ksection_start:1:x\u202e")

    _, lines, _ = look(policy, request)
    assert set(lines) == {'alice approves: "fine\\r\\n\\x1b[0Ksection_start:1:x\\u202e"'}


def test_vote_files_are_written_as_design_says(policy: Any) -> None:
    request = open_request(policy)
    drop_file(policy, "alice", "1001.approve")
    (vote,), _, _ = look(policy, request)

    path = os.path.join(layout.votes(request.directory), vote["file"])
    assert mode_of(path) == 0o640
    with open(path, encoding="utf-8") as source:
        assert json.load(source)["key"] == KEY
