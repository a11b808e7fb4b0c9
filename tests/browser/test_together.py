"""Several requests at once: rejected by selecting them, approved only once each one's script was on the screen."""

from __future__ import annotations

import html
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.support.browser import DESKTOP, PHONE, faults_of, log_in
from tests.support.page import SAME_ORIGIN
from tests.support.site import APPROVER

if TYPE_CHECKING:
    from collections.abc import Callable

    from gate.store.request import Request
    from tests.browser.conftest import Shown
    from tests.support.browser import Browsers
    from tests.support.page import Client, Reply

    Start = Callable[..., Shown]


def votes(request: Request) -> list[str]:
    """What lies in a request's votes/."""
    return sorted(path.name for path in (Path(request.directory) / "votes").iterdir())


def picks_of(reply: Reply) -> list[str]:
    return [html.unescape(value) for value in re.findall(r'name="pick" value="([^"]*)"', reply.body)]


def listed(client: Client, *requests: Request) -> Reply:
    """What waits, once the page has read so far in the audit log."""
    give_up = time.monotonic() + 60
    while True:
        reply = client.get("/")
        if all(f"/requests/{each.key}" in reply.body or f"<li>{each.key}:" in reply.body for each in requests):
            return reply
        assert time.monotonic() < give_up, reply.text
        time.sleep(0.05)


def selecting(client: Client, requests: list[Request], answer: str) -> list[tuple[str, str]]:
    token = listed(client, *requests).field("token")
    picks = [("pick", f"{each.key} {each.opened['digest']}") for each in requests]
    return [("token", token), ("answer", answer), *picks]


@pytest.mark.parametrize("options", [{}, {"java_script_enabled": False, "viewport": PHONE}], ids=["script", "none"])
def test_selected_ones_are_approved_only_after_all_their_scripts_were_shown(
    shown: Start, browser: Browsers, options: dict[str, Any]
) -> None:
    start = shown()
    start.page.add_user(APPROVER)
    scripts = {name: f"echo this-is-{name}" for name in ("one", "two", "three")}
    requests = {name: start.stage.waiting(name=name, script=[line]) for name, line in scripts.items()}
    seen = browser.open(**{"viewport": DESKTOP, **options})
    log_in(seen, start.page, APPROVER)
    for name in scripts:
        seen.get_by_role("checkbox", name=name).check()
    seen.get_by_label("Comment").fill("all of you")
    seen.get_by_role("button", name="Approve").click()
    expect(seen.get_by_role("heading", name="Approve together")).to_be_visible()
    for line in scripts.values():
        expect(seen.get_by_text(line, exact=True)).to_be_visible()
    assert [votes(each) for each in requests.values()] == [[], [], []]
    expect(seen.get_by_label("Comment")).to_have_value("all of you")
    seen.get_by_role("checkbox", name="two").uncheck()
    seen.get_by_role("button", name="Approve").click()
    expect(seen.get_by_role("heading", name="Result")).to_be_visible()
    assert [len(votes(each)) for each in requests.values()] == [1, 0, 1]
    assert faults_of(seen) == []


def test_selecting_alone_rejects_and_does_not_approve(shown: Start) -> None:
    start = shown()
    requests = [start.stage.waiting(), start.stage.waiting()]
    client = start.page.client(APPROVER)
    reply = client.post("/decide", selecting(client, requests, "approve"))
    assert (reply.status, [votes(each) for each in requests]) == (200, [[], []])
    reply = client.post("/decide", selecting(client, requests, "reject"))
    assert (reply.status, [len(votes(each)) for each in requests]) == (303, [1, 1])


FORGED: dict[str, Callable[[list[str], Request, Request], list[str]]] = {
    "a digest in its place": lambda _picks, one, _other: [f"{one.key} {one.opened['digest']}"],
    "nothing in its place": lambda _picks, one, _other: [one.key, f"{one.key} "],
    "another's": lambda picks, _one, other: [f"{other.key} {picks[0].split()[1]}"],
    "one that was not shown": lambda _picks, _one, other: [f"{other.key} {other.opened['digest']}"],
    "no text": lambda _picks, one, _other: [f"{one.key} \udcff"],
}


@pytest.mark.parametrize("case", FORGED)
def test_what_was_not_shown_is_not_approved_whatever_the_form_says(shown: Start, case: str) -> None:
    start = shown()
    one, other = start.stage.waiting(), start.stage.waiting()
    client = start.page.client(APPROVER)
    confirm = client.post("/decide", selecting(client, [one], "approve"))
    picks = [("pick", each.encode("utf-8", "replace").decode()) for each in FORGED[case](picks_of(confirm), one, other)]
    reply = client.post("/decide/shown", [("token", confirm.field("token")), *picks])
    assert (reply.status, votes(one), votes(other)) == (303, [], [])
    assert "What you were shown is not what waits" in client.get(reply.headers["Location"]).text


def test_the_page_of_selecting_is_no_page_of_showing(shown: Start) -> None:
    start = shown()
    one = start.stage.waiting()
    client = start.page.client(APPROVER)
    confirm = client.post("/decide", selecting(client, [one], "approve"))
    form = [("token", client.get("/").field("token")), *[("pick", each) for each in picks_of(confirm)]]
    assert (client.post("/decide/shown", form).status, votes(one)) == (403, [])


