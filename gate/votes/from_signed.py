"""Signed drops, as one waiting request sees them: in `drop/signed/`, and in the directory of the person who brings one.

Anybody of approvers_group can fill `drop/signed/`, so it is never listed: looked for are the few names that answer this
request, `<key>.<person>.approve` and `.reject`, of each person who has a key and whose answer can count. Anybody of the
group can also sit on such a name. So a person of the rule may bring one in their own `drop/<person>/`, under the same
name, where no one else can write (docs/adr/0035-carried-drops.md).

- What has such a name and is well becomes a vote, exactly as another drop does.
- What has such a name and is not well gets its record, and away it goes; so does what somebody keeps open for writing
  (the one who waits knows for how long): its name is needed for the true one.
- The rest is the sweep's (gate/upkeep/sweep.py).

A statement counts once. Otherwise a kept copy of alice's approval could be put back after her rejection.
"""

from __future__ import annotations

import time

from audit.descriptor import Held
from gate.clock import boottime_ms
from gate.hashes import sha256
from gate.model.rules import concerned, may_answer
from gate.model.words import shown
from gate.votes import drop_file, signed
from gate.votes.sshsig import CannotVerifyError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from gate.shapes import AnyVote, Facts, KeptVote, Policy, Rule
    from gate.votes.ballot import Ballot
    from gate.votes.drop_file import Reading
    from gate.votes.signed import Statement

ONCE_ONLY = "this very statement was counted already; sign one with another expires or comment to answer again"


def signers(rule: Rule, policy: Policy, facts: Facts) -> list[str]:
    """Whose signed drops are looked for; no one's where there is no `drop/signed/`."""
    people = concerned(rule, policy, facts) if policy["approvers_gid"] is not None else []
    return [person for person in people if policy["people"][person]["ssh_keys"]]


def look_into(ballot: Ballot, root: int, people: list[str]) -> None:
    """Take in what is in `drop/signed/` for this request by these people, relative to a descriptor on `drop/`.

    Raises:
        StateError, AuditError, OSError: something could not be kept; nothing is lost, the next look goes on from there.
    """
    try:
        directory = drop_file.open_signed(root)
    except drop_file.DropDirectoryError as error:
        ballot.lines.append(f"signed drops do not count: {shown(error)}")
        return
    with Held(directory):
        for person in people:
            source = f"signed/{person}"
            for name, reading in _readings(ballot, directory, person, source):
                _judge(ballot, directory, name, reading, source)


def look_into_own(ballot: Ballot, directory: int, carrier: str, uid: int) -> None:
    """Take in what that person has brought for others, in their own drop directory.

    Raises:
        StateError, AuditError, OSError: as look_into.
    """
    for person in signers(ballot.rule, ballot.policy, ballot.request.facts):
        names = signed.names_of(ballot.request.key, person)
        by = {"person": carrier, "via": "drop"}
        found = ballot.readings(
            carrier, f"drop/{carrier}", names, by, lambda name: drop_file.read_ascii(directory, name, uid)
        )
        for name, reading in found:
            _judge(ballot, directory, name, reading, carrier)


def standing(votes: list[AnyVote], policy: Policy) -> list[AnyVote]:
    """`votes` without signed approvals by a key that gate.yaml does not have for their person any more."""
    return [
        vote
        for vote in votes
        if vote["via"] != "signed" or vote["answer"] == "reject" or signed.still_theirs(vote, policy)
    ]


def _readings(ballot: Ballot, directory: int, person: str, source: str) -> Iterator[tuple[str, Reading]]:
    by = {"person": person, "via": "signed"}

    def read(name: str) -> Reading:
        reading = drop_file.read_ascii(directory, name)
        if reading.state != "later" or source not in ballot.overdue:
            return reading
        return reading._replace(
            state="bad", why=f"{reading.why} for too long, and no one else can use its name meanwhile"
        )

    return ballot.readings(source, "drop/signed", signed.names_of(ballot.request.key, person), by, read)


def _judge(ballot: Ballot, directory: int, name: str, reading: Reading, source: str) -> None:
    assert reading.file is not None  # noqa: S101
    try:
        _answer(ballot, directory, name, reading.file, *_statement(reading, name))
    except signed.NotCountingError as error:
        person = name.split(".")[-2]
        by = {"person": person, "via": "signed"}
        ballot.turn_away(f"a signed drop in the name of {person}", directory, name, reading.file, by, str(error))
    except CannotVerifyError as error:
        ballot.later.add(source)
        ballot.lines.append(f"signed drops stay where they are, they cannot be checked here: {shown(error)}")


def _statement(reading: Reading, name: str) -> tuple[bytes, Statement]:
    """The content and the statement of a signed drop of that name.

    Raises:
        NotCountingError: there is none, or it is another than the name says.
    """
    if reading.why:
        raise signed.NotCountingError(reading.why)
    content = reading.text.encode("ascii")
    try:
        statement = signed.parse(signed.split(content)[0])
    except signed.StatementError as error:
        raise signed.NotCountingError(f"is no signed statement: its first line {error}") from error
    right = signed.name_of(statement)
    if name != right:
        raise signed.NotCountingError(f"its name is not that of its statement: name it {right}")
    return content, statement


def _answer(
    ballot: Ballot, directory: int, name: str, file: os.stat_result, content: bytes, statement: Statement
) -> None:
    """Count a signed drop.

    Raises:
        NotCountingError: it does not count.
        CannotVerifyError: that cannot be found out.
    """
    request, policy = ballot.request, ballot.policy
    made_with = signed.verify(content, statement, request.key, request.opened["digest"], policy, time.time())
    why = may_answer(statement.person, statement.decision, statement.comment, ballot.rule, policy, request.facts)
    if why:
        raise signed.NotCountingError(why)
    digest = sha256(signed.split(content)[0]).hexdigest()
    vote_name = f"{statement.person}.signed-{digest[:32]}.{statement.decision}.json"
    dropped = f"{file.st_ino}-{file.st_ctime_ns}"
    counted = ballot.counted(vote_name)
    if counted is not None and counted["drop"] != dropped:
        raise signed.NotCountingError(ONCE_ONLY)
    vote: KeptVote = {
        "v": 1,
        "key": request.key,
        "person": statement.person,
        "answer": statement.decision,
        "comment": statement.comment,
        "via": "signed",
        "uid": file.st_uid,
        "early": False,
        "signed_with": made_with,
        "signed": content.decode("ascii"),
        "drop": dropped,
        "counted_boottime_ms": boottime_ms(),
    }
    ballot.keep(directory, name, file, vote_name, vote)
