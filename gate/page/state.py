"""All that the page holds while it runs, and the thread that follows the audit log."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

from aiohttp import web

from audit.log import AuditError
from gate.clock import boottime_ms
from gate.page.auth import form_tokens
from gate.page.auth.accounts import Accounts
from gate.page.auth.sessions import Sessions
from gate.page.auth.throttle import Attempts
from gate.page.history.index import Index
from gate.page.links import Links
from gate.page.often import Answers
from gate.page.requests import Book
from gate.store import layout

if TYPE_CHECKING:
    from gate.page.rulebook import Rulebook
    from gate.shapes import Policy

FOLLOW_EVERY_S = 0.2
ARGON2_AT_ONCE = 2  # each takes 64 MiB and a core for a moment


class Changes:
    """How often the index has changed, and a way to wait for the next time."""

    def __init__(self) -> None:
        """Nothing has changed yet."""
        self.version = 0
        self._event = asyncio.Event()

    def tell(self) -> None:
        """Wake everybody who waits."""
        self.version += 1
        self._event.set()
        self._event = asyncio.Event()

    async def after(self, version: int, within_s: float) -> bool:
        """Wait until the version is another; False where that took too long."""
        if self.version != version:
            return True
        with contextlib.suppress(asyncio.TimeoutError):
            async with asyncio.timeout(within_s):
                await self._event.wait()
        return self.version != version


class Page:
    """The page of one gate.yaml."""

    def __init__(self, rulebook: Rulebook) -> None:
        """Open what lies in `page/`.

        Raises:
            StateError: it is not there, or not the page's own.
        """
        self.rulebook = rulebook
        self.state_dir: str = rulebook.policy["state_dir"]
        directory = layout.own_page(rulebook.policy)
        self.accounts = Accounts(directory)
        self.sessions = Sessions(boottime_s)
        self.links = Links(boottime_s)
        self.attempts = Attempts(boottime_s)
        self.answers = Answers(boottime_s)
        # Of people who are logged in, whom no one at the door can slow down.
        self.attempts_within = Attempts(boottime_s)
        self.tokens = form_tokens.Tokens(form_tokens.key_in(directory), time.time)
        self.changes = Changes()
        self.hashing = asyncio.Semaphore(ARGON2_AT_ONCE)
        # A form's nonce: the keys of the requests that it answers together, and why one was not even left, or "".
        self.bulk: dict[str, list[tuple[str, str]]] = {}
        self.viewers: Counter[str] = Counter()  # live ones, by whose they are
        self.index = Index(os.path.join(directory, "index.sqlite"), layout.audit(self.state_dir))
        self.book = Book(self.state_dir, self.index, lambda: self.policy)
        self.log_fault = ""
        self.is_current = False  # whether the index has once caught up with the log
        self.ending = asyncio.Event()
        self._stopping = threading.Event()
        self._follower: threading.Thread | None = None

    @property
    def policy(self) -> Policy:
        """gate.yaml's policy, of its last sound form."""
        return self.rulebook.policy

    def end(self) -> None:
        """Have the page end: visitors of live pages are let go."""
        self.ending.set()
        self.changes.tell()

    def follow(self) -> None:
        """Follow the audit log, from now on until `stop`."""
        loop = asyncio.get_running_loop()
        self._follower = threading.Thread(target=self._keep_following, args=(loop,), name="follower", daemon=True)
        self._follower.start()

    def stop(self) -> None:
        """Stop following."""
        self._stopping.set()
        if self._follower:
            self._follower.join()

    def _keep_following(self, loop: asyncio.AbstractEventLoop) -> None:
        while not self._stopping.is_set():
            fault, taken = "", 0
            try:
                taken = self.index.catch_up()
            except AuditError as error:
                fault = str(error)
            except Exception as error:  # noqa: BLE001  a full disk, say: what waits is still to be seen
                fault = f"the page's index cannot be written: {error}"
            if taken or fault != self.log_fault or not self.is_current:
                self._tell(fault, loop, current=not fault and not taken)
            if not taken:
                self._stopping.wait(FOLLOW_EVERY_S)

    def _tell(self, fault: str, loop: asyncio.AbstractEventLoop, *, current: bool) -> None:
        if fault != self.log_fault:
            say(fault or "the audit log can be read again")
        self.log_fault = fault
        self.is_current = self.is_current or current
        with contextlib.suppress(RuntimeError):  # the loop is closed: the page is ending
            loop.call_soon_threadsafe(self.changes.tell)


PAGE = web.AppKey("page", Page)


def boottime_s() -> float:
    """Seconds since boot; cannot be set."""
    return boottime_ms() / 1000


def say(line: str) -> None:
    """One line to the page's own log."""
    print(f"page: {line}", file=sys.stderr, flush=True)
