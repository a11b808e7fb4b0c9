"""Votes that the page has left in a request's `votes/`, as the one who waits sees them.

The page's user may make files there and nothing more, so what it leaves is treated as a drop: judged, and then a vote
of the gate's own, or turned away. A page that was broken into can vote as anybody on the list, and that is all: it
sets no time, changes no vote that was counted, and takes none back (docs/adr/0010-page-votes.md).

A file counts only if it is the page user's, named `<32 hex digits>.vote`, and says exactly what `parse` reads; its
request and digest must be this request's, and the rule must let its person answer.
"""

from __future__ import annotations

import os
import re

from gate import drop, layout
from gate.clock import boottime_ms
from gate.rules import may_answer
from gate.statement import FORMS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from gate.inbox import Inbox

LOOK_MAX = 50  # files that one look does something about; a page that floods holds up no deadline
NAME = re.compile(r"[0-9a-f]{32}\.vote")
_KEYS = frozenset({"v", "request", "digest", "person", "answer", "comment"})


class PageVoteError(Exception):
    """No vote of the page's; the message says what is wrong with it."""


def parse(text: str) -> dict[str, str]:
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
    fault = drop.comment_fault(comment)
    if fault:
        raise PageVoteError(f"does not fit: {fault}")
    return value


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise PageVoteError("has a key twice")
    return dict(pairs)


def look_into(inbox: Inbox, uid: int) -> None:
    """Take in what the page, which runs as `uid`, has left for this request.

    Raises:
        StateError, AuditError, OSError: something could not be kept; nothing is lost, the next look goes on from there.
    """
    path = layout.votes(inbox.request.directory)
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        left = [name for name in sorted(os.listdir(directory)) if NAME.fullmatch(name)]
        for name in left[:LOOK_MAX]:
            _judge(inbox, directory, name, uid)
    finally:
        os.close(directory)
    inbox.again = inbox.again or len(left) > LOOK_MAX


def _judge(inbox: Inbox, directory: int, name: str, uid: int) -> None:
    reading = drop.read_ascii(directory, name, uid)
    if reading.state == "later":
        inbox.again = True
    if reading.file is None or reading.state in ("later", "gone"):
        return
    said, why = _said(reading)
    why = why or _why_not(inbox, said)
    if not why:
        _count(inbox, directory, name, reading.file, said)
        return
    by = {"via": "page", **({"person": said["person"]} if said else {})}
    of = f" of {said['person']}" if said else ""
    inbox.record_turned_away(f"a vote{of} on the page", directory, name, reading.file, by, why)
    try:
        inbox.take(directory, name, reading.file)
    except OSError as error:  # a directory of another user's, where the gate is not root: it hinders nobody's answer
        inbox.lines.append(f"votes/{name} cannot be moved away: {error.strerror}")


def _said(reading: drop.Reading) -> tuple[dict[str, str], str | None]:
    """What a file says, or nothing and why."""
    if reading.why:
        return {}, reading.why
    try:
        return parse(reading.text), None
    except PageVoteError as error:
        return {}, str(error)


def _why_not(inbox: Inbox, said: dict[str, str]) -> str | None:
    request = inbox.request
    if said["request"] != request.key:
        return f"it is for the request {said['request']}"
    if said["digest"] != request.opened["digest"]:
        return "it is for another content: its digest is not that of this request"
    return may_answer(said["person"], said["answer"], said["comment"], inbox.rule, inbox.policy, request.facts)


def _count(inbox: Inbox, directory: int, name: str, file: os.stat_result, said: dict[str, str]) -> None:
    vote_name = f"{said['person']}.page-{name.removesuffix('.vote')}.{said['answer']}.json"
    if inbox.counted(vote_name) is not None:
        inbox.remove(directory, name, file)  # the same form, sent twice: it was counted already
        return
    vote: dict[str, Any] = {
        "v": 1,
        "key": inbox.request.key,
        "person": said["person"],
        "answer": said["answer"],
        "comment": said["comment"],
        "via": "page",
        "uid": file.st_uid,
        "early": False,
        "counted_boottime_ms": boottime_ms(),
    }
    inbox.keep(directory, name, file, vote_name, vote)
