"""How far a request is, for people: by its files, and by the audit log for people who may not read its votes.

Nothing here decides anything. What is shown may be older by a moment than what the waiting process knows.
"""

from __future__ import annotations

from audit import log
from gate.flow.decide import outcome_words
from gate.model import rules
from gate.model.words import shown
from gate.store import layout, liveness
from gate.store.request import is_open
from gate.votes.from_signed import standing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from gate.shapes import Policy, Record, Rule, State, Vote
    from gate.store.request import Request


def waits(request: Request) -> bool:
    """Whether an answer would still reach somebody."""
    return is_open(request) and not liveness.over(request)


def state_of(request: Request) -> State:
    """How far a request is, in one word; docs/reference/json-output.md says what each means."""
    decision = request.file("decision.json")
    if decision is None:
        return "waiting" if waits(request) else "gone"
    if request.has("ended.json"):
        return "ended"
    return "running" if request.has("started") else "decided"


def state_words(request: Request) -> str:
    """How far a request is, in one line."""
    decision = request.file("decision.json")
    ended = request.file("ended.json")
    if decision is None:
        return "waiting" if waits(request) else "its gate is gone; it will be recorded as abandoned"
    words = shown(outcome_words(decision), 1500)
    if decision["decision"] != "approved":
        return words
    if ended:
        return f"{words} ({ended['why']})"
    return f"{words} (running)" if request.has("started") else words


def records_of(request: Request) -> list[Record]:
    """The request's records in the audit log, oldest first.

    Raises:
        AuditError: the log cannot be read.
    """
    position = request.opened["log_position"]
    found = log.records(layout.audit(request.state_dir), (position[0], position[1]))
    return [record for _head, record in found if record.get("request") == request.key]


def vote_of(record: Record) -> Vote:
    """The vote in a `vote` record, as `rules.weigh` takes it."""
    return {
        "person": record["by"]["person"],
        "answer": record["decision"],
        "comment": record["comment"],
        "via": record["by"]["via"],
        "signed_with": record["by"].get("key"),
    }


def votes_in(records: Iterable[Record], policy: Policy) -> list[Vote]:
    """The votes that stand by gate.yaml as it is now, of those in a request's records, oldest first."""
    return standing([vote_of(record) for record in records if record["event"] == "vote"], policy)


def progress(request: Request, rule: Rule, policy: Policy, votes: list[Vote]) -> str:
    """How far the votes go, in words: `1 of 2 from release-managers: alice`."""
    return rules.weigh(rule, policy, request.facts, votes, 0, request.opened["deadline_boottime_ms"]).why


def deadline_ms(request: Request, rule: Rule | None) -> int:
    """The deadline (ms since boot), which a rule that was changed meanwhile can only make earlier."""
    at_ms: int = request.opened["deadline_boottime_ms"]
    return min(at_ms, request.opened["opened_boottime_ms"] + rule["decide_within_s"] * 1000) if rule else at_ms
