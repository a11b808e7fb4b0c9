"""A page whose audit log cannot be read, from its start on: each page says so, and none fails for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.site import APPROVER

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.browser.conftest import Shown

    Start = Callable[..., Shown]

SAYS = "The audit log cannot be read, so this page may be behind: cannot use the audit log"


@pytest.mark.parametrize("index", ["kept", "new"])
def test_a_log_that_cannot_be_read_is_named_on_every_page(shown: Start, index: str) -> None:
    start = shown()
    waiting = start.stage.waiting()
    start.page.stop()
    (start.site.state / "audit").chmod(0)
    if index == "new":
        (start.site.state / "page" / "index.sqlite").unlink()
    start.page.start()

    client = start.page.client(APPROVER)
    replies = {
        path: client.get(path) for path in ("/", f"/requests/{waiting.key}", "/history", "/history.json", "/none")
    }
    said = {path: (reply.status, SAYS in reply.text) for path, reply in replies.items() if path != "/history.json"}
    assert said == {
        "/": (200, True),
        f"/requests/{waiting.key}": (200, True),
        "/history": (200, True),
        "/none": (404, True),
    }
    assert replies["/history.json"].status == 200

    (start.site.state / "audit").chmod(0o750)
