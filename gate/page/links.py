"""The login links that wait to be opened. In memory, as the sessions are that come of them; see gate/page/link.py."""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

WITHIN_S = 300
EACH_MAX = 5
TOKEN_BYTES = 32


class Links:
    """The links that were handed out and not used yet, by the hash of their token."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` counts seconds and cannot be set back."""
        self._clock = clock
        self._all: dict[str, tuple[int, float]] = {}  # (uid, good until), oldest first

    def make(self, uid: int) -> str:
        """A new link's token; the oldest of the same uid goes where there are more than EACH_MAX."""
        token, now_s = secrets.token_urlsafe(TOKEN_BYTES), self._clock()
        self._all = {each: found for each, found in self._all.items() if found[1] > now_s}
        own = [each for each, (whose, _until_s) in self._all.items() if whose == uid]
        for each in own[: max(len(own) - EACH_MAX + 1, 0)]:
            del self._all[each]
        self._all[_hash(token)] = (uid, now_s + WITHIN_S)
        return token

    def is_good(self, token: str, uid: int) -> bool:
        """Whether this uid could use it now."""
        whose, until_s = self._all.get(_hash(token), (None, 0.0))
        return whose == uid and until_s > self._clock()

    def take(self, token: str, uid: int) -> bool:
        """Use it up; False where it is not good (any more), or another's."""
        if not self.is_good(token, uid):
            return False
        del self._all[_hash(token)]
        return True


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
