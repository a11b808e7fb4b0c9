"""Answering several requests at once, each by itself.

To reject them, selecting is enough. To approve them, each one's script must have been on the screen: POST /decide comes
back with a page that shows them all, unfolded, and only the form on that page approves. What it has for each request is
bound to the digest that was shown and to its visitor (gate/page/auth/form_tokens.py), so no form approves what this
page has not shown.
"""

from __future__ import annotations

import hmac
import json
from typing import TYPE_CHECKING, NamedTuple

from aiohttp import web

from gate.model import matching, rules
from gate.page import requests, views
from gate.page.auth.form_tokens import TokenError
from gate.page.guard import form_of, visitor
from gate.page.render import message_page, page
from gate.page.state import PAGE, say
from gate.page.voting import AGAIN, Answer, Refusal, comment_of, leave, until_taken, why_not, wrong_password
from gate.store.files import StateError
from gate.store.layout import page_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gate.page.auth.visitor import Visitor
    from gate.page.state import Page
    from gate.shapes import Backend, Content
    from gate.store.request import Request

BULK_MAX = 50
BULK_KEPT = 200
SHOWN_MAX_BYTES = 1024 * 1024  # of all scripts on one page: more is not read, and holds up others
_SELECT, _SHOWN = "decide together", "approve what is shown"
_OFF = "gate.yaml has `bulk: false` for the page: requests are answered one by one here. Nothing was decided."
_TOO_MUCH = "What the selected ones would run is too much for one page: approve this one by itself."
_NOT_SHOWN = "What it runs cannot be shown here: approve it by itself, once you have read it in GitLab."


class Pick(NamedTuple):
    """One of the selected requests; `mark` is the digest, or what is bound to it.

    `fault` says why it cannot be read.
    """

    key: str
    mark: str
    asked: Request | None
    fault: str


async def decide(request: web.Request) -> web.StreamResponse:
    """POST /decide: reject the selected requests, or see all that they would run, to approve them."""
    state, who, form = request.app[PAGE], visitor(request), await form_of(request)
    if not page_settings(state.policy)["bulk"]:
        return message_page(request, 403, _OFF)
    picks = _picks(state, form)
    nonce, refusal = _nonce(state, who, form, _SELECT)
    refusal = refusal or _wrong_number(picks) or await wrong_password(state, who, form)
    if refusal:
        picked = frozenset(pick.key for pick in picks)
        return await views.waiting(
            request, status=refusal.status, note=refusal.words, comment=comment_of(form), picked=picked
        )
    if form.get("answer") == "approve":
        return _unfolded(request, picks, comment_of(form))
    votes = [(pick, Answer(nonce, str(form.get("answer", "")), comment_of(form), pick.mark)) for pick in picks]
    return await _leave_all(state, who, nonce, votes)


async def approve_shown(request: web.Request) -> web.StreamResponse:
    """POST /decide/shown: approve what the form's own page has shown."""
    state, who, form = request.app[PAGE], visitor(request), await form_of(request)
    if not page_settings(state.policy)["bulk"]:
        return message_page(request, 403, _OFF)
    picks = _picks(state, form)
    nonce, refusal = _nonce(state, who, form, _SHOWN)
    if refusal:
        return await views.waiting(request, status=refusal.status, note=refusal.words, comment=comment_of(form))
    refusal = _wrong_number(picks) or await wrong_password(state, who, form)
    if refusal:
        return _unfolded(request, picks, comment_of(form), refusal)
    votes = [
        (pick, Answer(nonce, "approve", comment_of(form), _shown_digest(state, who, form, pick))) for pick in picks
    ]
    return await _leave_all(state, who, nonce, votes)


def _picks(state: Page, form: Mapping[str, object]) -> list[Pick]:
    """What was selected, each once."""
    pairs = [str(pick).partition(" ") for pick in form.getall("pick", [])]  # type: ignore[attr-defined]
    found = []
    for key, mark in {key: mark for key, _, mark in pairs}.items():
        try:
            found.append(Pick(key, mark, state.book.request(key), ""))
        except StateError as error:
            found.append(Pick(key, mark, None, f"It cannot be read: {error}."))
    return found


