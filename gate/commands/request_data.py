"""A request as `--json` has it: the form is that of output.schema.json, which docs/reference/json-output.md shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gate.clock import utc_iso
from gate.flow.status import state_of, state_words
from gate.model.facts import is_rehearsal, triggerer
from gate.model.rules import wanted_words
from gate.store.request import url_of

if TYPE_CHECKING:
    from gate.flow.situation import Situation, You
    from gate.shapes import Decision, Policy, Record
    from gate.store.request import Request


def request_data(how: Situation, policy: Policy) -> dict[str, object]:
    """One request, as `gate list --json` has it."""
    request, opened = how.request, how.request.opened
    return {
        "key": request.key,
        "job": request.facts["job_id"],
        **answered_data(how),
        "decided": _decided(request),
        "summary": state_words(request),
        "waiting": how.waits,
        "archived": False,
        "rehearsal": is_rehearsal(request.facts),
        "rule": opened["rule"],
        "asks": wanted_words(how.rule) if how.rule else None,
        "progress": how.progress or None,
        "you": _you(how.you) if how.you else None,
        "opened": utc_iso(opened["opened_wall_s"]),
        "seconds_left": how.left_s if how.waits else None,
        "digest": opened["digest"],
        "page": url_of(policy, request.key),
        "facts": {name: value for name, value in request.facts.items() if name != "triggered_by"},
    }


def answered_data(how: Situation) -> dict[str, object]:
    """What is of use beside an answer, too."""
    decision = how.request.file("decision.json")
    return {
        "state": state_of(how.request),
        "decision": decision["decision"] if decision else None,
        "votes": None if how.votes is None else _votes(how.votes, how.counting),
        "missing": how.missing,
        "until": utc_iso(how.until_s),
        "triggered_by": triggerer(how.request.facts),
    }


def _votes(votes: list[Record], counting: list[str]) -> list[dict[str, object]]:
    return [vote_data(vote, counts=vote["by"]["person"] in counting) for vote in votes]


def vote_data(record: Record, *, counts: bool | None) -> dict[str, object]:
    """A `vote` record as a vote; `counts` is None where that cannot be known any more."""
    return {
        "person": record["by"]["person"],
        "answer": record["decision"],
        "comment": record["comment"],
        "via": record["by"]["via"],
        "at": record["time"],
        "counts": counts,
    }


def _you(you: You) -> dict[str, object]:
    return {
        "person": you.person,
        "can": you.can,
        "why_not": you.why_not or None,
        "answered": you.answered or None,
    }


def _decided(request: Request) -> dict[str, object] | None:
    decision: Decision | None = request.file("decision.json")
    if decision is None:
        return None
    by = decision["by"]
    return {
        "at": utc_iso(decision["wall_s"]),
        "why": decision["why"],
        "by": by["person"] if by else None,
        "via": by["via"] if by else None,
        "comment": decision["comment"],
    }
