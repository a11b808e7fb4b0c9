"""The approval page of `make demo`: started beside the runner, with a password made for this one demo."""

from __future__ import annotations

import os
import secrets
import subprocess
import time
import webbrowser
from typing import TYPE_CHECKING

from tests.support.demo_gate import DemoError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from tests.support.demo_gate import DemoGate

STARTS_WITHIN_S = 30


class DemoPage:
    """`gate page`, for as long as the demo lasts."""

    def __init__(self, gate: DemoGate) -> None:
        self._gate = gate
        self._log = gate.base / "page.log"
        self.password = "-".join(secrets.token_hex(2) for _ in range(4))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start it; raises DemoError where it does not serve."""
        words = self._gate.command("user", "add", self._gate.person, "--password-stdin")
        added = subprocess.run(words, input=self.password, capture_output=True, text=True, check=False, timeout=60)
        if added.returncode:
            raise DemoError(f"gate user add: {added.stderr.strip()}")
        with self._log.open("ab") as log:
            command = self._gate.command("page")
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        give_up = time.monotonic() + STARTS_WITHIN_S
        while "serves http" not in self._said():
            if self._process.poll() is not None or time.monotonic() > give_up:
                self.__exit__(None, None, None)
                raise DemoError(f"the page does not start: {self._said().strip()}")
            time.sleep(0.05)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _t: TracebackType | None
    ) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait(20)

    def open(self, path: str) -> bool:
        """Open it in a browser, where this terminal has a screen beside it."""
        has_screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
        return bool(has_screen) and webbrowser.open(self._gate.url + path)

    def _said(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""
