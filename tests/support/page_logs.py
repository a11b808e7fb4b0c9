"""Audit logs as the page's index reads them, with the records and at the times that a test chooses.

Nothing is fsynced.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from audit import chain, segments
from gate.store.request import marks_of, record_of
from tests.support.gate_state import facts_of

if TYPE_CHECKING:
    from pathlib import Path

    from audit.chain import Head

START_MS = 1_790_000_000_000  # 2026-09-21, 14:13:20 UTC
NONCE = "0123456789abcdef" * 2
_ANSWERS = {"approved": "approve", "rejected": "reject"}


def key_of(number: int) -> str:
    """The key of the request of that job number."""
    return f"git.example-42-{number}"


class Log:
    """A log that grows in a directory. `wall_ms` and `boot_ms` are the clocks of the next record."""

    def __init__(self, directory: Path, log_id: str = "0" * 32) -> None:
        self.directory, self.log_id, self.segment = directory, log_id, segments.FIRST_SEGMENT
        self.wall_ms, self.boot_ms = START_MS, 5_000_000
        self._before: tuple[Head, str] | None = None
        self._lines: list[bytes] | None = None
        directory.mkdir(exist_ok=True)
        self.add("genesis")

    @property
    def path(self) -> Path:
        """The last segment."""
        return self.directory / segments.name(self.segment)

    def later(self, seconds: float) -> None:
        """Let both clocks go on."""
        self.wall_ms += int(seconds * 1000)
        self.boot_ms += int(seconds * 1000)

    def add(self, event: str, **fields: Any) -> None:
        """One record."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(self.wall_ms // 1000))
        stamp = {"time": f"{seconds}.{self.wall_ms % 1000:03}Z", "boottime": self.boot_ms}
        about = {**stamp, "host": "h", "version": "0"}
        (line,), head = chain.links(self._before, [{"event": event, **fields}], about, self.log_id)
        self._before = (head, self.log_id)
        self.write(line)

    def write(self, content: bytes) -> None:
        """Bytes as they are, at the end."""
        if self._lines is not None:
            self._lines.append(content)
            return
        with self.path.open("ab") as target:
            target.write(content)

    def next_segment(self) -> None:
        """Go on in another file, as an operator has it."""
        self.segment += 1
        self.path.touch()

    def keep(self) -> None:
        """Hold everything back until `flush`, for a log of many."""
        self._lines = []

    def flush(self) -> None:
        """Write what was held back."""
        content, self._lines = b"".join(self._lines or []), None
        self.write(content)

    def requested(self, number: int, **facts: Any) -> None:
        """A request that waits."""
        self._about(number, "requested", facts, rule="all", config="c", why="1 of alice", digest="2" * 64)

    def vote(self, number: int, person: str, answer: str, via: str = "page", nonce: str = NONCE, **by: Any) -> None:
        """A vote that was counted."""
        name = f"{person}.{'page-' if via == 'page' else ''}{nonce}.{answer}.json"
        of = {"person": person, "via": via, "uid": 1, "vote": name, **by}
        self._about(number, "vote", {}, by=of, decision=answer, comment=f"{person} says {answer}")

    def decided(self, number: int, word: str, person: str | None = None, via: str = "page", **facts: Any) -> None:
        """A decision, by a person where there is one."""
        by = {"by": {"person": person, "via": via, "uid": 1}} if person else {}
        said: Any = {"decision": word, "comment": "so be it", "why": f"{word} it is", **by}
        self._about(number, "decided", facts, rule="all", config="c", digest="2" * 64, **said)

    def released(self, number: int) -> None:
        """The moment that a job is let through."""
        self._about(number, "released", {}, rule="all", digest="2" * 64)

    def ended(self, number: int) -> None:
        """The end."""
        self._about(number, "ended", {}, why="it is over")

    def turned_away(self, number: int, file: str, via: str = "page") -> None:
        """A vote of the page, or a drop, that does not count."""
        dropped = {"name": file, "inode": "1", "ctime_ns": "2"}
        self._about(number, "drop-turned-away", {}, by={"person": "alice", "via": via}, drop=dropped, why="no")

    def whole(
        self, number: int, word: str = "approved", person: str = "alice", waited_s: float = 60, **facts: Any
    ) -> None:
        """A request from its beginning to its end."""
        self.requested(number, **facts)
        self.later(waited_s)
        answer = _ANSWERS.get(word)
        if answer:
            self.vote(number, person, answer)
        self.decided(number, word, person if answer else None, **facts)
        if word == "approved":
            self.released(number)
        self.ended(number)

    def cut(self, size: int) -> None:
        """Take away what is behind `size` bytes, as nobody may."""
        os.truncate(self.path, size)

    def _about(self, number: int, event: str, facts: Any, **fields: Any) -> None:
        about = facts_of(**{"job_id": number, **facts})
        self.add(event, request=key_of(number), job=record_of(about), **marks_of(about), **fields)
