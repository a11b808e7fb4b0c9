"""A request in words, for a terminal: a few lines in `gate list`, one when it is answered, and whole in `gate show`.

What others wrote is escaped (gate.model.words.shown).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from audit.show import as_line
from gate.clock import utc_text
from gate.flow.announcement import SHORT_DIGEST, WARNING_MAX_CHARACTERS, job_words
from gate.flow.status import state_words
from gate.model import dangers, matching, rules
from gate.model.content_lines import lines_of
from gate.model.missing import missing_words
from gate.model.words import DONE, could_deceive, duration, listed, shown
from gate.store.request import url_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gate.flow.situation import Situation, You
    from gate.shapes import Content, Facts, Policy, Record
    from gate.store.request import Request

_ENVIRONMENTS_MAX = 3  # claimed ones in one line; `gate show` has all
_COMMENT_MAX_CHARACTERS = 1500  # more than a comment can have


def row(how: Situation) -> list[str]:
    """The lines of one request that waits; its job first, its key last."""
    environment = _environment(how.request.facts)
    lacks = missing_words(how.missing) if how.missing else ""
    last = [_not_you(how.you)] if how.you else []
    return [
        job_words(how.request.facts),
        f"    {f'environment {environment}; ' if environment else ''}rule {shown(how.request.opened['rule'])}",
        f"    {'; '.join(part for part in (how.progress, lacks) if part)}",
        f"    {'; '.join([*last, _times(how), how.request.key])}",
    ]


def answer_line(request: Request, policy: Policy, answer: str) -> str:
    """What is answered, in one line: `approve deploy #1234 (…) …, environment production, digest 2ba96cd8ae17784f`."""
    environment = _environment(request.facts)
    words = [job_words(request.facts)]
    words += [f"environment {environment}"] if environment else []
    words += [f"digest {request.opened['digest'][:SHORT_DIGEST]}"]
    number = len(warnings(request, policy, request.content()))
    heed = f" ({number} warning{'s' if number > 1 else ''}: see `gate show {request.key}`)" if number else ""
    return f"{answer} {', '.join(words)}{heed}"


def whole(how: Situation, policy: Policy, records: list[Record]) -> Iterator[str]:
    """All that is known of a request, what an answer depends on first."""
    request, content = how.request, how.request.content()
    yield f"{request.key}: {state_words(request)}"
    yield from (f"  warning: {shown(each, WARNING_MAX_CHARACTERS)}" for each in warnings(request, policy, content))
    yield f"  job     {job_words(request.facts)}"
    yield from (f"  claims  environment {shown(claim)}" for claim in request.facts["environments"])
    yield from (f"  {line}" for line in _standing(how))
    url = url_of(policy, request.key) if how.waits else None
    yield from [f"  page    {url}"] if url else []
    yield f"  digest  {request.opened['digest']}"
    yield from (f"  {line}" for line in lines_of(content))
    yield from (f"  {as_line(record, could_deceive)}" for record in records)


def warnings(request: Request, policy: Policy, content: Content | None) -> list[str]:
    """What an approver must not overlook, a phrase each, not escaped."""
    backend = rules.backend_of(policy, matching.current(policy, request.facts))
    found = [*dangers.of(request.facts, content), *dangers.host(request.opened.get("needs", []), backend)]
    if request.opened["deadline_shortened"]:
        found.append(f"there is less time than the rule gives: {request.opened['deadline_set_by']}")
    return found


def vote_words(record: Record) -> str:
    """A vote, by its record: `alice approved, by drop at 2026-11-24 14:05:00 UTC: "looks good"`."""
    comment = f': "{shown(record["comment"], _COMMENT_MAX_CHARACTERS)}"' if record["comment"] else ""
    at = f"{record['time'][:19].replace('T', ' ')} UTC"
    return (
        f"{shown(record['by']['person'])} {DONE[record['decision']]}, by {shown(record['by']['via'])} at {at}{comment}"
    )


def _standing(how: Situation) -> Iterator[str]:
    opened = how.request.opened
    asks = f": {rules.wanted_words(how.rule)}" if how.rule else ""
    yield f"rule    {shown(opened['rule'])}{asks}"
    for vote in how.votes or []:
        counts = "" if vote["by"]["person"] in how.counting else "  (does not count)"
        yield f"vote    {vote_words(vote)}{counts}"
    if not how.waits:
        yield f"asked   {utc_text(opened['opened_wall_s'])}"
        return
    yield f"so far  {how.progress}"
    if how.missing:
        yield f"missing {missing_words(how.missing) or 'nothing; it is being decided'}"
    if how.you:
        yield f"you     {_you(how.you)}"
    yield f"times   {_times(how)}, until {utc_text(how.until_s)}"


def _not_you(you: You) -> str:
    return f"not you: {you.why_not}" if you.why_not and not you.answered else f"you {_you(you)}"


def _you(you: You) -> str:
    if you.answered:
        return f"{DONE[you.answered]} it"
    return f"cannot approve it: {you.why_not}" if you.why_not else "can approve it"


def _times(how: Situation) -> str:
    return f"waits for {duration(how.waited_s)}, {duration(how.left_s)} left"


def _environment(facts: Facts) -> str:
    claims = [shown(claim) for claim in facts["environments"]]
    more = len(claims) - _ENVIRONMENTS_MAX
    return listed([*claims[:_ENVIRONMENTS_MAX], *([f"{more} more"] if more > 0 else [])], "and")
