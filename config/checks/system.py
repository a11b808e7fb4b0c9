"""What the checks ask the host for: files in /proc and /etc, a program's output, the clock."""

import ctypes
import os
import subprocess
import time
from typing import Protocol

TOOL_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PROGRAM_WITHIN_S = 10
_TIMEX_BYTES = 256  # struct timex is 208 on a 64-bit Linux
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronized


class System(Protocol):
    """The host, as far as the checks ask it."""

    def text(self, path: str) -> str | None:
        """Return what is in a file, None where it cannot be read."""

    def names(self, directory: str) -> list[str]:
        """Return the names in a directory, sorted; none where it cannot be read."""

    def output(self, *command: str) -> str | None:
        """Return what a program prints, None where it cannot be run or fails."""

    def clock_is_set(self) -> bool:
        """Return whether something keeps the host's clock right."""

    def now_s(self) -> float:
        """Return the wall clock, in seconds since 1970."""


class HostSystem:
    """The host that this runs on."""

    def text(self, path: str) -> str | None:
        """See `System`."""
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return None

    def names(self, directory: str) -> list[str]:
        """See `System`."""
        try:
            return sorted(os.listdir(directory))
        except OSError:
            return []

    def output(self, *command: str) -> str | None:
        """See `System`."""
        environment = {"PATH": TOOL_PATH, "LANG": "C.UTF-8", "HOME": "/", "SYSTEMD_PAGER": "cat"}
        options = {"stdin": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdout": subprocess.PIPE}
        try:
            done = subprocess.run(command, check=False, env=environment, timeout=PROGRAM_WITHIN_S, **options)  # type: ignore[call-overload]
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None

    def clock_is_set(self) -> bool:
        """See `System`; adjtimex(2) tells, whichever program it is that keeps it."""
        state: int = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
        return state != _TIME_ERROR

    def now_s(self) -> float:
        """See `System`."""
        return time.time()
