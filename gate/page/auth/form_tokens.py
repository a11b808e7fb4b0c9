"""Form tokens: what a form carries to show that this page made it, for this visitor and this purpose, not long ago.

`<nonce>.<made at>.<signature>`, by itsdangerous; the nonce also names the vote that comes of the form, so that the same
form sent twice is one vote (threats T18, T22). The key outlives a restart of the page, and so does a form that somebody
has open.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from typing import TYPE_CHECKING

from itsdangerous import BadSignature, TimestampSigner

from gate.errors import GateError
from gate.store.files import StateError, read_file, write_once

if TYPE_CHECKING:
    from collections.abc import Callable

KEY_BYTES = 32
VALID_S = 12 * 3600
_NONCE_BYTES = 16


class TokenError(GateError):
    """A form that this page did not make, or not for this, or too long ago."""


class _Signer(TimestampSigner):
    """Signs for one visitor and purpose."""

    def __init__(self, key: bytes, clock: Callable[[], float], visitor: str, purpose: str) -> None:
        salt = json.dumps([visitor, purpose])  # no two pairs are the same text
        super().__init__(key, salt, key_derivation="hmac", digest_method=hashlib.sha256)
        self._clock = clock

    def get_timestamp(self) -> int:
        return int(self._clock())


class Tokens:
    """Makes and checks tokens."""

    def __init__(self, key: bytes, clock: Callable[[], float]) -> None:
        """`clock` is wall time in seconds."""
        self._key, self._clock = key, clock

    def make(self, visitor: str, purpose: str) -> str:
        """A new token."""
        return self._signer(visitor, purpose).sign(secrets.token_hex(_NONCE_BYTES)).decode()

    def check(self, token: str, visitor: str, purpose: str) -> str:
        """The token's nonce, 32 hex digits.

        Raises:
            TokenError: it is not one of ours for this visitor and purpose, or too old.
        """
        try:
            nonce = self._signer(visitor, purpose).unsign(token.encode("ascii"), max_age=VALID_S)
        except (BadSignature, UnicodeEncodeError) as error:
            raise TokenError from error
        # itsdangerous passes over what is no base64 in a signature: only its one form is a token.
        if token.rpartition(".")[2] != self.bound(token, visitor, purpose):
            raise TokenError
        return nonce.decode()

    def bound(self, token: str, visitor: str, what: str) -> str:
        """What stands in a form beside its token, to show that this page put it there.

        Only for a token that `make` has returned, or `check` has let pass.
        """
        return self._signer(visitor, what).get_signature(token.rpartition(".")[0]).decode()

    def _signer(self, visitor: str, purpose: str) -> _Signer:
        return _Signer(self._key, self._clock, visitor, purpose)


def key_in(page_dir: str) -> bytes:
    """The key in `page/secret`, made where it is missing.

    Raises:
        StateError: it cannot be made or read.
    """
    write_once(page_dir, "secret", os.urandom(KEY_BYTES), 0o600)
    path = os.path.join(page_dir, "secret")
    key, _found = read_file(path, KEY_BYTES)
    if len(key) != KEY_BYTES:
        raise StateError(f"{path} must be {KEY_BYTES} bytes; remove it, a new one is made")
    return key
