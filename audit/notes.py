"""Signed notes (c2sp.org/signed-note, v1.0.0): a text, a blank line, and signature lines.

- A note is UTF-8 without control characters but line feeds; its text ends in a line feed.
- Signatures of unknown keys are passed over. One of a known key that is wrong spoils the note. One that is right is
  needed.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, NamedTuple

from audit.errors import AuditError
from audit.keys import is_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from audit.keys import Signer, Verifier

NOTE_MAX_BYTES = 64 * 1024
_ID_BYTES = 4
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_SIGNATURE = re.compile("\u2014 ([^ \n]+) ([A-Za-z0-9+/=]+)\n")


class Signature(NamedTuple):
    """One signature line: whose it says it is, and the signature itself."""

    name: str
    key_id: bytes
    signature: bytes


def sign(text: str, signer: Signer) -> str:
    """The note of `text`, which ends in a line feed, with one signature."""
    signed = signer.verifier.key_id + signer.sign(text.encode())
    return f"{text}\n\u2014 {signer.name} {base64.b64encode(signed).decode('ascii')}\n"


def open_note(note: bytes, known: Sequence[Verifier]) -> tuple[str, list[Verifier]]:
    """The text of a note, and those of the known keys that signed it: at least one.

    Raises:
        AuditError: it is no note, none of the known keys signed it, or the signature of one of them is wrong.
    """
    text, signatures = _split(note)
    signers = []
    for found in dict.fromkeys(signatures):
        for key in known:
            if (key.name, key.key_id) != (found.name, found.key_id):
                continue
            if not key.has_signed(text.encode(), found.signature):
                raise AuditError(
                    f"its signature by {found.name} is wrong: it was changed, or {found.name} never signed it"
                )
            signers.append(key)
    if not signers:
        names = ", ".join(f"{found.name}+{found.key_id.hex()}" for found in signatures)
        raise AuditError(f"no known key signed it, but {names}")
    return text, signers


def _split(note: bytes) -> tuple[str, list[Signature]]:
    try:
        whole = note.decode("utf-8")
    except UnicodeDecodeError:
        whole = ""
    text, blank, lines = whole.rpartition("\n\n")
    if len(note) > NOTE_MAX_BYTES or not blank or _CONTROL.search(whole):
        raise AuditError("it is no signed note")
    signatures, end = [], 0
    for line in _SIGNATURE.finditer(lines):
        if line.start() == end:
            signatures.append(_signature(line[1], line[2]))
            end = line.end()
    if not signatures or end != len(lines):
        raise AuditError("it is no signed note: after the blank line there are signature lines, and nothing else")
    return text + "\n", signatures


def _signature(name: str, encoded: str) -> Signature:
    try:
        signed = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        signed = b""
    # A base64 text can have spare bits at its end; only one spelling of a signature counts.
    if not is_name(name) or len(signed) <= _ID_BYTES or base64.b64encode(signed).decode("ascii") != encoded:
        raise AuditError("it is no signed note: one of its signature lines is damaged")
    return Signature(name, signed[:_ID_BYTES], signed[_ID_BYTES:])
