"""What people look at: what waits, one request, what came of several votes, and what was decided."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from audit.log import AuditError
from audit.show import as_line
from gate.flow.decide import DECISIONS
from gate.flow.status import deadline_ms, waits
from gate.model.facts import is_rehearsal, triggerer
from gate.model.rules import backend_of, people_of
from gate.model.words import could_deceive
from gate.page import changes, requests
from gate.page.guard import visitor
from gate.page.history import search
from gate.page.outcomes import outcome
from gate.page.render import message_page, page
from gate.page.standing import needed_words
from gate.page.state import PAGE
from gate.page.timeline import moments
from gate.store.files import StateError
from gate.store.layout import page_settings

if TYPE_CHECKING:
    from aiohttp import web

    from gate.page.history.index import Row
    from gate.page.requests import Waiting
    from gate.page.state import Page
    from gate.shapes import Claims, Record
    from gate.store.request import Request

CLAIMED = ("title", "author", "message", "tag", "merge_request", "merge_request_title")
ROWS_MAX = 100  # of what waits, on one page; a filter reaches the rest
FILTER_MAX_CHARACTERS = 200


async def waiting(
    request: web.Request, *, status: int = 200, note: str = "", comment: str = "", picked: frozenset[str] = frozenset()
) -> web.StreamResponse:
    """GET /: what waits, the visitor's own first; also what a vote on several comes back to where it was not left."""
    state, who = request.app[PAGE], visitor(request)
    wanted = request.query.get("q", "").strip()[:FILTER_MAX_CHARACTERS]
    found, unreadable = await asyncio.to_thread(state.book.waiting, who)
    fitting = [each for each in found if _fits(each, wanted)]
    mine = [each for each in fitting if each.is_mine]
    shown = [*mine, *[each for each in fitting if not each.is_mine]][:ROWS_MAX]
    pickable = await asyncio.to_thread(_pickable, state, shown)
    return page(
        request,
        "waiting.html",
        status=status,
        unreadable=unreadable,
        pickable=pickable,
        note=note,
        comment=comment,
        picked=picked,
        q=wanted,
        mine=_by_project([each for each in shown if each.is_mine]),
        others=_by_project([each for each in shown if not each.is_mine]),
        total=len(found),
        hidden=len(fitting) - len(shown),
        token=state.tokens.make(who.id, "decide together"),
        wants_password=wants_password(request),
    )


async def one(request: web.Request, *, status: int = 200, note: str = "", comment: str = "") -> web.StreamResponse:
    """GET /requests/<key>: one request, whole; also what a vote on it comes back to where it was not left."""
    state, key = request.app[PAGE], request.match_info["key"]
    asked = state.book.request(key)
    row, records = await asyncio.to_thread(_of_the_log, state, key)
    if asked is None and row is None:
        return message_page(request, 404, "There is no such request here, or it is from before this page's time.")
    about = await asyncio.to_thread(_about, state, request, asked) if asked else {"facts": None}
    voted = request.query.get("vote", "")
    return page(
        request,
        "request.html",
        status=status,
        key=key,
        row=row,
        records=[as_line(record, could_deceive) for record in records],
        timeline=moments(records),
        note=note,
        comment=comment,
        outcome=_outcome(state, asked, voted, about) if asked and voted else None,
        wants_password=wants_password(request),
        **about,
    )


def _outcome(state: Page, asked: Request, nonce: str, about: dict[str, Any]) -> tuple[str, str]:
    """What came of a vote, and what is still needed after it."""
    kind, words = outcome(state.index, asked, nonce)
    needed = needed_words(about["how"].places) if kind == "counted" and about["is_waiting"] else ""
    return kind, f"{words} {needed}".rstrip()


async def decided(request: web.Request) -> web.StreamResponse:
    """GET /decided/<nonce>: what came of votes that were sent together."""
    state, nonce = request.app[PAGE], request.match_info["nonce"]
    if nonce not in state.bulk:
        return message_page(request, 404, "What came of that is not kept here any more; the history has it.")
    outcomes = []
    for key, why in state.bulk[nonce]:
        asked = _asked(state, key)
        kind, words = ("refused", why) if why or asked is None else outcome(state.index, asked, nonce)
        outcomes.append({"key": key, "asked": asked, "kind": kind, "words": words})
    return page(request, "decided.html", outcomes=outcomes)


