"""Signed drops from the file to the vote, with keys and signatures of the real ssh-keygen (threats "Signed drops")."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gate.model.rules import weigh
from gate.store import beneath, layout
from gate.votes import drop_file as drop
from gate.votes import signed
from gate.votes.from_signed import ONCE_ONLY
from gate.votes.inbox import Inbox, places
from tests.support.gate_state import (
    IS_ROOT,
    UIDS,
    drop_file,
    facts_of,
    made,
    mode_of,
    open_request,
    records,
    rule_of,
)
from tests.support.signing import Key, new_key, statement_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = "git.example-42-1001"
OTHER_REQUEST = "git.example-42-1002"
DIGEST = "0123456789abcdef" * 4
GID = 20_099 if IS_ROOT else os.getegid()


class Keys:
    """Everybody's keys, made once: alice has one of each kind."""

    def __init__(self, directory: Path) -> None:
        self.alice = new_key(directory, "ed25519", "alice")
        self.alice_ecdsa = new_key(directory, "ecdsa", "alice")
        self.alice_rsa = new_key(directory, "rsa", "alice")
        self.bob = new_key(directory, "ed25519", "bob")
        self.nobody = new_key(directory, "ed25519", "nobody")


class Case:
    """A gate with one waiting request, and its drop/signed/."""

    def __init__(self, state: Path, keys: Keys) -> None:
        self.keys = keys
        self.policy = made(state, approvers_gid=GID, approvers_group="approvers")
        alices = [key.public for key in (keys.alice, keys.alice_ecdsa, keys.alice_rsa)]
        for person, public in {"alice": alices, "bob": [keys.bob.public], "carol": [keys.nobody.public]}.items():
            self.policy["people"][person] |= {"ssh_keys": public}
        self.policy["people"]["alice"]["uid"] = None  # she is elsewhere, without a user here
        self.request = open_request(self.policy, KEY, digest=DIGEST)
        self.directory = layout.signed_drops(self.policy["state_dir"])

    def put(self, content: bytes, name: str = "") -> str:
        """A file there: under the name that its statement asks for, or that of an approval of alice's."""
        try:
            name = name or signed.name_of(signed.parse(signed.split(content)[0]))
        except signed.StatementError:
            name = f"{KEY}.alice.approve"
        path = os.path.join(self.directory, name)
        with open(path, "wb") as target:
            target.write(content)
        return path

    def good(self, key: Key | None = None, **changes: Any) -> bytes:
        return (key or self.keys.alice).drop(statement_for(self.request, **changes))

    def look(self, **rule: Any) -> tuple[list[Any], Inbox]:
        box = Inbox(self.request, self.policy, rule_of(**rule))
        return box.collect(), box

    def left(self) -> list[str]:
        return sorted(os.listdir(self.directory))

    def away(self) -> int:
        names = os.listdir(layout.turned_away(self.policy["state_dir"]))
        return sum(not name.endswith(".note") for name in names)

    def judged(self, content: bytes) -> str | None:
        """The fingerprint where that content counts, as one look judges it; None where it does not."""
        try:
            statement = signed.parse(signed.split(content)[0])
            return signed.verify(content, statement, KEY, DIGEST, self.policy, time.time())
        except (signed.StatementError, signed.NotCountingError):
            return None


@pytest.fixture(autouse=True)
def _no_sigio() -> Iterator[None]:
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)  # as prepare does
    yield
    signal.signal(signal.SIGIO, before)


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def case(tmp_path: Path, keys: Keys) -> Case:
    return Case(tmp_path / "state", keys)


def test_the_directory_is_the_gate_s_and_shared(case: Case) -> None:
    assert (mode_of(case.directory), os.stat(case.directory).st_gid) == (0o1770, GID)


def test_without_approvers_group_there_is_none(tmp_path: Path) -> None:
    policy = made(tmp_path / "state")
    assert "signed" not in os.listdir(layout.drops(policy["state_dir"]))


