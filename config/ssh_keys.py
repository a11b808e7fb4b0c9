"""A person's SSH public key, as a line of a .pub file (sshd(8), AUTHORIZED_KEYS FILE FORMAT; RFC 4253, section 6.6).

The key is taken apart and not only decoded: a line cut short, or one whose two halves come from different keys, would
otherwise be found out when its person's first signature does not count.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

from config.faults import quoted

RSA_MIN_BITS = 2048

# What follows the type inside the key: these very bytes, so many bytes, or (None) any but none.
_SHAPES: dict[str, tuple[bytes | int | None, ...]] = {
    "ssh-ed25519": (32,),
    "ecdsa-sha2-nistp256": (b"nistp256", 65),
    "ecdsa-sha2-nistp384": (b"nistp384", 97),
    "ecdsa-sha2-nistp521": (b"nistp521", 133),
    "ssh-rsa": (None, None),
    "sk-ssh-ed25519@openssh.com": (32, None),
    "sk-ecdsa-sha2-nistp256@openssh.com": (b"nistp256", 65, None),
}
_AGAIN = "copy the line from the .pub file again"


def bare(line: str) -> str:
    """Return the type and base64 of a faultless key, without the comment."""
    return " ".join(line.split()[:2])


def fingerprint(line: str) -> str:
    """Return what `ssh-keygen -l` calls a faultless key."""
    digest = hashlib.sha256(base64.b64decode(line.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def fault(line: str) -> str | None:
    """Return what is wrong with a key and what to write instead, None where nothing is."""
    kind, text = (*line.split(), "", "")[:2]
    if kind not in _SHAPES:
        return _wrong_type(kind, line)
    blob = _decoded(text)
    if blob is None:
        return f"the base64 of this {kind} key does not decode: {_AGAIN}"
    fields = _fields(blob)
    if fields is None:
        return f"this {kind} key is cut short or damaged: {_AGAIN}"
    inner = fields[0].decode("ascii", "replace")
    if inner != kind:
        return f"the line says {kind}, and the key in it {quoted(inner)}: {_AGAIN}"
    if not _fits(fields[1:], _SHAPES[kind]):
        return f"this {kind} key is cut short or damaged: {_AGAIN}"
    return _weak(fields) if kind == "ssh-rsa" else None


def _wrong_type(kind: str, line: str) -> str:
    if "-cert-v0" in kind:
        return (
            f"{quoted(kind)} is a certificate, and only keys are used here: write the line of the key's own .pub file"
        )
    if re.search(rf"\s({'|'.join(map(re.escape, _SHAPES))})\s", line):
        return f"options such as {quoted(kind)} are not used here: begin with the type of the key"
    return f"{quoted(kind)} is no type of key that is used here: write a key of type {', '.join(_SHAPES)}"


def _decoded(text: str) -> bytes | None:
    """Return the bytes in base64 that is written in the one way that there is, None for any other."""
    try:
        blob = binascii.a2b_base64(text.encode(), strict_mode=True)
    except binascii.Error:
        return None
    return blob if base64.b64encode(blob).decode() == text else None


def _fields(blob: bytes) -> list[bytes] | None:
    """Return the strings (RFC 4251, section 5) that a key is made of, None where they do not end where it does."""
    fields, at = [], 0
    while at < len(blob):
        start = at + 4
        at = start + int.from_bytes(blob[at:start], "big")
        fields.append(blob[start:at])
    return fields if fields and at == len(blob) else None


def _fits(fields: list[bytes], shape: tuple[bytes | int | None, ...]) -> bool:
    pairs = zip(fields, shape, strict=False)
    return len(fields) == len(shape) and all(field and want in (None, field, len(field)) for field, want in pairs)


def _weak(fields: list[bytes]) -> str | None:
    exponent, modulus = (int.from_bytes(field, "big") for field in fields[1:])
    if [_mpint(exponent), _mpint(modulus)] != fields[1:]:
        return f"this ssh-rsa key is cut short or damaged: {_AGAIN}"
    if modulus.bit_length() < RSA_MIN_BITS:
        return f"an ssh-rsa key of {modulus.bit_length()} bits can be forged: make one with ssh-keygen -t ed25519"
    return None


def _mpint(number: int) -> bytes:
    """Return the one way to write a positive number (RFC 4251): two would make two keys of one."""
    return number.to_bytes(number.bit_length() // 8 + 1, "big")
