"""Hashes without `hashlib` and `hmac`, which load OpenSSL: 3 ms of each stage of a job (audit/sha256.py)."""

from __future__ import annotations

from audit.sha256 import sha256

__all__ = ["keyed_sha256", "sha256"]

_BLOCK_BYTES = 64
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))


def keyed_sha256(key: bytes, message: bytes) -> str:
    """HMAC-SHA256 in hex, as RFC 2104 has it."""
    block = (sha256(key).digest() if len(key) > _BLOCK_BYTES else key).ljust(_BLOCK_BYTES, b"\0")
    inner = sha256(block.translate(_INNER) + message).digest()
    return sha256(block.translate(_OUTER) + inner).hexdigest()
