"""The job log: lines of the runner's own, sections, and the drivers' output with masked values hidden."""

from __future__ import annotations

import re
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_CLEAR = "\x1b[0K"
_RESET = "\x1b[0;m"
_RED, _GREEN, _CYAN, _YELLOW = "\x1b[31;1m", "\x1b[32;1m", "\x1b[36;1m", "\x1b[0;33m"
MASK = b"[MASKED]"


class Masker:
    """Replaces phrases in a stream; what may be the beginning of one is held back until more has come."""

    def __init__(self, phrases: Iterable[bytes], write: Callable[[bytes], None]) -> None:
        self._phrases = sorted({phrase for phrase in phrases if phrase}, key=len, reverse=True)
        self._pattern = re.compile(b"|".join(map(re.escape, self._phrases))) if self._phrases else None
        self._write = write
        self._held = b""

    def feed(self, data: bytes) -> None:
        data = self._held + data
        cut = len(data) - self._unsure(data)
        for match in self._pattern.finditer(data) if self._pattern else ():
            if match.start() < cut < match.end():
                cut = match.start()
        self._held = data[cut:]
        self._pass_on(data[:cut])

    def close(self) -> None:
        self._pass_on(self._held)
        self._held = b""

    def _unsure(self, data: bytes) -> int:
        longest = max(map(len, self._phrases), default=1) - 1
        lengths = range(min(longest, len(data)), 0, -1)
        return next((n for n in lengths if any(p.startswith(data[-n:]) and len(p) > n for p in self._phrases)), 0)

    def _pass_on(self, data: bytes) -> None:
        if data:
            self._write(self._pattern.sub(MASK, data) if self._pattern else data)


class JobLog:
    """Writes as gitlab-runner does, colours included; `sections` is the payload's features.trace_sections."""

    def __init__(self, write: Callable[[bytes], None], phrases: Iterable[str], *, sections: bool) -> None:
        self._write = write
        self._phrases = [phrase.encode(errors="surrogateescape") for phrase in phrases]
        self._sections = sections

    def stream(self) -> Masker:
        """For one stdout or stderr of a driver."""
        return Masker(self._phrases, self._write)

    def line(self, text: str) -> None:
        self._send(f"{_CLEAR}{text}{_RESET}\n")

    def good(self, text: str) -> None:
        self._send(f"{_GREEN}{text}{_RESET}\n")

    def caution(self, text: str) -> None:
        self._send(f"{_YELLOW}WARNING: {text}{_RESET}\n")

    def fault(self, text: str) -> None:
        self._send(f"{_RED}ERROR: {text}{_RESET}\n")

    @contextmanager
    def section(self, name: str, title: str) -> Iterator[None]:
        self._mark("section_start", name)
        self.line(f"{_CYAN}{title}{_RESET}")
        try:
            yield
        finally:
            self._mark("section_end", name)

    def _mark(self, kind: str, name: str) -> None:
        if self._sections:
            self._send(f"{kind}:{int(time.time())}:{name}\r{_CLEAR}")

    def _send(self, text: str) -> None:
        masker = self.stream()
        masker.feed(text.encode(errors="replace"))
        masker.close()
