"""Votes that the page has left in a request's `votes/`, as the one who waits sees them.

The page's user may make files there and nothing more, so what it leaves is treated as a drop: judged, and then a vote
of the gate's own, or turned away. A page that was broken into can vote as anybody on the list, and that is all: it
sets no time, changes no vote that was counted, and takes none back (docs/adr/0010-page-votes.md).

A file counts only if it is the page user's, named `<32 hex digits>.vote`, and says exactly what `parse` reads; its
request and digest must be this request's, and the rule must let its person answer.

One look reads READ_MAX files at the most. Of each person's approvals and of their rejections among them only the newest
counts, since a later one stands for those before it; so a person who votes a thousand times holds up no one else. What
does not count is turned away with a record, WRONG_MAX in one look.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress

from audit.descriptor import held_directory
from gate.clock import boottime_ms
from gate.errors import GateError
from gate.model.rules import may_answer
from gate.store import layout
from gate.votes import drop_file
from gate.votes.statement import FORMS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gate.shapes import KeptVote, PageVote
    from gate.votes.ballot import Ballot
    from gate.votes.drop_file import Reading

READ_MAX = 300  # some 30 ms
WRONG_MAX = 20  # some 100 ms
NAME = re.compile(r"[0-9a-f]{32}\.vote")
_KEYS = frozenset({"v", "request", "digest", "person", "answer", "comment"})


class PageVoteError(GateError):
    """No vote of the page's; the message says what is wrong with it."""


def parse(text: str) -> PageVote:
    """What the page says: `request`, `digest`, `person`, `answer`, `comment`.

    Raises:
        PageVoteError: it says anything else.
    """
    import json

    try:
        value = json.loads(text, object_pairs_hook=_without_doubles)
    except (ValueError, RecursionError) as error:
        raise PageVoteError("is not JSON") from error
    # By type, too: True == 1 == 1.0 in Python.
    if not isinstance(value, dict) or value.keys() != _KEYS or type(value["v"]) is not int or value.pop("v") != 1:
        raise PageVoteError(f"has not exactly the keys {', '.join(sorted(_KEYS))}, or is not of version 1")
    for name, form in (("request", "request"), ("digest", "digest"), ("person", "person"), ("answer", "decision")):
        if not isinstance(value[name], str) or not FORMS[form].fullmatch(value[name]):
            raise PageVoteError(f"has no sound {name!r}")
    comment = value["comment"]
    if not isinstance(comment, str) or any("\ud800" <= character <= "\udfff" for character in comment):
        raise PageVoteError("has no sound 'comment'")
    fault = drop_file.comment_fault(comment)
    if fault:
        raise PageVoteError(f"does not fit: {fault}")
    return {
        "request": value["request"],
        "digest": value["digest"],
        "person": value["person"],
        "answer": value["answer"],
        "comment": comment,
    }


