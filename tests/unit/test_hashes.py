"""Our HMAC is the standard library's, of which its own tests compare it with those of RFC 4231."""

from __future__ import annotations

import hashlib
import hmac

from hypothesis import given
from hypothesis import strategies as st

from audit.sha256 import sha256
from gate.hashes import keyed_sha256


@given(key=st.binary(max_size=200), message=st.binary(max_size=300))
def test_keyed_hash_is_the_hmac_of_the_standard_library(key: bytes, message: bytes) -> None:
    assert keyed_sha256(key, message) == hmac.new(key, message, "sha256").hexdigest()
    assert sha256(message).hexdigest() == hashlib.sha256(message).hexdigest()
