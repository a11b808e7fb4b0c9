"""`make screenshots`: every state of the page, wide and narrow, into docs/images; light when wide, dark when narrow."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from tests.support.browser import DESKTOP, PHONE, Browsers
from tests.support.page import PageServer
from tests.support.ports import free_port
from tests.support.site import APPROVER, CHECKOUT, Site
from tests.support.stage import Stage
from tests.support.states import STATES, State

IMAGES = CHECKOUT / "docs" / "images"
SIZES = {"desktop-light": (DESKTOP, "light"), "phone-dark": (PHONE, "dark")}


def main() -> int:
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if not chromium:
        print("make screenshots: no chromium on PATH: apt install chromium, or set CHROMIUM", file=sys.stderr)
        return 1
    IMAGES.mkdir(exist_ok=True)
    for old in IMAGES.glob("*.png"):
        old.unlink()
    with Browsers(chromium) as browsers:
        for state in STATES:
            _take(state, browsers)
    return 0


def _take(state: State, browsers: Browsers) -> None:
    rule = {"decide_within": "1d", **state.needs.get("rule", {})}
    for size, (viewport, scheme) in SIZES.items():
        with Site(rule=rule) as site:
            site.config["site"] = "build01.example.com"
            site.with_page(listen=f"127.0.0.1:{free_port()}")
            stage = Stage(site)
            with PageServer(site, state.needs.get("prelude", "")) as page:
                page.add_user(APPROVER)
                seen = browsers.open(viewport=viewport, color_scheme=scheme)
                state.go(cast("Any", SimpleNamespace(site=site, page=page, stage=stage)), seen)
                path = Path(IMAGES / f"{state.name}-{size}.png")
                seen.screenshot(path=path, full_page=True)
                browsers.close_all()
            stage.close()
            print(path.relative_to(CHECKOUT))


if __name__ == "__main__":
    sys.exit(main())
