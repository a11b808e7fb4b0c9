"""A page that runs, requests on it, and a real browser to look with."""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.browser import Browsers
from tests.support.page import PageServer
from tests.support.ports import free_port
from tests.support.site import Site
from tests.support.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Shown:
    """A site, its page, and the stage to put requests on."""

    def __init__(self, site: Site, page: PageServer, stage: Stage) -> None:
        self.site, self.page, self.stage = site, page, stage


def _refuse_tracebacks(site: Site) -> None:
    log = (site.base / "page.log").read_text(errors="replace")
    assert "Traceback" not in log, log


@pytest.fixture
def shown() -> Iterator[Callable[..., Shown]]:
    """Starts a page: `shown(page={…}, rule={…}, **gate_yaml)`.

    At the Unix socket and on TCP, if nothing else is said.
    """
    with ExitStack() as stack:

        def start(
            *, page: dict[str, Any] | None = None, rule: dict[str, Any] | None = None, prelude: str = "", **config: Any
        ) -> Shown:
            site = stack.enter_context(Site(rule={"decide_within": "1d", **(rule or {})}, **config))
            site.with_page(**(page or {"socket": True, "listen": f"127.0.0.1:{free_port()}"}))
            stage = Stage(site)
            stack.callback(lambda: _refuse_tracebacks(site))
            stack.callback(stage.close)
            return Shown(site, stack.enter_context(PageServer(site, prelude)), stage)

        yield start


@pytest.fixture
def browser(browsers: Browsers) -> Iterator[Browsers]:
    """The browser, for one test: what it has opened is closed with it."""
    yield browsers
    browsers.close_all()


@pytest.fixture(scope="session")
def browsers() -> Iterator[Browsers]:
    """Debian's chromium, driven by Playwright."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if not chromium:
        pytest.skip("no chromium on PATH: apt install chromium, or set CHROMIUM; the page is not seen by a browser")
    with Browsers(chromium) as started:
        yield started
