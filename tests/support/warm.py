"""Processes of the `gate` command that import nothing: forks of one that has it all (tests/support/warm_gate.py)."""

from __future__ import annotations

import atexit
import functools
import grp
import json
import os
import pwd
import select
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from tests.support import warm_gate

if TYPE_CHECKING:
    import signal
    from collections.abc import Mapping, Sequence


class Forked:
    """A process of `gate`, as far as subprocess.Popen has the same; its parent is the process that was forked."""

    def __init__(
        self,
        words: Sequence[str],
        log: int,
        *,
        prelude: str = "",
        user: str | None = None,
        groups: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Start `gate` with these words, in /; what it says goes to the descriptor `log`.

        Args:
            prelude: Python that it runs first.
            user, groups: who it is; None: who runs the tests.
            env: its environment; None: that of the tests.
        """
        entry = pwd.getpwnam(user) if user else None
        asked = {
            "words": words,
            "prelude": prelude,
            "user": entry and {"uid": entry.pw_uid, "gid": entry.pw_gid},
            "groups": [grp.getgrnam(name).gr_gid for name in groups],
            "environment": dict(os.environ if env is None else env),
        }
        self.pid = _ask(asked, log)
        self._end = os.pidfd_open(self.pid)
        self._status: int | None = None

    def poll(self) -> int | None:
        """Its exit status, as Popen has it; None while it runs."""
        if self._status is None and self._has_ended(0):
            self._status = _ask({"ended": self.pid})
            os.close(self._end)
        return self._status

    def wait(self, timeout_s: float) -> int:
        """Its exit status, once it has ended; raises TimeoutError."""
        if self._status is None and not self._has_ended(timeout_s):
            raise TimeoutError(f"process {self.pid} has not ended within {timeout_s} s")
        status = self.poll()
        assert status is not None
        return status

    def send_signal(self, sig: signal.Signals) -> None:
        """Send it a signal; nothing happens where it has ended."""
        if self.poll() is None:
            os.kill(self.pid, sig)

    def _has_ended(self, within_s: float) -> bool:
        return bool(select.select([self._end], [], [], within_s)[0])


def _ask(asked: dict[str, Any], *descriptors: int) -> int:
    channel = _channel()
    socket.send_fds(channel, [json.dumps(asked).encode()], descriptors)
    return int(channel.recv(64))


@functools.cache
def _channel() -> socket.socket:
    """To the process that forks; it ends when this one does."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        words = [sys.executable, "-I", "-B", warm_gate.__file__, str(theirs.fileno())]
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], cwd="/")

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours
