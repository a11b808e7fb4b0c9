"""A person's SSH public key, as a line of a .pub file (sshd(8), AUTHORIZED_KEYS FILE FORMAT).

The key is loaded and not only decoded: a line cut short, or one whose two halves come from different keys, would
otherwise be found out when its person's first signature does not count.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

from config.faults import quoted

RSA_MIN_BITS = 2048
TYPES = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)
_AGAIN = "copy the line from the .pub file again"


def bare(line: str) -> str:
    """Return the type and base64 of a faultless key, without the comment."""
    return " ".join(line.split()[:2])


def fingerprint(line: str) -> str:
    """Return what `ssh-keygen -l` calls a faultless key.

    cryptography's ssh_key_fingerprint() does not do for a security key (sk-…): it loads as the plain key in it.
    """
    digest = hashlib.sha256(base64.b64decode(line.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def fault(line: str) -> str | None:
    """Return what is wrong with a key and what to write instead, None where nothing is."""
    kind, text = (*line.split(), "", "")[:2]
    if kind not in TYPES:
        return _wrong_type(kind, line)
    blob = _decoded(text)
    if blob is None:
        return f"the base64 of this {kind} key does not decode: {_AGAIN}"
    inner = _split(blob)[0].decode("ascii", "replace")
    if inner != kind and inner in TYPES:
        return f"the line says {kind}, and the key in it {quoted(inner)}: {_AGAIN}"
    return _unfit(kind, text, blob)


def _wrong_type(kind: str, line: str) -> str:
    if "-cert-v0" in kind:
        return (
            f"{quoted(kind)} is a certificate, and only keys are used here: write the line of the key's own .pub file"
        )
    if re.search(rf"\s({'|'.join(map(re.escape, TYPES))})\s", line):
        return f"options such as {quoted(kind)} are not used here: begin with the type of the key"
    return f"{quoted(kind)} is no type of key that is used here: write a key of type {', '.join(TYPES)}"


def _decoded(text: str) -> bytes | None:
    """Return the bytes in base64 that is written in the one way that there is, None for any other."""
    try:
        blob = binascii.a2b_base64(text.encode(), strict_mode=True)
    except binascii.Error:
        return None
    return blob if base64.b64encode(blob).decode() == text else None


def _split(blob: bytes) -> tuple[bytes, bytes]:
    """Return the first string (RFC 4251, section 5) of a key, which is its type, and what follows."""
    end = 4 + int.from_bytes(blob[:4], "big")
    return blob[4:end], blob[end:]


def _unfit(kind: str, text: str, blob: bytes) -> str | None:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_public_key

    try:
        key = load_ssh_public_key(f"{kind} {text}".encode())
        plain = base64.b64decode(key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).split()[1])
    except (ValueError, NotImplementedError, UnsupportedAlgorithm):
        plain = b""
    # In the one way to write its numbers: two would make two keys of one. After those of an sk-… key comes what it is
    # for.
    if not plain or not _split(blob)[1].startswith(_split(plain)[1]):
        return f"this {kind} key is cut short or damaged: {_AGAIN}"
    if isinstance(key, RSAPublicKey) and key.key_size < RSA_MIN_BITS:
        return f"an ssh-rsa key of {key.key_size} bits can be forged: make one with ssh-keygen -t ed25519"
    return None
