"""Form tokens: what a form carries to show that this page made it, for this visitor and this purpose, not long ago.

`<nonce>.<made at>.<HMAC-SHA256>`; the nonce also names the vote that comes of the form, so that the same form sent twice
is one vote (threats T18, T22). The key outlives a restart of the page, and so does a form that somebody has open.
"""

from __future__ import annotations

import hmac
import os
import secrets
from typing import TYPE_CHECKING

from gate.errors import GateError
from gate.store.files import StateError, write_once

if TYPE_CHECKING:
    from collections.abc import Callable

KEY_BYTES = 32
VALID_S = 12 * 3600
_NONCE_BYTES = 16
_PARTS = 3


class TokenError(GateError):
    """A form that this page did not make, or not for this, or too long ago."""


class Tokens:
    """Makes and checks tokens."""

    def __init__(self, key: bytes, clock: Callable[[], float]) -> None:
        """`clock` is wall time in seconds."""
        self._key, self._clock = key, clock

    def make(self, visitor: str, purpose: str) -> str:
        """A new token."""
        nonce, made = secrets.token_hex(_NONCE_BYTES), str(int(self._clock()))
        return f"{nonce}.{made}.{self._mac(nonce, made, visitor, purpose)}"

    def check(self, token: str, visitor: str, purpose: str) -> str:
        """The token's nonce, 32 hex digits.

        Raises:
            TokenError: it is not one of ours for this visitor and purpose, or too old.
        """
        parts = token.split(".")
        if len(parts) != _PARTS or not token.isascii():
            raise TokenError
        nonce, made, mac = parts
        if not hmac.compare_digest(mac, self._mac(nonce, made, visitor, purpose)):
            raise TokenError
        if not 0 <= self._clock() - int(made) <= VALID_S:
            raise TokenError
        return nonce

    def bound(self, token: str, visitor: str, what: str) -> str:
        """What stands in a form beside its token, to show that this page put it there: 64 hex digits.

        Only for a token that `make` has returned, or `check` has let pass.
        """
        nonce, made, _mac = token.split(".")
        return self._mac(nonce, made, visitor, what)

    def _mac(self, *parts: str) -> str:
        # Each with its length before it, so that no two lists of parts are the same bytes.
        message = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)
        return hmac.new(self._key, message, "sha256").hexdigest()


def key_in(page_dir: str) -> bytes:
    """The key in `page/secret`, made where it is missing.

    Raises:
        StateError: it cannot be made or read.
    """
    write_once(page_dir, "secret", os.urandom(KEY_BYTES), 0o600)
    path = os.path.join(page_dir, "secret")
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as source:
            key = source.read()
    except OSError as error:
        raise StateError(f"cannot read {path}: {error.strerror}") from error
    if len(key) != KEY_BYTES:
        raise StateError(f"{path} must be {KEY_BYTES} bytes; remove it, a new one is made")
    return key
