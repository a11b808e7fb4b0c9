"""Votes that the page leaves: one is counted as the gate's own, and whatever else lies there disturbs nobody (threats T18, T19).

As root the page is a user of its own; otherwise it is the current one, as where a gate is tried out.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from gate.clock import boottime_ms
from gate.model.rules import weigh
from gate.store import layout
from gate.votes import drop_file as drop
from gate.votes import from_page
from gate.votes.from_page import PageVoteError, parse
from gate.votes.inbox import Inbox
from tests.support.cut_short import STEPS, Crash, cut_short
from tests.support.effort import examples
from tests.support.gate_state import (
    IS_ROOT,
    UIDS,
    drop_file,
    facts_of,
    fork,
    made,
    mode_of,
    open_request,
    records,
    rule_of,
)
from tests.support.peers import ended

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gate.store.request import Request

KEY = "git.example-42-1001"
DIGEST = "2" * 64
NONCE = "0123456789abcdef" * 2
NAME = f"{NONCE}.vote"
PAGE_UID, PAGE_GID = (20_010, 20_011) if IS_ROOT else (os.geteuid(), os.getegid())
PAGE = {"user": "page", "uid": PAGE_UID, "gid": PAGE_GID}


@pytest.fixture(autouse=True)
def _no_sigio() -> Iterator[None]:
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)  # as prepare does
    yield
    signal.signal(signal.SIGIO, before)


@pytest.fixture
def policy(tmp_path: Path) -> Any:
    return made(tmp_path / "state", page=PAGE)


@pytest.fixture
def request_(policy: Any) -> Request:
    return open_request(policy)


def said(**changes: Any) -> Any:
    """What the page writes; `...` leaves a key out."""
    whole = {"v": 1, "request": KEY, "digest": DIGEST, "person": "alice", "answer": "approve", "comment": ""}
    return {name: value for name, value in (whole | changes).items() if value is not ...}


def left_as(request: Request, content: Any, name: str = NAME) -> str:
    """A file in votes/ as the page leaves it; returns its path."""
    path = os.path.join(layout.votes(request.directory), name)
    with open(path, "wb") as target:
        target.write(content if isinstance(content, bytes) else json.dumps(content).encode())
    os.chmod(path, 0o644)
    os.chown(path, PAGE_UID, PAGE_GID)
    return path


def look(policy: Any, request: Request, **rule: Any) -> tuple[list[Any], Inbox]:
    """One look: the votes, and the inbox with its lines."""
    box = Inbox(request, policy, rule_of(**rule))
    return box.collect(), box


def votes_dir(request: Request) -> list[str]:
    return sorted(os.listdir(layout.votes(request.directory)))


def away(policy: Any) -> int:
    return len(os.listdir(layout.turned_away(policy["state_dir"])))


def test_a_vote_of_the_page_becomes_one_of_the_gate_s(policy: Any, request_: Request) -> None:
    before_ms = boottime_ms()
    left_as(request_, said(comment="näin\n*yes*"))
    (vote,), box = look(policy, request_)
    (record,) = records(policy, "vote")
    kept = f"alice.page-{NONCE}.approve.json"
    assert {name: vote[name] for name in ("person", "answer", "comment", "via", "uid", "early", "key", "file")} == {
        "person": "alice", "answer": "approve", "comment": "näin\n*yes*", "via": "page", "uid": PAGE_UID, "early": False,
        "key": KEY, "file": kept,
    }  # fmt: skip
    assert before_ms <= vote["counted_boottime_ms"] <= boottime_ms()
    assert record["by"] == {"person": "alice", "via": "page", "uid": PAGE_UID, "vote": kept}
    assert (record["decision"], record["comment"], votes_dir(request_)) == ("approve", "näin\n*yes*", [kept])
    assert (box.lines, box.again, away(policy)) == (['alice approves: "näin\\n*yes*"'], False, 0)


def test_a_counted_vote_is_the_gate_s_own_file(policy: Any, request_: Request) -> None:
    left_as(request_, said())
    look(policy, request_)
    (name,) = votes_dir(request_)
    path = os.path.join(layout.votes(request_.directory), name)
    assert (os.stat(path).st_uid, mode_of(path)) == (os.geteuid(), 0o640)


@pytest.mark.parametrize("answer", ["approve", "reject"])
def test_a_vote_of_the_page_decides(policy: Any, request_: Request, answer: str) -> None:
    left_as(request_, said(answer=answer))
    votes, _ = look(policy, request_)
    assert (
        weigh(rule_of(), policy, request_.facts, votes, 0, 1).state
        == {"approve": "approved", "reject": "rejected"}[answer]
    )


def test_the_same_form_sent_twice_is_one_vote(policy: Any, request_: Request) -> None:
    for _ in range(2):
        left_as(request_, said())
        votes, _ = look(policy, request_)
    assert len(votes) == len(records(policy, "vote")) == 1
    assert (records(policy, "drop-turned-away"), len(votes_dir(request_)), away(policy)) == ([], 1, 0)


def test_the_same_form_sent_again_changes_nothing_of_what_was_said(policy: Any, request_: Request) -> None:
    for comment in ("first", "second"):
        left_as(request_, said(comment=comment))
        (vote,), box = look(policy, request_)
        assert (vote["comment"], set(box.lines)) == ("first", {'alice approves: "first"'})
    assert [record["comment"] for record in records(policy, "vote")] == ["first"]


def test_each_form_of_a_person_is_a_vote_and_the_last_is_theirs(policy: Any, request_: Request) -> None:
    for number, answer in enumerate(("approve", "reject", "approve")):
        left_as(request_, said(answer=answer), f"{number:032x}.vote")
        votes, _ = look(policy, request_)
    assert [vote["answer"] for vote in votes] == ["approve", "reject", "approve"]
    assert weigh(rule_of(), policy, request_.facts, votes, 0, 1).state == "approved"


def test_one_person_has_one_vote_by_whatever_ways_they_came_in(policy: Any, request_: Request) -> None:
    left_as(request_, said())
    drop_file(policy, "alice", "1001.approve")
    votes, _ = look(policy, request_)
    two = rule_of(approvals=[{"count": 2, "of": ["release-managers"], "people": ["alice", "bob"]}])
    assert sorted(vote["via"] for vote in votes) == ["drop", "page"]
    assert weigh(two, policy, request_.facts, votes, 0, 1).state == "open"


DOES_NOT_COUNT: dict[str, tuple[Any, Any, str]] = {
    "another request": ({"request": "git.example-42-1002"}, {}, "it is for the request git.example-42-1002"),
    "another content": ({"digest": "3" * 64}, {}, "it is for another content"),
    "nobody": ({"person": "mallory"}, {}, "mallory is not on the list of rule 'all'"),
    "somebody not on the list": ({"person": "carol"}, {}, "carol is not on the list of rule 'all'"),
    "somebody not on the list, no": ({"person": "carol", "answer": "reject"}, {}, "carol is not on the list"),
    "who triggered it": ({"person": "bob"}, {}, "bob triggered this job"),
    "without a comment": (
        {},
        {"comment": {"approve": "required", "reject": "optional"}},
        "wants a comment with each approval",
    ),
}


@pytest.mark.parametrize("case", DOES_NOT_COUNT)
def test_a_vote_that_does_not_count_is_turned_away_with_a_record(policy: Any, case: str) -> None:
    changes, rule, why = DOES_NOT_COUNT[case]
    request = open_request(policy, facts=facts_of(triggered_by={"names": ["bob"], "ids": [], "emails": []}))
    left_as(request, said(**changes))
    votes, box = look(policy, request, **rule)
    (record,) = records(policy, "drop-turned-away")
    assert (votes, votes_dir(request), away(policy)) == ([], [], 1)
    assert (record["request"], record["drop"]["name"]) == (KEY, NAME)
    assert record["by"] == {"via": "page", "person": said(**changes)["person"]}
    assert why in record["why"]
    assert why in box.lines[0]


def test_who_triggered_it_may_still_reject(policy: Any) -> None:
    request = open_request(policy, facts=facts_of(triggered_by={"names": ["alice"], "ids": [], "emails": []}))
    left_as(request, said(answer="reject"))
    assert [vote["answer"] for vote in look(policy, request)[0]] == ["reject"]


def text(**changes: Any) -> bytes:
    return json.dumps(said(**changes)).encode()


NO_VOTES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "is not JSON"),
    "no JSON": (b"approve", "is not JSON"),
    "cut short": (text()[:-1], "is not JSON"),
    "more behind": (text() + b"{}", "is not JSON"),
    "nested without end": (b"[" * 16_000, "is not JSON"),
    "a number without end": (text().replace(b'"v": 1', b'"v": ' + b"1" * 9000), "is not JSON"),
    "a list": (b"[" + text() + b"]", "has not exactly the keys"),
    "null": (b"null", "has not exactly the keys"),
    "a key less": (text(comment=...), "has not exactly the keys"),
    "a key more": (text(via="drop"), "has not exactly the keys"),
    "a time": (text(counted_boottime_ms=0), "has not exactly the keys"),
    "a key twice": (text().replace(b'"v": 1', b'"v": 1, "v": 1'), "a key twice"),
    "an answer twice": (text().replace(b'"v": 1', b'"v": 1, "answer": "reject"'), "a key twice"),
    "another version": (text(v=2), "not of version 1"),
    "a version that equals 1": (text(v=True), "not of version 1"),
    "another version that equals 1": (text(v=1.0), "not of version 1"),
    "a version as text": (text(v="1"), "not of version 1"),
    "no number as version": (text().replace(b'"v": 1', b'"v": NaN'), "not of version 1"),
    "a path for a request": (text(request="../../etc-42-1001"), "no sound 'request'"),
    "a digest in capitals": (text(digest="A" * 64), "no sound 'digest'"),
    "a digest of another type": (text(digest=2), "no sound 'digest'"),
    "a third answer": (text(answer="approved"), "no sound 'answer'"),
    "an answer with a line end": (text(answer="approve\n"), "no sound 'answer'"),
    "people": (text(person=["alice", "bob"]), "no sound 'person'"),
    "a path for a person": (text(person="../alice"), "no sound 'person'"),
    "a person with a dot": (text(person="alice.page-x"), "no sound 'person'"),
    "no text as comment": (text(comment=None), "no sound 'comment'"),
    "half a surrogate pair": (text(comment="\ud83d"), "no sound 'comment'"),
    "NUL": (text(comment="a\0b"), "holds a NUL"),
    "a comment that is too long": (text(comment="x" * 1001), "has 1001 characters, more than 1000"),
    "a comment that needs too much room": (text(comment="\U0001f600" * 500), "more than 5000 bytes"),
    "not ASCII": (json.dumps(said(comment="ü"), ensure_ascii=False).encode(), "is not ASCII text"),
    "no text": (b"\xff\xfe\0", "is not ASCII text"),
    "too large": (text() + b" " * 16_384, "is larger than 16 KiB"),
}


@pytest.mark.parametrize("case", NO_VOTES)
def test_what_is_no_vote_is_turned_away_and_the_next_one_counts(policy: Any, request_: Request, case: str) -> None:
    content, why = NO_VOTES[case]
    left_as(request_, content)
    left_as(request_, said(person="bob"), f"{'f' * 32}.vote")
    votes, _ = look(policy, request_)
    (record,) = records(policy, "drop-turned-away")
    assert [vote["person"] for vote in votes] == ["bob"]
    assert (record["by"], record["request"], record["drop"]["name"]) == ({"via": "page"}, KEY, NAME)
    assert why in record["why"]
    assert (votes_dir(request_), away(policy)) == ([votes[0]["file"]], 1)


def test_the_largest_vote_fits(policy: Any, request_: Request) -> None:
    content = text(comment="\u2028" * 833)  # 5,000 bytes of the audit log's
    left_as(request_, content + b" " * (16_384 - len(content)))
    assert [len(vote["comment"]) for vote in look(policy, request_)[0]] == [833]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
VALUES = {name: st.just(value) | JSON for name, value in said().items()}


@given(st.fixed_dictionaries(VALUES).map(json.dumps) | JSON.map(json.dumps) | st.text())
def test_no_content_does_worse_than_being_refused(content: str) -> None:
    try:
        found = parse(content)
    except PageVoteError:
        return
    assert found.keys() == {"request", "digest", "person", "answer", "comment"}
    assert found["answer"] in drop.ANSWERS
    found["comment"].encode()


@examples(30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_no_bytes_disturb_a_wait(policy: Any, request_: Request, content: bytes) -> None:
    left_as(request_, content)
    assert look(policy, request_)[0] == []
    assert votes_dir(request_) == []


def planted(request: Request, what: str, path: str, elsewhere: Path) -> None:
    elsewhere.write_bytes(text())
    os.chown(elsewhere, PAGE_UID, -1)
    actions: dict[str, Callable[[], Any]] = {
        "a link": lambda: os.symlink(elsewhere, path),
        "a link to nothing": lambda: os.symlink("nothing", path),
        "a link to R's secret": lambda: os.symlink("/etc/shadow", path),
        "a second name": lambda: os.link(elsewhere, path),
        "a pipe": lambda: os.mkfifo(path),
        "a directory": lambda: os.mkdir(path),
        "a full directory": lambda: os.makedirs(f"{path}/{NAME}"),
    }
    actions[what]()
    os.lchown(path, PAGE_UID, -1)


@pytest.mark.parametrize(
    "what",
    [
        "a link",
        "a link to nothing",
        "a link to R's secret",
        "a second name",
        "a pipe",
        "a directory",
        "a full directory",
    ],
)
def test_what_is_no_file_is_turned_away_and_the_next_one_counts(
    policy: Any, request_: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(drop, "SECOND_LINK_GRACE_S", 0)
    planted(request_, what, os.path.join(layout.votes(request_.directory), NAME), tmp_path / "elsewhere")
    left_as(request_, said(person="bob"), f"{'f' * 32}.vote")
    votes, _ = look(policy, request_)
    (record,) = records(policy, "drop-turned-away")
    assert [vote["person"] for vote in votes] == ["bob"]
    assert record["why"] == ("has a second link" if what == "a second name" else "not a regular file")
    assert votes_dir(request_) == [votes[0]["file"]]
    assert (tmp_path / "elsewhere").read_bytes() == text()


@pytest.mark.parametrize("uid", [0, UIDS["alice"]])
def test_a_file_of_anybody_but_the_page_is_turned_away(policy: Any, request_: Request, uid: int) -> None:
    if not IS_ROOT:
        pytest.skip("a file of another user needs root")
    os.chown(left_as(request_, said()), uid, -1)
    assert look(policy, request_)[0] == []
    (record,) = records(policy, "drop-turned-away")
    assert record["why"] == f"belongs to uid {uid}, not {PAGE_UID}"


ODD_NAMES = (f".{NAME}", f"{NAME}.tmp", NAME.upper(), NAME[1:], f"0{NAME}", NONCE, f"{NONCE}.approve", f"{NONCE}.json", f"{NONCE}.vote\n",
             "1001.approve", f"{KEY}.reject", "x.vote", b"\xff.vote".decode("utf-8", "surrogateescape"))  # fmt: skip


@pytest.mark.parametrize("name", ODD_NAMES, ids=ascii)
def test_a_file_of_another_name_is_not_looked_at(policy: Any, request_: Request, name: str) -> None:
    if not IS_ROOT and name.endswith(".json"):
        pytest.skip("root may leave such a file as another user; here it would be the gate's own")
    left_as(request_, said(), name)
    votes, box = look(policy, request_)
    assert (votes, box.lines, box.again, records(policy), votes_dir(request_)) == ([], [], False, [], [name])


def test_a_file_that_is_still_written_is_left_for_later(policy: Any, request_: Request) -> None:
    writer = os.open(left_as(request_, said()), os.O_WRONLY)
    votes, box = look(policy, request_)
    assert (votes, box.again, votes_dir(request_)) == ([], True, [NAME])
    os.close(writer)
    assert len(look(policy, request_)[0]) == 1


def test_many_files_are_taken_in_several_looks(policy: Any, request_: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(from_page, "READ_MAX", 30)
    for number in range(40):
        left_as(request_, said(person="alice"), f"{number:032x}.vote")
    drop_file(policy, "bob", "1001.approve")
    for votes_so_far, vote_files, again in ((2, 10, True), (3, 0, False)):
        votes, box = look(policy, request_)
        assert (len(votes), box.again) == (votes_so_far, again)
        assert sum(name.endswith(".vote") for name in votes_dir(request_)) == vote_files


def test_of_a_thousand_votes_of_a_person_the_newest_of_each_answer_counts(policy: Any, request_: Request) -> None:
    for number in range(200):
        answer = "reject" if number == 100 else "approve"
        left_as(request_, said(answer=answer, comment=str(number)), f"{number:032x}.vote")
    left_as(request_, said(person="bob"), f"{'f' * 32}.vote")

    votes, box = look(policy, request_)
    assert [(vote["person"], vote["comment"]) for vote in votes if vote["answer"] == "reject"] == [("alice", "100")]
    assert {(vote["person"], vote["comment"]) for vote in votes if vote["answer"] == "approve"} == {
        ("alice", "199"),
        ("bob", ""),
    }
    assert len(records(policy, "vote")) == 3
    (gone,) = records(policy, "drop-turned-away")
    assert gone["why"] == "alice has given the same answer again since; so have 197 more like it"
    assert box.again is False


def test_what_is_no_vote_is_turned_away_a_few_at_a_time(
    policy: Any, request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(from_page, "WRONG_MAX", 3)
    for number in range(5):
        left_as(request_, b"rubbish", f"{number:032x}.vote")
    left_as(request_, said(), f"{'f' * 32}.vote")
    votes, box = look(policy, request_)
    assert (len(votes), box.again, away(policy)) == (1, True, 3)


def test_without_a_page_nothing_of_its_is_taken(tmp_path: Path) -> None:
    policy = made(tmp_path / "state")
    request = open_request(policy)
    left_as(request, said())
    assert look(policy, request)[0] == []
    assert votes_dir(request) == [NAME]


@pytest.mark.parametrize("via", ["drop", "signed", "page"])
def test_no_file_of_the_page_s_is_a_vote_by_itself(policy: Any, request_: Request, via: str) -> None:
    if not IS_ROOT:
        pytest.skip("without another user, files of the page are the gate's own")
    vote = {"v": 1, "key": KEY, "person": "alice", "answer": "approve", "comment": "", "via": via, "uid": 1, "early": False,
            "signed_with": "x", "counted_boottime_ms": 0}  # fmt: skip
    for name in ("alice.1-1.approve.json", "x.json"):
        left_as(request_, vote, name)
    votes, box = look(policy, request_)
    assert (votes, box.lines, records(policy, "vote")) == ([], [], [])


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", ["vote file", "record", "move", "unlink"])
def test_a_vote_cut_short_anywhere_is_finished_once(
    policy: Any, request_: Request, monkeypatch: pytest.MonkeyPatch, step: str, when: str
) -> None:
    left_as(request_, said())
    with monkeypatch.context() as patched:
        cut_short(patched, STEPS[step], when)
        with pytest.raises(Crash):
            look(policy, request_)
    for _ in range(2):
        votes, _ = look(policy, request_)
        assert [(vote["person"], vote["via"]) for vote in votes] == [("alice", "page")]
    assert [record["by"]["vote"] for record in records(policy, "vote")] == votes_dir(request_)
    assert records(policy, "drop-turned-away") == []


def as_the_page(work: Callable[[], bool]) -> bool:
    """Whether `work` is true in a process of the page's user."""

    def child() -> bool:
        os.setgroups([])
        os.setresgid(PAGE_GID, PAGE_GID, PAGE_GID)
        os.setresuid(PAGE_UID, PAGE_UID, PAGE_UID)
        return work()

    return ended(fork(child))


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A state directory that other users can get to."""
    directory = tempfile.mkdtemp(prefix="gate-state-")
    os.chmod(directory, 0o755)
    yield Path(directory) / "state"
    shutil.rmtree(directory)


def refused(*calls: Callable[[], Any]) -> bool:
    """Whether each of them is forbidden."""
    for number, call in enumerate(calls):
        try:
            call()
        except PermissionError:
            continue
        raise AssertionError(f"call {number} was allowed")
    return True


def test_the_page_s_user_can_leave_votes_and_touch_none_that_was_counted(reachable: Path) -> None:
    if not IS_ROOT:
        pytest.skip("another user needs root")
    policy = made(reachable, page=PAGE, approvers_gid=PAGE_GID)
    request = open_request(policy)
    left_as(request, said())
    (vote,), _ = look(policy, request)
    directory = layout.votes(request.directory)
    path, own = os.path.join(directory, vote["file"]), os.path.join(directory, NAME)

    def work() -> bool:
        with open(own, "w", encoding="ascii") as target:
            json.dump(said(person="bob", answer="reject"), target)
        return refused(
            lambda: os.unlink(path),
            lambda: os.rename(path, f"{path}.away"),
            lambda: os.rename(own, path),
            lambda: os.open(path, os.O_WRONLY),
            lambda: os.truncate(path, 0),
            lambda: os.chmod(path, 0o666),
            lambda: os.utime(path),
            lambda: os.rename(directory, f"{directory}.away"),
            lambda: os.mkdir(os.path.join(request.directory, "decision.json")),
        )

    assert as_the_page(work)
    votes, _ = look(policy, request)
    assert [(each["person"], each["answer"]) for each in votes] == [("alice", "approve"), ("bob", "reject")]
    assert stat.S_IMODE(os.stat(directory).st_mode) == 0o1770


def test_a_directory_that_a_gate_without_root_cannot_move_disturbs_nobody(
    reachable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not IS_ROOT:
        pytest.skip("another user needs root")
    monkeypatch.setattr(drop, "SETTLED_S", 0)
    os.chown(reachable.parent, 20_050, PAGE_GID)

    def child() -> bool:
        os.setgroups([])
        os.setegid(PAGE_GID)
        os.seteuid(20_050)
        policy = made(reachable, page=PAGE)
        request = open_request(policy)
        os.seteuid(0)
        planted(request, "a full directory", os.path.join(layout.votes(request.directory), NAME), reachable / "x")
        left_as(request, said(), f"{'f' * 32}.vote")
        os.seteuid(20_050)
        for _ in range(2):
            votes, box = look(policy, request)
            assert [vote["person"] for vote in votes] == ["alice"], votes
            assert any("cannot be moved away" in line for line in box.lines), box.lines
        return len(records(policy, "drop-turned-away")) == 1

    assert ended(fork(child))


@pytest.mark.parametrize("content", [b"", b"{}", text(), b"["])
@pytest.mark.parametrize("via", ["drop", "page"])
def test_a_file_that_stands_in_the_place_of_a_vote_takes_none_away(
    policy: Any, request_: Request, via: str, content: bytes
) -> None:
    """Somebody who broke into the page, and knows under which name a vote is about to be kept."""
    if not IS_ROOT:
        pytest.skip("without another user, files of the page are the gate's own")
    if via == "drop":
        dropped = os.stat(drop_file(policy, "alice", "1001.reject"))
        name = f"alice.{dropped.st_ino}-{dropped.st_ctime_ns}.reject.json"
    else:
        left_as(request_, said(answer="reject"))
        name = f"alice.page-{NONCE}.reject.json"
    left_as(request_, content, name)
    votes, _ = look(policy, request_)
    assert [(vote["person"], vote["answer"], vote["via"], vote["file"]) for vote in votes] == [
        ("alice", "reject", via, name)
    ]
    assert [(record["by"], record["drop"]["name"]) for record in records(policy, "drop-turned-away")] == [
        ({"via": "page"}, name)
    ]
    assert len(records(policy, "vote")) == 1


def test_a_file_that_comes_and_goes_disturbs_nobody(
    policy: Any, request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop_file(policy, "bob", "1001.approve")
    true = os.listdir

    def with_gone(path: Any) -> list[str]:
        gone = ["gone.json", f"{'a' * 32}.vote"] if "votes" in str(path) or isinstance(path, int) else []
        return [*true(path), *gone]

    monkeypatch.setattr(os, "listdir", with_gone)
    assert [vote["person"] for vote in look(policy, request_)[0]] == ["bob"]
