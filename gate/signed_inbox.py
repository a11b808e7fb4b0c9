"""`drop/signed/`, as one waiting request sees it.

Every file there is looked at, whatever its name (but for names that are never read), since its statement tells which
request it is for:

- for this one, and all is well: it becomes a vote, exactly as another drop does;
- for this one, and something is not: its record, and away with it;
- for another one: left alone, that one may be waiting, or still to come;
- no statement at all: its record, which names no request, and away with it.

A statement counts once. Whoever kept a copy of alice's approval could else put it back after her rejection.
"""

from __future__ import annotations

import hashlib
import os
import time

from audit import log
from gate import __version__, drop, layout, signed, turned_away
from gate.clock import boottime_ms
from gate.request import WHY_MAX_RECORD_BYTES, dropped_fields, fit
from gate.rules import may_answer
from gate.sshsig import CannotVerifyError
from gate.words import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from gate.inbox import Inbox
    from gate.signed import Statement

LOOK_MAX = 50  # files that one look does something about; whoever fills the directory holds up no deadline
ONCE_ONLY = "this very statement was counted already; sign one with another expires or comment to answer anew"


def look_into(inbox: Inbox, root: int) -> None:
    """Take in what is in `drop/signed/`, relative to a descriptor on `drop/`.

    Raises:
        StateError, AuditError, OSError: something could not be kept; nothing is lost, the next look goes on from there.
    """
    try:
        directory = drop.open_signed(root)
    except drop.DropDirectoryError as error:
        inbox.lines.append(f"signed drops do not count: {shown(error)}")
        return
    try:
        acts = 0
        for name in filter(drop.is_read, os.listdir(directory)):
            acts += _judge(inbox, directory, name)
            if acts >= LOOK_MAX:
                inbox.again = True
                return
    finally:
        os.close(directory)


def standing(votes: list[dict[str, Any]], policy: dict[str, Any]) -> list[dict[str, Any]]:
    """Those of `votes` that are not signed approvals by a key that gate.yaml does not have for their person any more."""
    return [
        vote
        for vote in votes
        if vote["via"] != "signed" or vote["answer"] == "reject" or signed.still_theirs(vote, policy)
    ]


def _judge(inbox: Inbox, directory: int, name: str) -> bool:
    """Do what is to be done about one file; whether there was anything."""
    reading = drop.read_ascii(directory, name)
    if reading.state == "later":
        inbox.again = True
    if reading.file is None or reading.state in ("later", "gone"):
        return False
    content, why = reading.text.encode("ascii"), reading.why
    try:
        statement = None if why else signed.parse(signed.split(content)[0])
    except signed.StatementError as error:
        statement, why = None, f"is no signed statement: its first line {error}"
    if statement is None:
        _turn_away_unread(inbox, directory, name, reading.file, why)
        return True
    if statement.request != inbox.request.key:
        return False
    try:
        _answer(inbox, directory, name, reading.file, content, statement)
    except signed.NotCountingError as error:
        _turn_away(inbox, directory, name, reading.file, statement, str(error))
    except CannotVerifyError as error:
        inbox.again = True
        inbox.lines.append(f"signed drops stay where they are, they cannot be checked here: {shown(error)}")
    return True


def _answer(
    inbox: Inbox, directory: int, name: str, file: os.stat_result, content: bytes, statement: Statement
) -> None:
    """Count a signed drop.

    Raises:
        NotCountingError: it does not count.
        CannotVerifyError: it cannot be told whether it does.
    """
    request, policy = inbox.request, inbox.policy
    made_with = signed.verify(content, statement, request.key, request.opened["digest"], policy, time.time())
    why = may_answer(statement.person, statement.decision, statement.comment, inbox.rule, policy, request.facts)
    if why:
        raise signed.NotCountingError(why)
    digest = hashlib.sha256(signed.split(content)[0]).hexdigest()
    vote_name = f"{statement.person}.signed-{digest[:32]}.{statement.decision}.json"
    dropped = f"{file.st_ino}-{file.st_ctime_ns}"
    counted = inbox.counted(vote_name)
    if counted is not None and counted["drop"] != dropped:
        raise signed.NotCountingError(ONCE_ONLY)
    vote = {
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
    inbox.keep(directory, name, file, vote_name, vote)


def _turn_away(inbox: Inbox, directory: int, name: str, file: os.stat_result, statement: Statement, why: str) -> None:
    by = {"person": statement.person, "via": "signed"}
    inbox.record_turned_away(f"a signed drop in the name of {statement.person}", directory, name, file, by, why)
    _take(inbox, directory, name, file)


def _turn_away_unread(inbox: Inbox, directory: int, name: str, file: os.stat_result, why: str) -> None:
    since = turned_away.note(inbox.request.state_dir, directory, name, file)
    if since is None:
        return
    fields = {
        "event": "drop-turned-away",
        "by": {"via": "signed"},
        "drop": dropped_fields(name, file),
        "why": fit(why, WHY_MAX_RECORD_BYTES),
    }
    log.append_once(
        layout.audit(inbox.request.state_dir),
        fields,
        same=("event", "drop"),
        since=since,
        version=__version__,
    )
    _take(inbox, directory, name, file)


def _take(inbox: Inbox, directory: int, name: str, file: os.stat_result) -> None:
    """Anybody of approvers_group may leave a thing here that cannot be moved; it hinders nobody's answer."""
    try:
        inbox.take(directory, name, file)
    except OSError as error:
        inbox.lines.append(f"drop/signed/{shown(name)} cannot be moved away: {error.strerror}")