@pytest.mark.parametrize("answer", ["approve", "reject"])
@pytest.mark.parametrize("kind", ["alice", "alice_ecdsa", "alice_rsa"])
def test_a_good_one_becomes_one_vote_and_one_record(case: Case, kind: str, answer: str) -> None:
    key: Key = getattr(case.keys, kind)
    content = case.good(key, decision=answer, comment='it\'s "fine"\nü')
    case.put(content)

    for _ in range(2):
        votes, box = case.look()
        (vote,), (record,) = votes, records(case.policy, "vote")
        assert (vote["person"], vote["answer"], vote["via"]) == ("alice", answer, "signed")
        assert (vote["comment"], vote["early"]) == ('it\'s "fine"\nü', False)
        assert (vote["signed_with"], vote["signed"].encode()) == (key.fingerprint, content)
        assert record["by"] == {
            "person": "alice",
            "via": "signed",
            "uid": os.geteuid(),
            "vote": vote["file"],
            "key": key.fingerprint,
        }
        assert record["decision"] == answer
        assert any(key.fingerprint in line for line in box.lines)
        assert (case.left(), case.away(), box.again) == ([], 0, False)
    expected = {"approve": "approved", "reject": "rejected"}[answer]
    assert weigh(rule_of(), case.policy, case.request.facts, votes, 0, 1).state == expected


def test_whoever_brings_it_counts_for_nothing(case: Case) -> None:
    if not IS_ROOT:
        pytest.skip("a file of another user needs root")
    os.chown(case.put(case.good()), UIDS["bob"], UIDS["bob"])

    (vote,), _ = case.look()
    assert (vote["person"], vote["uid"]) == ("alice", UIDS["bob"])


def carried(case: Case, content: bytes, by: str = "bob") -> Path:
    """What that person brings in their own drop directory."""
    name = signed.name_of(signed.parse(signed.split(content)[0]))
    return Path(drop_file(case.policy, by, name, content))


def test_it_may_lie_in_the_directory_of_whoever_brings_it(case: Case) -> None:
    path = carried(case, case.good())
    case.put(b"squatted")  # the name in drop/signed/, which anybody of the group can take again and again
    (vote,), box = case.look()
    assert (vote["person"], vote["answer"], vote["via"]) == ("alice", "approve", "signed")
    assert not path.exists()
    assert "a signed drop in the name of alice was turned away" in "\n".join(box.lines)


def test_what_is_brought_that_way_has_to_prove_itself_too(case: Case) -> None:
    path = carried(case, case.good(case.keys.nobody))
    votes, box = case.look()
    assert (votes, path.exists(), case.away()) == ([], False, 1)
    assert "which is no key of alice" in "\n".join(box.lines)


def test_only_people_of_the_rule_bring_one_that_way(case: Case) -> None:
    path = carried(case, case.good(), by="carol")
    assert (case.look()[0], path.exists()) == ([], True)


def test_one_statement_by_both_places_counts_once(case: Case) -> None:
    carried(case, case.good())
    case.put(case.good())
    votes, _box = case.look()
    assert [vote["person"] for vote in votes] == ["alice"]
    assert [record["why"] for record in records(case.policy, "drop-turned-away")] == [ONCE_ONLY]


def test_whoever_waits_looks_when_something_is_brought(case: Case) -> None:
    found = places(case.request, case.policy, rule_of())
    assert "bob" in found["bob"]
    for person in case.policy["people"].values():
        person["ssh_keys"] = []
    assert "bob" not in places(case.request, case.policy, rule_of())["bob"]


def test_one_person_by_two_ways_has_voted_once(case: Case) -> None:
    case.policy["people"]["alice"]["uid"] = UIDS["alice"]
    drop_file(case.policy, "alice", "1001.approve")
    case.put(case.good())

    votes, _ = case.look()
    assert sorted(vote["via"] for vote in votes) == ["drop", "signed"]
    two = rule_of(approvals=[{"count": 2, "of": ["alice", "bob"], "people": ["alice", "bob"]}])
    assert weigh(two, case.policy, case.request.facts, votes, 0, 1).state == "open"


def _with_statement(case: Case, **changes: Any) -> bytes:
    """The signature of a good statement, under another one."""
    return statement_for(case.request, **changes) + b"\n" + signed.split(case.good())[1]


