"""A signature of `ssh-keygen -Y sign`, taken apart strictly, and judged by `ssh-keygen -Y verify`.

The form is OpenSSH's PROTOCOL.sshsig. ssh-keygen itself reads more than it writes: other line lengths, bytes after the
end, bits of base64 that mean nothing, and a `reserved` field that no signature covers. Here only what it writes is
read, so that one signature has one form. It is ssh-keygen alone that says whether the signature is good; the rest says
which key made it, and for what.
"""

from __future__ import annotations

import os

from gate.errors import GateError
from gate.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO

BEGIN, END = b"-----BEGIN SSH SIGNATURE-----\n", b"-----END SSH SIGNATURE-----\n"
COLUMNS = 70
PROGRAM = "ssh-keygen"
# Fixed, and what an administrator alone can write first: the caller's PATH chooses nothing here.
PROGRAM_PATH = ("/usr/bin", "/bin", "/usr/local/bin")
TIMEOUT_S = 10
_MAGIC = b"SSHSIG\0\0\0\1"  # and version 1
_HASHES = (b"sha256", b"sha512")
_RSA = "ssh-rsa"
_KEY_TYPES = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    _RSA,
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)
_RSA_SIGNATURES = (b"rsa-sha2-256", b"rsa-sha2-512")
_NO = b"Could not verify signature."  # ssh-keygen.c, sig_verify(): it came as far as judging, and says no
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


class Signature(NamedTuple):
    """What a signature says of itself: the key that made it (`ssh-ed25519 AAAA…`), for which namespace."""

    key: str
    namespace: str


class SignatureError(GateError):
    """No signature in the form that ssh-keygen writes; the message says what is wrong."""


class CannotVerifyError(GateError):
    """A fault of this host, which says nothing about any signature; the message says what to do."""


def read(armour: bytes) -> Signature:
    """What an armoured signature says of itself. Nothing of it is certain before `verify`.

    Raises:
        SignatureError: it is not exactly one signature as ssh-keygen writes it.
    """
    blob = _dearmoured(armour)
    if not blob.startswith(_MAGIC):
        raise SignatureError("is no SSH signature of version 1")
    fields = _strings(blob[len(_MAGIC) :])
    if len(fields) != 5:  # noqa: PLR2004 - public key, namespace, reserved, hash, signature
        raise SignatureError("has not the parts of an SSH signature")
    key, namespace, reserved, digest, signature = fields
    kind = (_strings(key) or [b""])[0].decode("ascii", "replace")
    if kind not in _KEY_TYPES:
        raise SignatureError("is made by no type of key that is used here")
    by = (_strings(signature, rest=True) or [b""])[0]
    if reserved or digest not in _HASHES or by not in (_RSA_SIGNATURES if kind == _RSA else (kind.encode(),)):
        raise SignatureError("is made in a way that is not used here")
    return Signature(f"{kind} {_base64(key)}", namespace.decode("ascii", "replace"))


def fingerprint(key: str) -> str:
    """What `ssh-keygen -l` calls a key: `SHA256:…`."""
    import base64
    import hashlib

    digest = hashlib.sha256(base64.b64decode(key.split()[1])).digest()
    return f"SHA256:{_base64(digest).rstrip('=')}"


def verify(content: bytes, armour: bytes, namespace: str, person: str, keys: list[str]) -> bool:
    """Whether `armour` is a signature of `content` in `namespace` by one of `keys`, which are those of `person`.

    Raises:
        CannotVerifyError: ssh-keygen is missing, or did not come as far as judging.
    """
    import subprocess

    allowed = allowed_signers(namespace, person, keys)
    if not allowed:
        return False
    try:
        with _memory_file("allowed_signers", allowed) as signers, _memory_file("signature", armour) as signature:
            paths = [f"/proc/self/fd/{file.fileno()}" for file in (signers, signature)]
            command = [program(), "-Y", "verify", "-f", paths[0], "-I", person, "-n", namespace, "-s", paths[1]]
            done = subprocess.run(
                command,
                input=content,
                capture_output=True,
                env={},
                cwd="/",
                timeout=TIMEOUT_S,
                pass_fds=(signers.fileno(), signature.fileno()),
                check=False,
            )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotVerifyError(f"{PROGRAM} could not be run: {error}") from error
    if done.returncode == 0:
        return True
    if _NO in done.stdout:
        return False
    said = done.stderr.decode("ascii", "replace").strip()
    raise CannotVerifyError(f"{PROGRAM} exited {done.returncode} without judging: {said[:200]}")


def allowed_signers(namespace: str, person: str, keys: list[str]) -> bytes:
    """One line for each key, in the form of ssh-keygen(1), ALLOWED SIGNERS; empty where anything could be a pattern.

    `*`, `?`, `!` and `,` make a principal or a namespace a pattern, a blank or `"` would begin another field.
    """
    if not (person and _PLAIN.issuperset(person) and namespace and _PLAIN.union("@").issuperset(namespace)):
        return b""
    lines = [f'{person} namespaces="{namespace}" {key}\n' for key in keys if _is_key(key)]
    return "".join(lines).encode("ascii")


def program() -> str:
    """Where ssh-keygen is.

    Raises:
        CannotVerifyError: nowhere.
    """
    for directory in PROGRAM_PATH:
        path = os.path.join(directory, PROGRAM)
        if os.access(path, os.X_OK):
            return path
    raise CannotVerifyError(f"no {PROGRAM} in {', '.join(PROGRAM_PATH)}: install openssh-client")


def _is_key(key: str) -> bool:
    """Whether it is a type and base64 and nothing else: no option, no certificate, no second line."""
    import base64
    import binascii

    kind, _, text = key.partition(" ")
    try:
        blob = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return kind in _KEY_TYPES and _base64(blob) == text and (_strings(blob) or [b""])[0] == kind.encode()


def _dearmoured(armour: bytes) -> bytes:
    import base64
    import binascii

    text = armour.removeprefix(BEGIN).removesuffix(END)
    if BEGIN + text + END != armour:
        raise SignatureError("is not one armoured SSH signature with nothing after it")
    try:
        blob = base64.b64decode(text.replace(b"\n", b""), validate=True)
    except (binascii.Error, ValueError) as error:
        raise SignatureError("is not base64") from error
    whole = base64.b64encode(blob)
    lines = [whole[at : at + COLUMNS] + b"\n" for at in range(0, len(whole), COLUMNS)]
    if b"".join(lines) != text:
        raise SignatureError(f"is not base64 as {PROGRAM} writes it, in lines of {COLUMNS}")
    return blob


def _strings(blob: bytes, *, rest: bool = False) -> list[bytes]:
    """The strings (RFC 4251, section 5) that `blob` is made of; none where they do not end where it does.

    With `rest`, only the first; what comes after it has a form of its own.
    """
    fields, at = [], 0
    while at < len(blob):
        start = at + 4
        at = start + int.from_bytes(blob[at:start], "big")
        if start > len(blob) or at > len(blob):
            return []
        fields.append(blob[start:at])
        if rest:
            break
    return fields


def _base64(content: bytes) -> str:
    import base64

    return base64.b64encode(content).decode("ascii")


def _memory_file(name: str, content: bytes) -> IO[bytes]:
    """A file that has no name anywhere, for a child to read."""
    file = open(os.memfd_create(name, os.MFD_CLOEXEC), "w+b")  # noqa: SIM115 - the caller closes it
    file.write(content)
    file.flush()
    return file
