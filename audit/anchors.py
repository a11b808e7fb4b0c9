"""Heads that were kept somewhere else, and what the log says of them."""

from __future__ import annotations

import re
from typing import NamedTuple

from audit.errors import AuditError

_WRITTEN = re.compile(r"(?:(?:gate: )?audit head )?(?:seq=)?([1-9][0-9]{0,15})(?::|\s+sha256=)([0-9a-f]{64})")


class Anchor(NamedTuple):
    """A head kept elsewhere: the log must have this record.

    Attributes:
        seq: the record's number.
        sha256: of its line, in hex.
        source: where it was kept, for messages.
        log_id: of the log that it is a head of; empty where the person who kept it does not know.
    """

    seq: int
    sha256: str
    source: str = "an anchor"
    log_id: str = ""


def parse(text: str) -> Anchor:
    """The anchor that `5:c3a2…` means, or `seq=5 sha256=c3a2…`, or all of the line that a job log has.

    Raises:
        AuditError: it is neither.
    """
    found = _WRITTEN.fullmatch(text.strip())
    if not found:
        raise AuditError(
            f"--anchor {text!r} is not SEQ:SHA256, as in a job log: the seq and the sha256 of an audit head"
        )
    return Anchor(int(found[1]), found[2], "--anchor")
