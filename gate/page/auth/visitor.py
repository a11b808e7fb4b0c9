"""Who is asking: by the kernel's word, by a reverse proxy's, or by a session.

Whatever the door, one person is one person.
"""

from __future__ import annotations

import pwd
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gate.errors import GateError
from gate.model.words import shown
from gate.page.auth.peers import uid_of_unix_peer
from gate.page.auth.sessions import LIFETIME_S
from gate.store.layout import page_settings

if TYPE_CHECKING:
    from aiohttp import web

    from gate.page.auth.accounts import Accounts
    from gate.page.auth.sessions import Session, Sessions
    from gate.shapes import Policy

SENT_MAX_CHARACTERS = 100
COOKIE, COOKIE_OVER_TLS = "gate-session", "__Host-gate-session"


class StrangerError(GateError):
    """Somebody whom a proxy names, and gate.yaml does not."""


@dataclass(frozen=True)
class Visitor:
    """Somebody who may look. `person` is their name in gate.yaml, None where they have none and can decide nothing."""

    name: str
    person: str | None
    door: str
    session: Session | None = None

    @property
    def counts_as(self) -> str:
        """Whose this visitor's connections are, at whatever door."""
        return f"person {self.person}" if self.person else f"Unix user {self.name}"

    @property
    def id(self) -> str:
        """What a form token is bound to."""
        return f"{self.door}:{self.session.id if self.session else self.name}"


def visitor_of(request: web.BaseRequest, policy: Policy, accounts: Accounts, sessions: Sessions) -> Visitor | None:
    """Who makes this request; None for somebody who has still to log in.

    Raises:
        StrangerError: the reverse proxy names no one, or no one that gate.yaml knows.
    """
    door = request.protocol.door  # type: ignore[attr-defined]  # gate.page.connection.Connection
    if door.kind == "proxy_socket":
        return _by_header(request, policy)
    token = request.cookies.get(cookie_name(policy), "")
    if door.kind == "listen":
        return _by_session(token, policy, accounts, sessions)
    uid = uid_of_unix_peer(request.transport.get_extra_info("socket"))  # type: ignore[union-attr]
    return (
        _by_link(token, uid, sessions, policy) if page_settings(policy)["login_link"] else visitor_by_uid(uid, policy)
    )


def cookie_name(policy: Policy) -> str:
    """`__Host-` where there is TLS: no other host can set such a cookie, nor can a page without TLS (RFC 6265bis)."""
    return COOKIE_OVER_TLS if page_settings(policy)["url"].startswith("https:") else COOKIE


def set_session(answer: web.StreamResponse, policy: Policy, token: str) -> None:
    """Give a browser the cookie of the session that `token` is of, however its person logged in."""
    over_tls = page_settings(policy)["url"].startswith("https:")
    answer.set_cookie(
        cookie_name(policy),
        token,
        max_age=LIFETIME_S,
        path="/",
        httponly=True,
        samesite="Strict",
        secure=over_tls,
    )


def visitor_by_uid(uid: int, policy: Policy) -> Visitor:
    """Somebody at a Unix socket, by the kernel's word."""
    person = next((name for name, known in policy["people"].items() if known["uid"] == uid), None)
    return Visitor(person or _unix_name(uid), person, "socket")


def _by_link(token: str, uid: int, sessions: Sessions, policy: Policy) -> Visitor | None:
    session = sessions.of(token) if token else None
    if session is None or session.uid != uid:
        return None
    return replace(visitor_by_uid(uid, policy), session=session)


def _unix_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _by_header(request: web.BaseRequest, policy: Policy) -> Visitor:
    name = page_settings(policy)["proxy_header"]
    values = request.headers.getall(name, [])
    # Two of them are one too many: the proxy has added its own to one that the client made up.
    if len(values) != 1:
        raise StrangerError(
            f"the reverse proxy sent {len(values) or 'no'} {name} headers, and has to send one, with who comes"
        )
    if not values[0].strip():
        raise StrangerError(
            f"the reverse proxy sent an empty {name} header: it has let somebody in who did not log in there"
        )
    sent = values[0].strip()
    person = next((name for name, known in policy["people"].items() if sent in (name, *known["proxy_names"])), None)
    if person is None:
        raise StrangerError(
            f"the reverse proxy sent {name}: {shown(sent, SENT_MAX_CHARACTERS)}, and no one in gate.yaml has that "
            "name. The operator"
            " can write that name into the list `proxy` of a person under `people`"
        )
    return Visitor(person, person, "proxy_socket")


def _by_session(token: str, policy: Policy, accounts: Accounts, sessions: Sessions) -> Visitor | None:
    session = sessions.of(token) if token else None
    if session is None or session.uid is not None:
        return None
    account = accounts.get(session.person) if session.person in policy["people"] else None
    if account is None or account.hashed != session.hashed:
        sessions.end(session)
        return None
    return Visitor(session.person, session.person, "listen", session)