def _without_doubles(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(dict(pairs)) != len(pairs):
        raise PageVoteError("has a key twice")
    return dict(pairs)


def look_into(ballot: Ballot, uid: int) -> None:
    """Take in what the page, which runs as `uid`, has left for this request.

    Raises:
        StateError, AuditError, OSError: something could not be kept; nothing is lost, the next look goes on from there.
    """
    path = layout.votes(ballot.request.directory)
    with held_directory(path, os.O_RDONLY | os.O_NOFOLLOW) as directory:
        left = [name for name in sorted(os.listdir(directory)) if NAME.fullmatch(name)]
        newest, wrong = _sorted_out(ballot, directory, left[:READ_MAX], uid)
        for name, reading, said in newest:
            _take_in(ballot, directory, name, reading, said)
        for name, reading in wrong[:WRONG_MAX]:
            _turn_away(ballot, directory, name, reading, None, reading.why)
    if len(left) > READ_MAX or len(wrong) > WRONG_MAX:
        ballot.later.add("page")


def _sorted_out(
    ballot: Ballot, directory: int, names: list[str], uid: int
) -> tuple[list[tuple[str, Reading, PageVote]], list[tuple[str, Reading]]]:
    """Each person's newest approval and rejection, oldest first, and what is no vote.

    What a newer one stands for is gone.
    """
    votes: list[tuple[str, Reading, PageVote]] = []
    wrong: list[tuple[str, Reading]] = []
    for name, reading in ballot.readings(
        "page", "votes", names, {"via": "page"}, lambda name: _read(directory, name, uid)
    ):
        said, why = _said(reading)
        if said is None:
            wrong.append((name, reading._replace(why=why)))
        else:
            votes.append((name, reading, said))
    votes.sort(key=lambda vote: vote[1].file.st_ctime_ns if vote[1].file else 0)
    newest = {_meaning(said): name for name, _reading, said in votes}
    older = [vote for vote in votes if newest[_meaning(vote[2])] != vote[0]]
    _let_go(ballot, directory, older)
    return [vote for vote in votes if vote not in older], wrong


def _meaning(said: PageVote) -> tuple[str, ...]:
    return said["request"], said["digest"], said["person"], said["answer"]


def _read(directory: int, name: str, uid: int) -> Reading:
    return drop_file.read_ascii(directory, name, uid)


def _let_go(ballot: Ballot, directory: int, older: list[tuple[str, Reading, PageVote]]) -> None:
    """Remove votes that a newer one of the same person says, too, with one record for each person."""
    for person in sorted({said["person"] for _name, _reading, said in older}):
        names = [name for name, _reading, said in older if said["person"] == person]
        first = {"name": names[0]}
        why = (
            f"{person} has given the same answer again since; so have {len(names) - 1} more like it"
            if len(names) > 1
            else (f"{person} has given the same answer again since")
        )
        ballot.request.record(
            "drop-turned-away", "by", "drop", by={"via": "page", "person": person}, drop=first, why=why
        )
        for name in names:
            with suppress(OSError):  # the page itself removes what came too late
                os.unlink(name, dir_fd=directory)


def _take_in(ballot: Ballot, directory: int, name: str, reading: Reading, said: PageVote) -> None:
    why = _why_not(ballot, said)
    if why:
        _turn_away(ballot, directory, name, reading, said, why)
    elif reading.file is not None:
        _count(ballot, directory, name, reading.file, said)


def _turn_away(ballot: Ballot, directory: int, name: str, reading: Reading, said: PageVote | None, why: str) -> None:
    assert reading.file is not None  # noqa: S101
    by = {"via": "page", **({"person": said["person"]} if said else {})}
    of = f" of {said['person']}" if said else ""
    ballot.turn_away(f"a vote{of} on the page", directory, name, reading.file, by, why)


def _said(reading: Reading) -> tuple[PageVote | None, str]:
    """What a file says, or nothing and why."""
    if reading.why:
        return None, reading.why
    try:
        return parse(reading.text), ""
    except PageVoteError as error:
        return None, str(error)


def _why_not(ballot: Ballot, said: PageVote) -> str | None:
    request = ballot.request
    if said["request"] != request.key:
        return f"it is for the request {said['request']}"
    if said["digest"] != request.opened["digest"]:
        return "it is for another content: its digest is not that of this request"
    return may_answer(said["person"], said["answer"], said["comment"], ballot.rule, ballot.policy, request.facts)


def _count(ballot: Ballot, directory: int, name: str, file: os.stat_result, said: PageVote) -> None:
    vote_name = f"{said['person']}.page-{name.removesuffix('.vote')}.{said['answer']}.json"
    if ballot.counted(vote_name) is not None:
        ballot.remove(directory, name, file)  # the same form, sent twice: it was counted already
        return
    vote: KeptVote = {
        "v": 1,
        "key": ballot.request.key,
        "person": said["person"],
        "answer": said["answer"],
        "comment": said["comment"],
        "via": "page",
        "uid": file.st_uid,
        "early": False,
        "counted_boottime_ms": boottime_ms(),
    }
    ballot.keep(directory, name, file, vote_name, vote)
