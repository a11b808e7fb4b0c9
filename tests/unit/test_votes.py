"""Which vote files count, and in which order (architecture "On disk")."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from gate.store import layout
from gate.store.files import StateError, write_json_once
from gate.votes.ballot import votes_on
from tests.support.gate_state import IS_ROOT, UIDS, made, open_request

if TYPE_CHECKING:
    from pathlib import Path

    from gate.store.request import Request

KEY = "git.example-42-1001"
OTHER_KEY = "other.example-7-1001"


@pytest.fixture
def policy(tmp_path: Path) -> Any:
    return made(tmp_path / "state")


def vote_file(request: Request, name: str, **changes: Any) -> str:
    vote = {"v": 1, "key": KEY, "person": "bob", "answer": "approve", "comment": "", "via": "drop", "uid": 7}
    vote |= {"early": False, "counted_boottime_ms": 5, **changes}
    write_json_once(layout.votes(request.directory), name, vote)
    return os.path.join(layout.votes(request.directory), name)


def test_a_vote_of_another_request_counts_only_there(policy: Any) -> None:
    request = open_request(policy)
    vote_file(request, "bob.a.json", key=OTHER_KEY)

    assert votes_on(request) == []


def test_a_vote_file_of_another_user_does_not_count(policy: Any) -> None:
    if not IS_ROOT:
        pytest.skip("a file of another user needs root")
    request = open_request(policy)
    os.chown(vote_file(request, "bob.a.json"), UIDS["alice"], -1)

    assert votes_on(request) == []


def test_votes_are_oldest_first_and_a_rejection_of_the_same_moment_later(policy: Any) -> None:
    request = open_request(policy)
    vote_file(request, "bob.a.json", answer="reject")
    vote_file(request, "bob.b.json")
    vote_file(request, "bob.c.json", counted_boottime_ms=4)

    assert [vote["file"] for vote in votes_on(request)] == ["bob.c.json", "bob.b.json", "bob.a.json"]


def test_a_vote_that_cannot_be_read_is_told_and_not_passed_over(policy: Any) -> None:
    request = open_request(policy)
    path = vote_file(request, "bob.a.json")
    os.unlink(path)
    with open(path, "w", encoding="utf-8") as target:
        target.write("{")

    with pytest.raises(StateError, match="not valid JSON"):
        votes_on(request)


def test_a_hard_link_to_another_file_of_the_gate_s_is_no_vote(policy: Any) -> None:
    """Where fs.protected_hardlinks is 0, the page's user can make one: of any file."""
    request = open_request(policy)
    votes = layout.votes(request.directory)
    os.link(os.path.join(request.directory, "request.json"), os.path.join(votes, "bob.a.json"))
    os.link(os.path.join(policy["state_dir"], "secret"), os.path.join(votes, "bob.b.json"))
    lines: list[str] = []

    assert votes_on(request, lines) == []
    assert [line.partition(" is a hard link")[0] for line in lines] == ["votes/bob.a.json", "votes/bob.b.json"]


def test_a_second_name_of_a_vote_neither_adds_one_nor_takes_one_away(policy: Any) -> None:
    request = open_request(policy)
    path = vote_file(request, "bob.a.json", file="bob.a.json", answer="reject")
    os.link(path, os.path.join(os.path.dirname(path), "bob.z.json"))

    assert [vote["file"] for vote in votes_on(request)] == ["bob.a.json"]


@pytest.mark.parametrize("key", ["person", "answer", "comment", "via", "uid", "early", "counted_boottime_ms"])
def test_what_is_not_whole_is_no_vote(policy: Any, key: str) -> None:
    request = open_request(policy)
    vote_file(request, "bob.a.json", **{key: None})

    assert votes_on(request) == []