NOT_COUNTING: dict[str, tuple[Callable[[Case], bytes], str]] = {
    "wrong namespace": (
        lambda c: c.keys.alice.drop(statement_for(c.request), "gate-approval@other.example"),
        "another namespace",
    ),
    "a signature as git makes it": (lambda c: c.keys.alice.drop(statement_for(c.request), "git"), "another namespace"),
    "a key that nobody has": (lambda c: c.good(new_key(c.keys.alice.file.parent, name="more")), "no key of alice"),
    "another person's key": (lambda c: c.good(c.keys.bob), "no key of alice"),
    "another person claimed": (lambda c: c.good(person="bob"), "no key of bob"),
    "another digest": (lambda c: c.good(digest="f" * 64), "its digest is not that of this request"),
    "another digest than was signed": (
        lambda c: statement_for(c.request) + b"\n" + signed.split(c.good(digest="f" * 64))[1],
        "not of this statement",
    ),
    "another request than was signed": (
        lambda c: statement_for(c.request) + b"\n" + signed.split(c.good(request=OTHER_REQUEST))[1],
        "not of this statement",
    ),
    "another decision than was signed": (
        lambda c: _with_statement(c, decision="reject", expires_s=int(time.time()) + 3600),
        "not of this statement",
    ),
    "another comment than was signed": (lambda c: _with_statement(c, comment="and more"), "not of this statement"),
    "another expiry than was signed": (lambda c: _with_statement(c, expires_s=4_000_000_000), "not of this statement"),
    "expired": (lambda c: c.good(expires_s=int(time.time())), "it expired at"),
    "a line end more": (lambda c: c.good() + b"\n", "nothing after it"),
    "a word more": (lambda c: c.good() + b"approve everything\n", "nothing after it"),
    "no final line end": (lambda c: c.good()[:-1], "nothing after it"),
    "two signatures": (lambda c: c.good() + c.keys.bob.armour(statement_for(c.request)), "is not base64"),
    "the signature alone ends in CRLF": (
        lambda c: statement_for(c.request) + b"\n" + signed.split(c.good())[1].replace(b"\n", b"\r\n"),
        "nothing after it",
    ),
    "an empty line between": (lambda c: c.good().replace(b"\n", b"\n\n", 1), "nothing after it"),
    "no signature": (lambda c: statement_for(c.request) + b"\n", "nothing after it"),
    "the statement with its line end was signed": (
        lambda c: statement_for(c.request) + b"\n" + c.keys.alice.armour(statement_for(c.request) + b"\n"),
        "not of this statement",
    ),
}


@pytest.mark.parametrize("what", NOT_COUNTING)
def test_one_that_does_not_count_is_turned_away_with_its_record(case: Case, what: str) -> None:
    make, why = NOT_COUNTING[what]
    name = os.path.basename(case.put(make(case)))

    votes, box = case.look()
    (record,) = records(case.policy, "drop-turned-away")
    assert votes == []
    assert why in record["why"]
    assert (record["request"], record["by"]["via"], record["drop"]["name"]) == (KEY, "signed", name)
    assert record["by"]["person"] in ("alice", "bob")
    assert why in box.lines[0]
    assert (case.left(), case.away(), records(case.policy, "vote")) == ([], 1, [])


NO_STATEMENT: dict[str, Callable[[Case], bytes]] = {
    "nothing": lambda _: b"",
    "words": lambda _: b"approve\n",
    "CRLF": lambda c: c.good().replace(b"\n", b"\r\n"),
    "the signature first": lambda c: b"".join(reversed(signed.split(c.good()))),
    "not ASCII": lambda c: c.good() + b"\xff",
    "larger than 16 KiB": lambda c: c.good() + b"x" * 16_384,
    "a person who is a pattern": lambda c: c.good().replace(b'"alice"', b'"*"'),
    "a person with an option": lambda c: c.good().replace(b'"alice"', b'"alice cert-authority"'),
    "a request that is a path": lambda c: c.good().replace(b'"git.', b'"../git.'),
    "a NUL first": lambda c: b"\0" + c.good(),
}


