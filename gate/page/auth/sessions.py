"""Who is logged in. In memory: when the page restarts, everybody logs in again.

A session ends when it was not used for IDLE_S, LIFETIME_S after its login, when its person logs out, gets another
password, or has gone from gate.yaml; and the oldest one, when its person begins more than SESSIONS_MAX. One that began
with a login link (gate/page/link.py) is good for its own uid at the Unix socket only, and has no password that could be
old, nor an idle time: without the `ssh` that forwards the socket it is of no use.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from gate.page.auth.accounts import Account

IDLE_S = 30 * 60
LIFETIME_S = 12 * 3600
PASSWORD_AGAIN_AFTER_S = 15 * 60  # to decide, not to look
SESSIONS_MAX = 10
TOKEN_BYTES = 32


@dataclass
class Session:
    """One login. Times are of the clock that Sessions was given, in seconds."""

    id: str
    person: str
    hashed: str
    began_s: float
    used_s: float
    password_s: float
    uid: int | None = None


class Sessions:
    """All sessions, by the hash of their token: what is in memory is of no use for logging in."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` counts seconds and cannot be set back."""
        self._clock = clock
        self._all: dict[str, Session] = {}

    def begin(self, account: Account) -> str:
        """Begin a session for somebody who gave their password; returns its new token, for the cookie."""
        return self._begin(account.person, account.hashed, None)

    def begin_by_link(self, uid: int) -> str:
        """Begin a session for the Unix user who opened a login link; returns its new token, for the cookie."""
        return self._begin("", "", uid)

    def _begin(self, person: str, hashed: str, uid: int | None) -> str:
        token, now_s = secrets.token_urlsafe(TOKEN_BYTES), self._clock()
        self._all = {id_: session for id_, session in self._all.items() if not self._over(session)}
        own = sorted(
            (each for each in self._all.values() if (each.person, each.uid) == (person, uid)), key=lambda s: s.began_s
        )
        for session in own[: max(len(own) - SESSIONS_MAX + 1, 0)]:
            del self._all[session.id]
        session = Session(_id(token), person, hashed, now_s, now_s, now_s, uid)
        self._all[session.id] = session
        return token

    def of(self, token: str) -> Session | None:
        """The session of a cookie's token, while it lasts."""
        session = self._all.get(_id(token))
        if session and self._over(session):
            self.end(session)
            return None
        return session

    def use(self, session: Session) -> None:
        """Note that its person did something: the idle time begins again."""
        session.used_s = self._clock()

    def confirm(self, session: Session) -> None:
        """Note that its person has just given their password."""
        session.password_s = self._clock()

    def end(self, session: Session) -> None:
        """End a session."""
        self._all.pop(session.id, None)

    def wants_password(self, session: Session) -> bool:
        """Whether it is too long since the password was given for a decision."""
        return session.uid is None and self._clock() - session.password_s > PASSWORD_AGAIN_AFTER_S

    def _over(self, session: Session) -> bool:
        now_s = self._clock()
        is_idle = session.uid is None and now_s - session.used_s > IDLE_S
        return is_idle or now_s - session.began_s > LIFETIME_S


def _id(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
