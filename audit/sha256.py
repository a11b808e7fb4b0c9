"""SHA-256 by CPython's own module where there is one: hashlib loads OpenSSL, which costs 3 ms of each stage of a job.

For little that is hashed; where much is, OpenSSL is faster.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hashlib import sha256
else:
    try:
        from _sha2 import sha256  # since Python 3.12
    except ImportError:
        try:
            from _sha256 import sha256
        except ImportError:  # a Python that leaves all hashes to OpenSSL, as some distributions build theirs
            from hashlib import sha256

__all__ = ["sha256"]
