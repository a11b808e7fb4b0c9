"""The statement that a person signs for an answer: one line of canonical ASCII JSON. Pure.

    {"comment":"","decision":"approve","digest":"…","expires":"2026-11-24T14:05:00Z","person":"alice","request":"…","v":1}

Canonical: exactly these keys, sorted, no spaces, all but printable ASCII escaped, as Python's
`json.dumps(…, sort_keys=True, separators=(",", ":"))` writes it. What differs from its own contents written again is no
statement, so the same answer is always the same bytes.
"""

from __future__ import annotations

import re
import time

from gate.clock import ISO_FORM, utc_iso
from gate.errors import GateError
from gate.named_tuple import NamedTuple
from gate.votes.drop_file import ANSWERS, comment_fault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from gate.shapes import Answer

VERSION = 1
_KEYS = frozenset({"v", "request", "digest", "decision", "person", "expires", "comment"})
FORMS = {
    "request": re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,299}-[0-9]+"),  # it becomes a name on disk
    "digest": re.compile(r"[0-9a-f]{64}"),
    "decision": re.compile("|".join(ANSWERS)),
    "person": re.compile(r"[a-z_][a-z0-9_-]{0,31}"),  # as in gate.yaml; it becomes a principal, which may be a pattern
    "expires": re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"),
    "comment": re.compile(r".*", re.DOTALL),
}


class Statement(NamedTuple):
    """A person's answer to one request, as signed; `expires_s` is seconds since the epoch."""

    request: str
    digest: str
    decision: Answer
    person: str
    expires_s: int
    comment: str


class StatementError(GateError):
    """Not a statement; the message says what is wrong with it."""


def make(statement: Statement) -> bytes:
    """The bytes to sign, without a line end.

    Raises:
        StatementError: it holds what no statement may.
    """
    content = _canonical(
        {
            "v": VERSION,
            "request": statement.request,
            "digest": statement.digest,
            "decision": statement.decision,
            "person": statement.person,
            "expires": utc_iso(statement.expires_s),
            "comment": statement.comment,
        }
    )
    parse(content)
    return content


def parse(content: bytes) -> Statement:
    """Read the bytes of a statement.

    Raises:
        StatementError: they are not exactly what `make` makes.
    """
    import json

    try:
        value = json.loads(content.decode("ascii"), object_pairs_hook=_without_doubles)
    except UnicodeDecodeError as error:
        raise StatementError("is not ASCII") from error
    except (ValueError, RecursionError) as error:
        raise StatementError("is not JSON") from error
    if not isinstance(value, dict) or value.keys() != _KEYS:
        raise StatementError(f"has not exactly the keys {', '.join(sorted(_KEYS))}")
    _check_values(value)
    if _canonical(value) != content:
        raise StatementError("is not canonical JSON: keys sorted, no spaces, ASCII")
    return Statement(
        request=value["request"],
        digest=value["digest"],
        decision=value["decision"],
        person=value["person"],
        expires_s=_moment(value["expires"]),
        comment=value["comment"],
    )


def _canonical(value: dict[str, object]) -> bytes:
    import json

    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")


def _without_doubles(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(dict(pairs)) != len(pairs):
        raise StatementError("has a key twice")
    return dict(pairs)


def _check_values(value: dict[str, Any]) -> None:
    # By type, too: True == 1 == 1.0 in Python.
    if type(value["v"]) is not int or value["v"] != VERSION:
        raise StatementError(f"is not of version {VERSION}")
    for name, form in FORMS.items():
        if not isinstance(value[name], str) or not form.fullmatch(value[name]):
            raise StatementError(f"has no sound {name!r}")
    comment = value["comment"]
    fault = comment_fault(comment)
    if fault:
        raise StatementError(f"does not fit: {fault}")
    if comment != comment.strip():
        raise StatementError("has a comment that begins or ends with a blank")
    if any("\ud800" <= character <= "\udfff" for character in comment):
        raise StatementError("has a comment with half a surrogate pair")


def _moment(text: str) -> int:
    import calendar

    try:
        moment = calendar.timegm(time.strptime(text, ISO_FORM))
    except ValueError as error:
        raise StatementError("has no sound 'expires'") from error
    # A 61st second is none on the clock that it is compared with.
    if utc_iso(moment) != text:
        raise StatementError("has no sound 'expires'")
    return moment
