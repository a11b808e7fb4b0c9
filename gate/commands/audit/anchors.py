"""What `gate audit verify` holds the log against: heads that were kept elsewhere, out of job logs and checkpoints."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from audit.checkpoint import opened
from audit.keys import verifier
from audit.notes import NOTE_MAX_BYTES
from audit.trace import anchors_in
from gate.commands.fault import CommandError
from gate.store import audit_key
from gate.store.files import StateError

if TYPE_CHECKING:
    from audit.anchors import Anchor
    from audit.keys import Verifier


def of_trace(path: str) -> list[Anchor]:
    """The heads in a job log; `-` is stdin.

    Raises:
        AuditError: there is none.
        OSError: it cannot be read.
    """
    with click.open_file(path, "rb") as source:
        return anchors_in(source, "stdin" if path == "-" else path)


def of_checkpoints(paths: tuple[str, ...], keys: tuple[str, ...], state_dir: str) -> list[Anchor]:
    """The heads that checkpoints are of, each signed by one of the keys; where none is given, by that in `state_dir`.

    Raises:
        AuditError: one is no checkpoint, or none of the keys signed it.
        CommandError: there is no key to check with.
        OSError: one cannot be read.
    """
    if not paths:
        if keys:
            raise CommandError("--verifier-key is for --checkpoint, and none is given")
        return []
    known = [verifier(line) for key in keys for line in _key_lines(key)] or [_local_key(state_dir)]
    return [opened(_bytes_of(path), "stdin" if path == "-" else path, known) for path in paths]


def _key_lines(key: str) -> list[str]:
    """The keys that a word on the command line means: itself, or what stands in the file of that name."""
    if "+" in key and not os.path.exists(key):
        return [key]
    lines = [line for line in _bytes_of(key).decode("utf-8", "replace").splitlines() if line.strip()]
    if not lines:
        raise CommandError(f"{key} holds no verifier key")
    return lines


def _local_key(state_dir: str) -> Verifier:
    if not state_dir:
        raise CommandError(
            "--checkpoint needs a --verifier-key with --directory: a copy of a log has no key of its own"
        )
    try:
        return audit_key.load(state_dir).verifier
    except StateError as error:
        raise CommandError(f"--checkpoint needs a --verifier-key here: {error}") from error


def _bytes_of(path: str) -> bytes:
    with click.open_file(path, "rb") as source:
        return bytes(source.read(NOTE_MAX_BYTES + 1))