@pytest.mark.parametrize("what", NO_STATEMENT)
def test_what_is_no_statement_is_turned_away(case: Case, what: str) -> None:
    case.put(NO_STATEMENT[what](case))

    votes, box = case.look()
    (record,) = records(case.policy, "drop-turned-away")
    assert (votes, record["by"], record["request"]) == ([], {"person": "alice", "via": "signed"}, KEY)
    assert (case.left(), case.away()) == ([], 1)
    assert box.lines[0].startswith("a signed drop in the name of alice was turned away: ")


MISNAMED = {
    "another person": f"{KEY}.bob.approve",
    "another answer": f"{KEY}.alice.reject",
}


@pytest.mark.parametrize("what", MISNAMED)
def test_one_whose_name_is_another_s_is_turned_away_with_its_own(case: Case, what: str) -> None:
    case.put(case.good(), MISNAMED[what])

    assert case.look()[0] == []
    (record,) = records(case.policy, "drop-turned-away")
    assert record["why"] == f"its name is not that of its statement: name it {KEY}.alice.approve"


def test_one_for_another_request_under_this_ones_name_is_turned_away(case: Case) -> None:
    case.put(case.good(request=OTHER_REQUEST), f"{KEY}.alice.approve")

    assert case.look()[0] == []
    assert f"name it {OTHER_REQUEST}.alice.approve" in records(case.policy, "drop-turned-away")[0]["why"]


def test_one_of_somebody_whose_answer_cannot_count_is_not_looked_at(case: Case) -> None:
    for person in ("carol", "mallory"):
        case.put(case.good(case.keys.nobody, person=person))

    votes, box = case.look()
    assert (votes, box.lines, box.again, records(case.policy)) == ([], [], False, [])
    assert case.left() == [f"{KEY}.carol.approve", f"{KEY}.mallory.approve"]


def test_one_for_another_request_is_left_alone(case: Case) -> None:
    case.put(case.good(request=OTHER_REQUEST))
    case.put(case.good(request="git.example-42-9999"))
    other = open_request(case.policy, OTHER_REQUEST, digest=DIGEST)

    votes, box = case.look()
    assert (votes, box.lines, box.again, len(case.left())) == ([], [], False, 2)
    assert [vote["key"] for vote in Inbox(other, case.policy, rule_of()).collect()] == [OTHER_REQUEST]
    assert case.left() == ["git.example-42-9999.alice.approve"]