def test_what_changed_after_it_was_shown_is_not_approved(shown: Start) -> None:
    start = shown(page={"socket": True, "login_link": False})  # a session would end with the page
    one = start.stage.waiting()
    client = start.page.client(APPROVER)
    confirm = client.post("/decide", selecting(client, [one], "approve"))
    path = Path(one.directory) / "request.json"
    path.write_text(path.read_text().replace(one.opened["digest"], "f" * 64))
    start.page.stop()
    start.page.start()  # which reads it again; a form outlives that
    form = [("token", confirm.field("token")), *[("pick", each) for each in picks_of(confirm)]]
    reply = client.post("/decide/shown", form)
    assert (reply.status, votes(one)) == (303, [])
    assert "What you were shown is not what waits" in client.get(reply.headers["Location"]).text


NOT_SHOWN: dict[str, Callable[[Path], object]] = {
    "gone": lambda path: path.unlink(),
    "broken": lambda path: path.write_text("{"),
    "of another job": lambda path: path.write_text(path.read_text().replace("0" * 64, "1" * 64)),
    "too large": lambda path: path.write_text(path.read_text().replace('"too_large": null', '"too_large": 9999999')),
}


@pytest.mark.parametrize("case", NOT_SHOWN)
def test_what_cannot_be_shown_has_no_box_and_is_not_approved_with_others(shown: Start, case: str) -> None:
    start = shown()
    hidden, open_one = start.stage.waiting(name="hidden"), start.stage.waiting(name="open")
    NOT_SHOWN[case](Path(hidden.directory) / "content.json")
    client = start.page.client(APPROVER)
    assert [each.split()[0] for each in picks_of(listed(client, hidden, open_one))] == [open_one.key]
    confirm = client.post("/decide", selecting(client, [hidden, open_one], "approve"))
    assert [each.split()[0] for each in picks_of(confirm)] == [open_one.key]
    assert "cannot be shown here: approve it by itself" in confirm.text
    assert client.post("/decide", selecting(client, [hidden], "reject")).status == 303
    assert len(votes(hidden)) == 1


def test_more_than_a_page_holds_is_left_for_one_by_one(shown: Start) -> None:
    start = shown()
    small, large = start.stage.waiting(), start.stage.waiting(script=["x" * 1_100_000])
    client = start.page.client(APPROVER)
    confirm = client.post("/decide", selecting(client, [small, large], "approve"))
    assert [each.split()[0] for each in picks_of(confirm)] == [small.key]
    assert "too much for one page" in confirm.text
    assert len(confirm.body) < 1_000_000


def test_with_bulk_false_nothing_can_be_selected_or_sent(shown: Start) -> None:
    start = shown()
    one = start.stage.waiting()
    client = start.page.client(APPROVER)
    before = selecting(client, [one], "reject")
    confirm = client.post("/decide", selecting(client, [one], "approve"))
    start.site.config["page"]["bulk"] = False
    start.site.write()
    waits = client.get("/")
    assert (picks_of(waits), "Decide the selected ones" in waits.text) == ([], False)
    form = [("token", confirm.field("token")), *[("pick", each) for each in picks_of(confirm)]]
    for path, sent in (("/decide", before), ("/decide/shown", form)):
        reply = client.post(path, sent)
        assert (reply.status, votes(one)) == (403, [])
        assert "bulk: false" in reply.text
    assert client.vote(one.key, "approve").status == 303


def test_the_confirmation_is_this_page_s_own_form_and_does_nothing_by_get(shown: Start) -> None:
    start = shown()
    one = start.stage.waiting()
    client = start.page.client(APPROVER)
    confirm = client.post("/decide", selecting(client, [one], "approve"))
    form = [("token", confirm.field("token")), *[("pick", each) for each in picks_of(confirm)]]
    assert client.get("/decide/shown").status == 405
    assert client.post("/decide/shown", form, {**SAME_ORIGIN, "Sec-Fetch-Site": "cross-site"}).status == 403
    assert votes(one) == []


def test_one_broken_request_leaves_the_others_and_is_named(shown: Start) -> None:
    start = shown()
    broken, sound = start.stage.waiting(), start.stage.waiting(name="sound")
    Path(broken.directory, "request.json").write_text("{")
    client = start.page.client(APPROVER)
    waits = listed(client, broken, sound)
    assert (waits.status, f"sound #{sound.facts['job_id']}" in waits.text) == (200, True)
    assert (
        f"One request cannot be read here, and may be waiting. On the host, gate check says more. {broken.key}"
        in waits.text
    )
    assert client.get(f"/requests/{sound.key}").status == 200
    shows = client.get(f"/requests/{broken.key}")
    assert (shows.status, "request.json" in shows.text) == (500, True)
    assert client.get("/metrics").status == 200
    reply = client.post("/decide", selecting(client, [broken, sound], "reject"))
    assert (reply.status, votes(broken), len(votes(sound))) == (303, [], 1)
    assert "It cannot be read" in client.get(reply.headers["Location"]).text
    assert client.vote(sound.key, "approve").status == 303
