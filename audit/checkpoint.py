"""Checkpoints: a head of the log, signed, to be kept elsewhere (docs/reference/audit-log.md, "Checkpoints").

With one and the verifier key there is no need to trust the people who handed it on. It is no checkpoint of a
transparency log (c2sp.org/tlog-checkpoint): those sign the root of a tree, and this log is a chain (ADR 14).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from audit import segments
from audit.anchors import Anchor
from audit.errors import AuditError
from audit.lock import Locked
from audit.log import sure_end
from audit.notes import open_note, sign
from audit.reading import unusable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from audit.chain import Head
    from audit.keys import Signer, Verifier

_TEXT = "gitlab-runner-gate audit checkpoint v1\nlog {}\naudit head seq={} sha256={}\n"
_READ = re.compile(_TEXT.format("([0-9a-f]{32})", "([1-9][0-9]{0,15})", "([0-9a-f]{64})"))


def made(directory: str, signer: Signer) -> str:
    """A checkpoint of the log's last record, which is certainly on disk then, so that no power cut can belie it.

    It says what the log ends with, not that the log is sound: verify() does.

    Raises:
        AuditError: there is no record yet, or the log cannot be used.
    """
    try:
        with Locked(directory) as folder:
            last = _last(directory, folder)
    except OSError as error:
        raise unusable(directory, error) from error
    if last is None:
        raise AuditError(f"the audit log in {directory} holds no record yet")
    head, log_id = last
    return sign(_TEXT.format(log_id, head.seq, head.sha256), signer)


def opened(note: bytes, name: str, known: Sequence[Verifier]) -> Anchor:
    """The head that a checkpoint is of, once its signature is found to be by one of the known keys.

    Args:
        note: the checkpoint.
        name: what messages call it.
        known: the keys that count.

    Raises:
        AuditError: it is no checkpoint, or none of these keys signed it.
    """
    try:
        text, _signers = open_note(note, known)
    except AuditError as error:
        raise AuditError(f"{name}: {error}") from error
    found = _READ.fullmatch(text)
    if not found:
        raise AuditError(f"{name}: it is a signed note, but no checkpoint of an audit log")
    return Anchor(int(found[2]), found[3], name, found[1])


def _last(directory: str, folder: int) -> tuple[Head, str] | None:
    for number in reversed(segments.numbers(folder)):
        last, _end, _torn_bytes = sure_end(directory, folder, number)
        if last:
            return last
    return None
