"""Leaving a vote, and seeing what came of it. The page decides nothing: the one who waits takes the vote, or does not.

A form counts only with a token that this page made for this visitor and request, and with the digest that was shown: a
vote on anything else is refused (threats T18, T19). A visitor who logged in with a password gives it again, if that was
long ago.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from typing import TYPE_CHECKING, NamedTuple

from aiohttp import web

from gate.flow.status import state_words, waits
from gate.model import matching, rules
from gate.model.words import shown, whole
from gate.page import views
from gate.page.auth.form_tokens import TokenError
from gate.page.guard import form_of, visitor
from gate.page.login import PasswordError, check_password
from gate.page.outcomes import file_of, outcome
from gate.page.state import PAGE, say
from gate.store import bell, layout
from gate.store.files import StateError, write_json_once
from gate.votes import drop_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gate.page.auth.visitor import Visitor
    from gate.page.state import Page
    from gate.store.request import Request

TAKEN_WITHIN_S = 5.0
VOTE_MODE = 0o644  # votes/ itself is closed to all but the gate and this page
AGAIN = "This form was too old, or not made for you. Here is a new one, with what you wrote. Nothing was decided."


class Refusal(NamedTuple):
    """Why a vote is not even left."""

    status: int
    words: str


class Answer(NamedTuple):
    """What a form says, once its token is right."""

    nonce: str
    answer: str
    comment: str
    digest: str


async def vote(request: web.Request) -> web.StreamResponse:
    """POST /requests/<key>: one answer to one request."""
    page, who, key = request.app[PAGE], visitor(request), request.match_info["key"]
    asked = page.book.request(key)
    if asked is None:
        raise web.HTTPNotFound
    form = await form_of(request)
    try:
        nonce = page.tokens.check(str(form.get("token", "")), who.id, f"decide {key}")
    except TokenError:
        return await views.one(request, status=403, note=AGAIN, comment=comment_of(form))
    answer = Answer(nonce, str(form.get("answer", "")), comment_of(form), str(form.get("digest", "")))
    refusal = why_not(page, who, asked, answer) or await wrong_password(page, who, form)
    if refusal:
        return await views.one(request, status=refusal.status, note=refusal.words, comment=answer.comment)
    try:
        leave(page, who, asked, answer)
    except StateError as error:
        say(str(error))
        note = "The vote could not be written down, so nothing was decided. The page's log says why."
        return await views.one(request, status=503, note=note, comment=answer.comment)
    await until_taken(page, [asked], nonce)
    raise web.HTTPSeeOther(f"/requests/{key}?vote={nonce}")


def why_not(page: Page, who: Visitor, asked: Request, answer: Answer) -> Refusal | None:
    """Why an answer is not left, told before the one who waits would turn it away."""
    if who.person is None:
        return Refusal(403, "You can view this request but not answer it: gate.yaml has no person for you.")
    if page.rulebook.fault:
        return Refusal(503, "Nothing can be decided now: gate.yaml has a fault. What was answered before is kept.")
    if answer.answer not in drop_file.ANSWERS:
        return Refusal(400, "The answer is neither approve nor reject. Nothing was decided.")
    if not waits(asked):
        return Refusal(409, f"Too late: {state_words(asked)}. Your answer came to nothing.")
    if answer.digest != asked.opened["digest"]:
        return Refusal(409, "What you were shown is not what waits. Read it again; nothing was decided.")
    return _too_often(page, who.person, asked) or _would_not_count(page, who.person, asked, answer)


def _too_often(page: Page, person: str, asked: Request) -> Refusal | None:
    wait_s = page.answers.wait_s(person, asked.key)
    words = (
        f"You have answered this several times just now: the next answer can be in {wait_s} seconds. What you said "
        "last counts."
    )
    return Refusal(429, words) if wait_s else None


def _would_not_count(page: Page, person: str, asked: Request, answer: Answer) -> Refusal | None:
    rule = matching.current(page.policy, asked.facts)
    if rule is None:
        return Refusal(409, "gate.yaml has no rule for this job any more: it will be refused.")
    why = drop_file.comment_fault(answer.comment) or rules.may_answer(
        person, "approve" if answer.answer == "approve" else "reject", answer.comment, rule, page.policy, asked.facts
    )
    return Refusal(422, f"Your answer would not count: {shown(why, 500)}. Nothing was decided.") if why else None


def leave(page: Page, who: Visitor, asked: Request, answer: Answer) -> None:
    """Write a vote down where the one who waits finds it.

    Raises:
        StateError: it could not be written.
    """
    content = {
        "v": 1,
        "request": asked.key,
        "digest": answer.digest,
        "person": who.person,
        "answer": answer.answer,
        "comment": answer.comment,
    }
    write_json_once(layout.votes(asked.directory), file_of(answer.nonce), content, VOTE_MODE)
    bell.ring(asked.directory)
    page.answers.note(str(who.person), asked.key)
    say(f"{who.person} ({who.door}) leaves a vote on {asked.key}: {answer.answer}")


async def until_taken(page: Page, left: list[Request], nonce: str) -> None:
    """Wait a moment for what was left to be taken; what came too late goes."""
    until_s = time.monotonic() + TAKEN_WITHIN_S
    todo = list(left)
    while todo and time.monotonic() < until_s:
        version = page.changes.version
        todo = [asked for asked in todo if outcome(page.index, asked, nonce)[0] == "left"]
        if todo:
            # Not only by the log: a decision that was made elsewhere shows in its file first.
            await page.changes.after(version, min(0.5, max(until_s - time.monotonic(), 0)))
    await asyncio.sleep(0)
    for asked in left:
        if outcome(page.index, asked, nonce)[0] == "late":
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(layout.votes(asked.directory), file_of(nonce)))


async def wrong_password(page: Page, who: Visitor, form: Mapping[str, object]) -> Refusal | None:
    if who.session is None or not page.sessions.wants_password(who.session):
        return None
    try:
        await check_password(page, who.session.person, str(form.get("password", "")), page.attempts_within)
    except PasswordError as error:
        return Refusal(error.status, f"{error} Nothing was decided.")
    page.sessions.confirm(who.session)
    return None


def comment_of(form: Mapping[str, object]) -> str:
    return whole(str(form.get("comment", "")).replace("\r\n", "\n")).strip()
