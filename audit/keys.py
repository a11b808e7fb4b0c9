"""The keys of signed notes: Ed25519, in the text forms of Go's golang.org/x/mod/sumdb/note and of C2SP's signed-note.

A verifier key is `<name>+<key ID>+<base64 of 0x01 and the public key>`, a signer key `PRIVATE+KEY+<name>+<key
ID>+<base64 of 0x01 and the seed>`. The key ID is the start of a hash over name and public key, in eight hex digits: it
tells keys apart, and vouches for nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import NamedTuple

from audit.errors import AuditError

_ED25519 = b"\x01"
_KEY_BYTES = 32
_ID_BYTES = 4
_PRIVATE = "PRIVATE+KEY+"
_NAME = re.compile(r"[^\s+\x00-\x1f\x7f]+")


class Verifier(NamedTuple):
    """Whose signatures can be checked: the name, the key ID, the 32 bytes of the public key."""

    name: str
    key_id: bytes
    public: bytes

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{_base64(_ED25519 + self.public)}"

    def has_signed(self, text: bytes, signature: bytes) -> bool:
        """Whether the signature (RFC 8032) is of this text and by this key."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text)
        except (InvalidSignature, ValueError):
            return False
        return True


class Signer(NamedTuple):
    """Who signs: the name, and the 32 bytes that the private key is made from."""

    name: str
    seed: bytes

    def __repr__(self) -> str:
        return f"Signer({self.name!r})"  # never the seed, wherever it may be printed

    @property
    def verifier(self) -> Verifier:
        """Its public half."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        public = Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw()
        return Verifier(self.name, _key_id(self.name, public), public)

    def written(self) -> str:
        """The signer key as text, to be kept secret."""
        return f"{_PRIVATE}{self.name}+{self.verifier.key_id.hex()}+{_base64(_ED25519 + self.seed)}"

    def sign(self, text: bytes) -> bytes:
        """The signature of a text (RFC 8032)."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(self.seed).sign(text)


def is_name(text: str) -> bool:
    """Whether a key may be called so: no blanks, no plus."""
    return _NAME.fullmatch(text) is not None


def verifier(text: str) -> Verifier:
    """The verifier key that `text` is.

    Raises:
        AuditError: it is none, or its parts do not belong together.
    """
    name, key_id, public = _parts(text.strip(), "a verifier key, as `gate audit key` prints it")
    if key_id != _key_id(name, public):
        raise AuditError(f"the verifier key {text.strip()!r} is damaged: its key ID is not that of its name and key")
    return Verifier(name, key_id, public)


def signer(text: str) -> Signer:
    """The signer key that `text` is.

    Raises:
        AuditError: it is none, or its parts do not belong together; the message holds nothing of it.
    """
    what = "a signer key"
    if not text.startswith(_PRIVATE):
        raise AuditError(f"this is not {what}")
    try:
        name, key_id, seed = _parts(text.strip().removeprefix(_PRIVATE), what)
    except AuditError:
        raise AuditError(f"this is not {what}") from None
    found = Signer(name, seed)
    if found.verifier.key_id != key_id:
        raise AuditError("this signer key is damaged: its key ID is not that of its name and key")
    return found


def _parts(text: str, what: str) -> tuple[str, bytes, bytes]:
    name, _, rest = text.partition("+")
    key_id, _, encoded = rest.partition("+")
    try:
        key = base64.b64decode(encoded, validate=True)
        found = name, bytes.fromhex(key_id), key[1:]
    except (ValueError, binascii.Error):
        key, found = b"", ("", b"", b"")
    if not is_name(name) or len(key_id) != 2 * _ID_BYTES or key[:1] != _ED25519 or len(key) != 1 + _KEY_BYTES:
        raise AuditError(f"{text!r} is not {what}")
    return found


def _key_id(name: str, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public).digest()[:_ID_BYTES]


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
