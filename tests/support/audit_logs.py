"""Audit logs for the tests, and what may be done to their bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from audit import log

if TYPE_CHECKING:
    from pathlib import Path

VERSION = "0.1.0"


def add(directory: Path, event: str = "vote", request: str = "git.example.com-7-1", **more: Any) -> log.Head:
    return log.append(str(directory), {"event": event, "request": request, **more}, version=VERSION)


def filled(directory: Path, count: int) -> Path:
    """A log of a genesis and `count` records; returns its file."""
    for number in range(count):
        add(directory, comment=f"number {number}")
    return directory / "audit.1.jsonl"


def lines_of(file: Path) -> list[bytes]:
    return file.read_bytes().splitlines(keepends=True)
