"""A headless chromium, and what the tests ask of a page in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from playwright.sync_api import expect, sync_playwright

from tests.support.page import PASSWORD

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from playwright.sync_api import BrowserContext, Page

    from tests.support.page import PageServer

DESKTOP = {"width": 1200, "height": 900}
PHONE = {"width": 390, "height": 844}
# No sandbox: it needs rights that a container, or root, has not. The rest keeps it from looking for Google's hosts.
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


# Less than the 30 s after which a page looks by itself: what changed appears because the page is told.
expect.set_options(timeout=25_000)
WITHIN_MS = 60_000  # against hanging


class Browsers:
    """One browser process; each `open` is a browser of its own to the page: other cookies, another person."""

    def __init__(self, executable: str) -> None:
        self._executable = executable
        self._contexts: list[BrowserContext] = []

    def __enter__(self) -> Self:
        self._playwright = sync_playwright().start()
        self._browser = self._playwright.chromium.launch(
            executable_path=self._executable, args=_FLAGS, timeout=WITHIN_MS
        )
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _t: TracebackType | None
    ) -> None:
        self._browser.close()
        self._playwright.stop()

    def open(self, **options: Any) -> Page:
        """A new page in a context of its own; what goes wrong in it is kept in `faults_of`."""
        context = self._browser.new_context(**{"viewport": DESKTOP, "locale": "en-GB", **options})
        context.set_default_timeout(WITHIN_MS)
        self._contexts.append(context)
        page = context.new_page()
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(f"script: {error}"))
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.__dict__["faults"] = faults
        return page

    def close_all(self) -> None:
        """Close what `open` has opened."""
        for context in self._contexts:
            context.close()
        self._contexts = []


def log_in(page: Page, server: PageServer, person: str, path: str = "/", password: str = PASSWORD) -> None:
    """Log in by the form, and go on to `path`."""
    page.goto(server.url + path)
    page.get_by_label("Name").fill(person)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(server.url + path)


def log_in_by_link(page: Page, server: PageServer, person: str, path: str = "/") -> None:
    """Open what `gate page link` prints to that person, and go on to `path`."""
    page.goto(server.link(person))
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(server.url + "/")
    if path != "/":
        page.goto(server.url + path)


def faults_of(page: Page) -> list[str]:
    """What the browser complained of: errors of scripts, what the policy has blocked."""
    found: list[str] = page.__dict__["faults"]
    return found
