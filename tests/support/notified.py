"""An `on_event` command for tests, and what it was told."""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tests.runner.gated import until

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self

_SCRIPT = """#!/bin/sh
# Keeps what it is told under a name of its own, then does as the test wants.
cat > "{base}/.$$" && tr '\\0' '\\n' < /proc/$$/environ > "{base}/.$$.new" && mv "{base}/.$$.new" "{base}/$$.env" && mv "{base}/.$$" "{base}/$$.json"
{then}
"""
HANG = 'while [ -d "{base}" ] && [ ! -e "{base}/go" ]; do sleep 0.05; done'


class Notified:
    """A command that keeps each message in `base`; what of it still runs is ended with the test."""

    def __init__(self, base: Path, then: str = "") -> None:
        self.base = base
        base.mkdir()
        script = base / "notify"
        script.write_text(_SCRIPT.format(base=base, then=then.format(base=base)), encoding="utf-8")
        script.chmod(0o755)
        self.command = [str(script)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _t: TracebackType | None
    ) -> None:
        for pid in self.running():
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)

    def messages(self, event: str | None = None) -> list[dict[str, Any]]:
        """Everything that was told, or that of one event."""
        found = [json.loads(path.read_bytes()) for path in self.base.glob("*.json")]
        return [message for message in found if event in (None, message["event"])]

    def one(self, event: str) -> dict[str, Any]:
        """The one message of that event, once it is there."""
        until(lambda: self.messages(event), f"told of {event}")
        (message,) = self.messages(event)
        return message

    def bytes_told(self) -> list[bytes]:
        """The messages as they were written."""
        return [path.read_bytes() for path in self.base.glob("*.json")]

    def environments(self) -> list[dict[str, str]]:
        """The environment that each command was started with."""
        texts = [path.read_text(encoding="utf-8") for path in self.base.glob("*.env")]
        return [dict(line.split("=", 1) for line in text.splitlines()) for text in texts]

    def running(self) -> list[int]:
        """The pids of those commands that have not ended."""
        return [int(path.stem) for path in self.base.glob("*.json") if self._runs(path.stem)]

    def _runs(self, pid: str) -> bool:
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as source:
                return self.command[0].encode() in source.read()
        except OSError:
            return False
