"""How one request stands, and what one person can do about it: for `gate list`, `gate show`, and who answers.

By gate.yaml as it is now, and by the audit log, where it may be read: nothing here decides anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from audit import log
from gate.clock import boottime_ms
from gate.flow.status import deadline_ms, progress, votes_in, waits
from gate.model import matching, rules
from gate.model.missing import missing
from gate.store import layout

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gate.shapes import Missing, Policy, Record, Rule, Vote
    from gate.store.request import Request


UNKNOWN = "votes unknown: the audit log cannot be read"


@dataclass(frozen=True)
class You:
    """What the person who asks can do about a request that waits; `why_not` says why they cannot approve it."""

    person: str
    can: list[str]
    why_not: str
    answered: str

    @property
    def is_wanted(self) -> bool:
        """Whether their approval would count, and is not given."""
        return "approve" in self.can and self.answered != "approve"


@dataclass(frozen=True)
class Situation:
    """One request. `rule`, `missing` and `you` are of one that waits; `rule` is None where gate.yaml has none for it.

    `votes` are the `vote` records of each person's latest answer, oldest first, None where the log cannot be read;
    `counting` of these, whose answer counts now.
    """

    request: Request
    waits: bool
    rule: Rule | None
    votes: list[Record] | None
    counting: list[str]
    progress: str
    missing: Missing | None
    you: You | None

    @property
    def until_s(self) -> float:
        """When it expires, as a wall time: by that of its opening, so that it is the same whenever somebody asks."""
        opened = self.request.opened
        within_ms = deadline_ms(self.request, self.rule) - opened["opened_boottime_ms"]
        return opened["opened_wall_s"] + within_ms / 1000

    @property
    def left_s(self) -> int:
        """The seconds until then, at least 0."""
        return int(max(deadline_ms(self.request, self.rule) - boottime_ms(), 0) // 1000)

    @property
    def waited_s(self) -> float:
        """The seconds since it came."""
        return (boottime_ms() - self.request.opened["opened_boottime_ms"]) / 1000


def situation(request: Request, policy: Policy, records: list[Record] | None, person: str | None) -> Situation:
    """How a request stands by its records, None where they cannot be read.

    For that person, or for somebody who is none.
    """
    latest = None if records is None else latest_votes(records)
    if not waits(request):
        decision = request.file("decision.json")
        counting = [each for each, _comment in decision["votes"]] if decision else []
        return Situation(request, False, None, latest, counting, progress="", missing=None, you=None)
    rule = matching.current(policy, request.facts)
    if rule is None:
        words = "no rule is for it any more: it will be refused"
        return Situation(request, True, None, latest, counting=[], progress=words, missing=None, you=None)
    votes = votes_in(records or [], policy)
    that_count = rules.those_that_count(rule, policy, request.facts, votes)
    return Situation(
        request,
        waits=True,
        rule=rule,
        votes=latest,
        counting=[vote["person"] for vote in that_count],
        progress=UNKNOWN if records is None else progress(request, rule, policy, votes),
        missing=None if records is None else missing(rule, policy, request.facts, votes),
        you=_you(person, rule, policy, request, that_count) if person else None,
    )


class VoteLog:
    """The votes of many requests of one gate. What was read is kept, so that the next look reads only what is new."""

    def __init__(self, state_dir: str) -> None:
        """Nothing is read yet."""
        self._directory = layout.audit(state_dir)
        self._votes: dict[str, list[Record]] = {}
        self._from = self._to = (0, 0)

    def look(self, requests: list[Request]) -> dict[str, list[Record]]:
        """The `vote` records by their request's key; those of `requests` are among them.

        Raises:
            AuditError: the log cannot be read.
        """
        wanted = {request.key for request in requests}
        oldest = min(((at[0], at[1]) for at in (each.opened["log_position"] for each in requests)), default=self._to)
        if not self._from <= oldest <= self._to:
            self._votes, self._from, self._to = {}, oldest, oldest
        # Those whose request was not there at the last look may be wanted at the next.
        self._votes = {key: votes for key, votes in self._votes.items() if key in wanted}
        end = log.position(self._directory)
        for _head, record in log.records(self._directory, self._to) if end != self._to else ():
            if record["event"] == "vote":
                self._votes.setdefault(str(record["request"]), []).append(record)
        self._to = end  # from before the reading: what came meanwhile is read again, which changes no latest vote
        return self._votes


def latest_votes(records: Iterable[Record]) -> list[Record]:
    """The record of each person's latest vote, oldest first."""
    latest: dict[str, Record] = {}
    for record in records:
        if record["event"] == "vote":
            latest.pop(record["by"]["person"], None)
            latest[record["by"]["person"]] = record
    return list(latest.values())


def _you(person: str, rule: Rule, policy: Policy, request: Request, counting: list[Vote]) -> You:
    why_not = rules.may_approve(person, rule, policy, request.facts)
    may = {"approve": why_not, "reject": rules.may_reject(person, rule, policy, request.facts)}
    answered = [vote["answer"] for vote in counting if vote["person"] == person]
    return You(
        person=person,
        can=[answer for answer, why in may.items() if why is None],
        why_not=_briefly(person, rule, policy, request) if why_not else "",
        answered=answered[0] if answered else "",
    )


def _briefly(person: str, rule: Rule, policy: Policy, request: Request) -> str:
    """Why they may not approve it, said to themselves."""
    if person not in rules.people_of(rule):
        return "not on its list"
    if rules.triggered(person, policy, request.facts):
        return "your own job"
    return "unknown whether it is your own job"
