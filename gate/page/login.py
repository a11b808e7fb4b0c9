"""Logging in and out, for people who come by TCP."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from aiohttp import web

from gate.errors import GateError
from gate.model.words import shown
from gate.page import render
from gate.page.auth import accounts
from gate.page.auth.form_tokens import TokenError
from gate.page.auth.visitor import cookie_name, set_session
from gate.page.guard import door_kind, form_of, visitor
from gate.page.state import PAGE, say

if TYPE_CHECKING:
    from gate.page.auth.throttle import Attempts
    from gate.page.state import Page

WRONG = "The name or the password is wrong."
_ONWARD = re.compile(r"/(requests/[A-Za-z0-9._-]+|history)?")


class PasswordError(GateError):
    """A password that is wrong, or was tried too often; `status` is the HTTP one."""

    def __init__(self, status: int, words: str) -> None:
        """`words` are for whoever tried."""
        super().__init__(words)
        self.status = status


async def form(request: web.Request) -> web.StreamResponse:
    """GET /login."""
    if door_kind(request) != "listen":
        raise web.HTTPSeeOther("/")
    return _form(request, 200, "")


async def login(request: web.Request) -> web.StreamResponse:
    """POST /login: a new session, with a new id, for whoever knows their password."""
    page, sent = request.app[PAGE], await form_of(request)
    person, onward = str(sent.get("person", "")).strip(), str(sent.get("next", ""))
    try:
        page.tokens.check(str(sent.get("token", "")), "", "login")
        account = await check_password(page, person, str(sent.get("password", "")), page.attempts)
    except TokenError:
        return _form(request, 403, "This form was too old: here it is again.", person, onward)
    except PasswordError as error:
        return _form(request, error.status, str(error), person, onward)
    say(f"{person} logged in")
    answer = web.HTTPSeeOther(onward if _ONWARD.fullmatch(onward) else "/")
    set_session(answer, page.policy, page.sessions.begin(account))
    raise answer


async def logout(request: web.Request) -> web.StreamResponse:
    """POST /logout."""
    page, who, sent = request.app[PAGE], visitor(request), await form_of(request)
    try:
        page.tokens.check(str(sent.get("token", "")), who.id, "logout")
    except TokenError:
        return render.message_page(request, 403, "That form was too old. You are still logged in.")
    if who.session:
        page.sessions.end(who.session)
    answer = web.HTTPSeeOther("/login")
    answer.del_cookie(cookie_name(page.policy), path="/", httponly=True, samesite="Strict")
    raise answer


async def check_password(page: Page, person: str, password: str, attempts: Attempts) -> accounts.Account:
    """The account of that person, where the password is theirs, and gate.yaml knows them.

    Raises:
        PasswordError: it is not, or too many were wrong before.
    """
    account = page.accounts.get(person) if person in page.policy["people"] else None
    if account is None and not page.attempts.stranger_may():
        raise PasswordError(403, WRONG)  # as below, and only sooner: no hash, no line in the journal
    wait_s = attempts.wait_s(person)
    if wait_s:
        raise PasswordError(429, f"Too many wrong passwords: try again in {wait_s} seconds.")
    attempts.failed(person)  # taken back below; so that a thousand at once are not a thousand first ones
    async with page.hashing:
        is_right = await asyncio.to_thread(accounts.is_right, account, password)
    if not is_right or account is None:
        say(f"wrong name or password for {shown(person, 40)}")
        raise PasswordError(403, WRONG)
    attempts.succeeded(person)
    return account


def _form(request: web.Request, status: int, note: str, person: str = "", onward: str = "") -> web.Response:
    return render.page(
        request,
        "login.html",
        status=status,
        note=note,
        person=person,
        token=request.app[PAGE].tokens.make("", "login"),
        next=onward or request.query.get("next", ""),
    )