async def past(request: web.Request) -> web.StreamResponse:
    """GET /history: what was decided, newest first."""
    state = request.app[PAGE]
    note, wanted = "", search.Filter()
    try:
        wanted = search.filter_of(request.query)
    except search.FilterError as error:
        note = f"That filter cannot be: {error}."
    before = _before(request.query.get("before", ""))
    rows = await asyncio.to_thread(search.search, state.index, wanted, search.PAGE_ROWS + 1, before)
    total = await asyncio.to_thread(search.count, state.index, wanted)
    more = rows[search.PAGE_ROWS - 1] if len(rows) > search.PAGE_ROWS else None
    older = {**wanted.given, "before": f"{more['decided_ms']}-{more['number']}"} if more else {}
    return page(
        request,
        "history.html",
        status=400 if note else 200,
        wanted=wanted,
        rows=rows[: search.PAGE_ROWS],
        total=total,
        older=f"/history?{urlencode(older)}" if older else "",
        is_first=before is None,
        exported=urlencode(wanted.given),
        outcomes=DECISIONS,
        note=note,
    )


def _about(state: Page, request: web.Request, asked: Request) -> dict[str, Any]:
    who, facts = visitor(request), asked.facts
    content = state.book.content(asked)
    is_waiting = waits(asked)
    how = state.book.one(asked, who)
    job = {"instance": facts["instance"], "project_id": facts["project_id"], "name": facts["name"]}
    job |= {"environment": facts["environment"], "rehearsal": is_rehearsal(facts)}
    last = state.index.last_approved_sha(job, asked.key)
    claims: Claims = content.get("claims", {}) if content else {}
    links = requests.links(facts, last, claims)
    earlier, base = state.book.earlier(content), requests.compared_with(facts, last, claims)
    return {
        "facts": facts,
        "by": triggerer(facts),
        "claims": {name: claims.get(name, "") for name in CLAIMED} | _merge_request(links),
        "compared_with": base[1] if base else "",
        "links": links,
        "content": content,
        "changes": changes.differing(earlier, content) if content and requests.is_whole(content) and earlier else None,
        "lines": changes.lines_of(content) if content else 0,
        "warnings": requests.warnings(facts, content, asked.opened, backend_of(state.policy, how.rule)),
        **requests.told_variables(content, earlier),
        "digest": asked.opened["digest"],
        "opened_ms": asked.opened["opened_wall_s"] * 1000,
        "until_ms": asked.opened["opened_wall_s"] * 1000
        + (deadline_ms(asked, how.rule) - asked.opened["opened_boottime_ms"]),
        "how": how,
        "rule_name": how.rule["name"] if is_waiting and how.rule else asked.opened["rule"],
        "rule_words": requests.rule_words(how.rule) if how.rule else [],
        "voters": requests.voters(how, state.policy),
        "is_waiting": is_waiting,
        "decision": asked.file("decision.json"),
        "is_running": asked.has("started") and not asked.has("ended.json"),
        "is_over": asked.has("ended.json"),
        "token": state.tokens.make(who.id, f"decide {asked.key}"),
    }


def _merge_request(links: dict[str, str]) -> dict[str, str]:
    """The number of the merge request that a link leads to: GitLab's own, where the ref has one, otherwise a claim."""
    return {"merge_request": links["merge_request"].rpartition("/")[2]} if "merge_request" in links else {}


def _of_the_log(state: Page, key: str) -> tuple[Row | None, list[Record]]:
    try:
        return state.index.row(key), state.index.records(key)
    except AuditError:
        return state.index.row(key), []  # the fault is on top of every page


def _fits(each: Waiting, wanted: str) -> bool:
    facts = each.request.facts
    texts = [facts[name] or "" for name in ("path", "name", "stage", "environment", "ref", "sha")]
    texts += [str(facts["job_id"]), triggerer(facts), *(people_of(each.rule) if each.rule else [])]
    return all(any(word in text.casefold() for text in texts) for word in wanted.casefold().split())


def _by_project(found: list[Waiting]) -> dict[str, list[Waiting]]:
    """Grouped by project, the one that waits longest first."""
    groups: dict[str, list[Waiting]] = {}
    for each in found:
        groups.setdefault(each.request.facts["path"], []).append(each)
    return groups


def _pickable(state: Page, rows: list[Waiting]) -> frozenset[str]:
    """The keys of those that this visitor can answer together with others, and whose script can be read here."""
    if state.rulebook.fault or not page_settings(state.policy)["bulk"]:
        return frozenset()
    return frozenset(each.request.key for each in rows if each.can and state.book.is_shown(each.request))


def wants_password(request: web.Request) -> bool:
    session = visitor(request).session
    return session is not None and request.app[PAGE].sessions.wants_password(session)


def _asked(state: Page, key: str) -> Request | None:
    try:
        return state.book.request(key)
    except StateError:
        return None


def _before(text: str) -> tuple[int, int] | None:
    decided_ms, _, number = text.partition("-")
    whole = all(part.isascii() and part.isdigit() and len(part) < 16 for part in (decided_ms, number))  # noqa: PLR2004
    return (int(decided_ms), int(number)) if whole else None