def test_whatever_else_lies_there_is_not_even_listed(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    case.put(case.good())
    for number in range(100):
        case.put(case.good(), f"any name {number}")
    opened = []
    true = beneath.open_beneath

    def listed(*words: Any) -> int:
        opened.append(words[1])
        return true(*words)

    monkeypatch.setattr(drop, "open_beneath", listed)
    monkeypatch.setattr(os, "scandir", None)
    assert len(case.look()[0]) == 1
    assert [name for name in opened if name.startswith("any name")] == []


def test_a_key_that_is_taken_out_of_gate_yaml_counts_no_more(case: Case) -> None:
    case.put(case.good())
    assert len(case.look()[0]) == 1
    case.policy["people"]["alice"]["ssh_keys"] = [case.keys.alice_rsa.public]
    case.put(case.good(comment="again"))

    votes, box = case.look()
    assert votes == []
    assert any("alice's signed approval does not count any more" in line for line in box.lines)
    assert "no key of alice" in records(case.policy, "drop-turned-away")[0]["why"]


def test_a_rule_that_wants_a_comment_wants_it_signed(case: Case) -> None:
    case.put(case.good())
    wants = {"comment": {"approve": "required", "reject": "optional"}}

    assert case.look(**wants)[0] == []
    case.put(case.good(comment="because"))
    assert [vote["comment"] for vote in case.look(**wants)[0]] == ["because"]


def test_who_triggered_it_cannot_sign_for_it(tmp_path: Path, keys: Keys) -> None:
    case = Case(tmp_path / "state", keys)
    case.request.facts["triggered_by"] = facts_of()["triggered_by"] | {"names": ["alice-gl"]}
    case.put(case.good())

    assert case.look()[0] == []
    assert "alice triggered this job" in records(case.policy, "drop-turned-away")[0]["why"]


def test_a_copy_of_an_old_answer_is_no_new_one(case: Case) -> None:
    approval = case.good()
    for content in (approval, case.good(decision="reject")):
        case.put(content)
        case.look(rejections=2)
    case.put(approval)  # put back by somebody

    votes, box = case.look(rejections=2)
    assert [vote["answer"] for vote in votes] == ["approve", "reject"]
    assert "counted already" in records(case.policy, "drop-turned-away")[0]["why"]
    assert any("counted already" in line for line in box.lines)
    case.put(case.good(comment="changed my mind"))
    assert [vote["answer"] for vote in case.look(rejections=2)[0]] == ["approve", "reject", "approve"]


@pytest.mark.parametrize("what", ["symlink", "directory", "FIFO"])
def test_what_is_no_plain_file_is_turned_away(case: Case, tmp_path: Path, what: str) -> None:
    path, elsewhere = os.path.join(case.directory, f"{KEY}.bob.approve"), tmp_path / "elsewhere"
    elsewhere.write_bytes(case.good())
    {
        "symlink": lambda: os.symlink(elsewhere, path),
        "directory": lambda: os.mkdir(path),
        "FIFO": lambda: os.mkfifo(path),
    }[what]()

    assert case.look()[0] == []
    assert records(case.policy, "drop-turned-away")[0]["why"] == "not a regular file"
    assert (case.left(), case.away()) == ([], 1)


def test_one_with_a_second_name_is_left_for_later(case: Case, tmp_path: Path) -> None:
    os.link(case.put(case.good()), tmp_path / "second")
    votes, box = case.look()
    assert (votes, box.again, case.left()) == ([], True, [f"{KEY}.alice.approve"])
    (tmp_path / "second").unlink()
    assert len(case.look()[0]) == 1


def test_what_cannot_be_moved_away_hinders_nobody(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as another user's directory, for a gate that is not root."""
    bobs = f"{KEY}.bob.approve"
    os.mkdir(os.path.join(case.directory, bobs))
    case.put(case.good())
    true = drop.take

    def take(directory: int, name: str, *words: Any) -> bool:
        if name == bobs:
            raise PermissionError(13, "Permission denied")
        return true(directory, name, *words)

    monkeypatch.setattr(drop, "take", take)
    for _ in range(2):
        votes, box = case.look()
        assert len(votes) == 1
        assert f"{bobs} of uid {os.geteuid()} cannot be moved away: Permission denied" in box.lines
    assert len(records(case.policy, "drop-turned-away")) == 1


def test_a_half_written_one_is_left_for_later(case: Case) -> None:
    content = case.good()
    writer = os.open(case.put(content[:100]), os.O_WRONLY | os.O_APPEND)
    votes, box = case.look()
    assert (votes, box.again, records(case.policy)) == ([], True, [])

    os.write(writer, content[100:])
    os.close(writer)
    assert len(case.look()[0]) == 1


def test_names_of_careful_writers_are_never_read(case: Case) -> None:
    for name in (".x", "x.tmp"):
        case.put(b"half", name)
    assert case.look()[1].lines == []
    assert case.left() == [".x", "x.tmp"]


def test_one_that_is_held_open_for_writing_for_too_long_gives_its_name_back(case: Case) -> None:
    """Anybody of the group can hold the name of anybody's answer."""
    writer = os.open(case.put(b""), os.O_WRONLY)
    assert case.look()[1].ballot.later == {"signed/alice"}
    box = Inbox(case.request, case.policy, rule_of())
    box.ballot.overdue.add("signed/alice")

    assert (box.collect(), case.left(), box.again) == ([], [], False)
    assert "is open for writing for too long" in records(case.policy, "drop-turned-away")[0]["why"]
    case.put(case.good())
    assert len(case.look()[0]) == 1
    os.close(writer)