def _nonce(state: Page, who: Visitor, form: Mapping[str, object], purpose: str) -> tuple[str, Refusal | None]:
    try:
        return state.tokens.check(str(form.get("token", "")), who.id, purpose), None
    except TokenError:
        return "", Refusal(403, AGAIN)


def _wrong_number(picks: list[Pick]) -> Refusal | None:
    if 0 < len(picks) <= BULK_MAX:
        return None
    return Refusal(400, f"Select at least one request, and at most {BULK_MAX}. Nothing was decided.")


def _backend(state: Page, asked: Request) -> Backend:
    return rules.backend_of(state.policy, matching.current(state.policy, asked.facts))


def _unfolded(
    request: web.Request, picks: list[Pick], comment: str, refusal: Refusal | None = None
) -> web.StreamResponse:
    """The page that shows each of the selected ones in full; nothing is decided by it."""
    state, who = request.app[PAGE], visitor(request)
    token, room = state.tokens.make(who.id, _SHOWN), SHOWN_MAX_BYTES
    shown, refused = [], []
    for pick in picks[:BULK_MAX]:
        asked = pick.asked
        content = state.book.content(asked) if asked else None
        room -= len(json.dumps(content))
        words = _not_together(state, who, pick, content, comment) or (_TOO_MUCH if room < 0 else "")
        if words or asked is None:
            name = f"{asked.facts['name']} #{asked.facts['job_id']}" if asked else pick.key
            refused.append({"key": pick.key, "name": name, "words": words})
            continue
        shown.append(
            {
                "key": asked.key,
                "facts": asked.facts,
                "content": content,
                "warnings": requests.warnings(asked.facts, content, asked.opened, _backend(state, asked)),
                **requests.told_variables(content),
                "digest": asked.opened["digest"],
                "value": f"{asked.key} {state.tokens.bound(token, who.id, _bound_to(asked))}",
            }
        )
    return page(
        request,
        "together.html",
        status=refusal.status if refusal else 200,
        note=refusal.words if refusal else "",
        comment=comment,
        token=token,
        picks=shown,
        refused=refused,
        wants_password=views.wants_password(request),
    )


def _not_together(state: Page, who: Visitor, pick: Pick, content: Content | None, comment: str) -> str:
    """Why this one cannot be approved with others, or ""."""
    if pick.asked is None:
        return pick.fault or "There is no such request."
    refusal = why_not(state, who, pick.asked, Answer("", "approve", comment, pick.asked.opened["digest"]))
    if refusal:
        return refusal.words
    return "" if requests.is_whole(content) else _NOT_SHOWN


def _bound_to(asked: Request) -> str:
    return f"{asked.key} {asked.opened['digest']}"


def _shown_digest(state: Page, who: Visitor, form: Mapping[str, object], pick: Pick) -> str:
    """The digest that the form's page has shown for a request; "" where it has not shown what waits."""
    if pick.asked is None:
        return ""
    wanted = state.tokens.bound(str(form.get("token", "")), who.id, _bound_to(pick.asked))
    is_bound = hmac.compare_digest(pick.mark.encode("utf-8", "replace"), wanted.encode())
    return str(pick.asked.opened["digest"]) if is_bound else ""


async def _leave_all(state: Page, who: Visitor, nonce: str, votes: list[tuple[Pick, Answer]]) -> web.StreamResponse:
    outcomes, left = list[tuple[str, str]](), []
    for pick, answer in votes:
        why = _leave_one(state, who, pick, answer)
        outcomes.append((pick.key, why))
        left += [pick.asked] if pick.asked and not why else []
    await until_taken(state, left, nonce)
    state.bulk = dict([*state.bulk.items(), (nonce, outcomes)][-BULK_KEPT:])
    raise web.HTTPSeeOther(f"/decided/{nonce}")


def _leave_one(state: Page, who: Visitor, pick: Pick, answer: Answer) -> str:
    """Leave one of several votes; returns why not, or ""."""
    if pick.asked is None:
        return pick.fault or "There is no such request."
    refusal = why_not(state, who, pick.asked, answer)
    if refusal:
        return refusal.words
    try:
        leave(state, who, pick.asked, answer)
    except StateError as error:
        say(str(error))
        return "The vote could not be written down; the page's log says why."
    return ""
