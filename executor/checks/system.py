"""What the checks ask the host for: files in /proc and /etc, a program's output, the clock."""

import ctypes
import re
import subprocess
import time
from typing import Protocol

from gate import TOOL_PATH

PROGRAM_WITHIN_S = 10
_TIMEX_BYTES = 256  # struct timex is 208 on a 64-bit Linux
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronized


class System(Protocol):
    """The host, as far as the checks ask it."""

    def text(self, path: str) -> str | None:
        """Return what is in a file, None where it cannot be read."""

    def output(self, *command: str) -> str | None:
        """Return what a program prints, None where it cannot be run or fails."""

    def said(self, *command: str) -> str:
        """Return what a program says, on stdout and stderr, and however it ends; empty where it cannot be run."""

    def clock_is_set(self) -> bool | None:
        """Return whether something keeps the host's clock right, None where that is unknown."""

    def now_s(self) -> float:
        """Return the wall clock, in seconds since 1970."""


def version_of(program: str, system: System) -> tuple[int, int] | None:
    """Return the version of a gitlab-runner, None where it does not tell."""
    found = re.search(r"^Version:\s*(\d+)\.(\d+)", system.said(program, "--version"), re.MULTILINE)
    return (int(found[1]), int(found[2])) if found else None


def dotted(version: tuple[int, int]) -> str:
    """Return a version as people write it."""
    return f"{version[0]}.{version[1]}"


class HostSystem:
    """The host that this runs on."""

    def text(self, path: str) -> str | None:
        """See `System`."""
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return None

    def output(self, *command: str) -> str | None:
        """See `System`."""
        try:
            done = self._run(command, subprocess.DEVNULL)
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None

    def said(self, *command: str) -> str:
        """See `System`."""
        try:
            return self._run(command, subprocess.STDOUT).stdout.decode("utf-8", "replace")
        except (OSError, subprocess.SubprocessError):
            return ""

    def clock_is_set(self) -> bool | None:
        """See `System`; adjtimex(2) tells, whichever program it is that keeps it. Containers may not ask it."""
        state: int = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
        return None if state < 0 else state != _TIME_ERROR

    def now_s(self) -> float:
        """See `System`."""
        return time.time()

    @staticmethod
    def _run(command: tuple[str, ...], stderr: int) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(
            command,
            check=False,
            env={"PATH": TOOL_PATH, "LANG": "C.UTF-8", "HOME": "/", "SYSTEMD_PAGER": "cat"},
            timeout=PROGRAM_WITHIN_S,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
        )
