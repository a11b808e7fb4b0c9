"""Who comes by the socket needs a login link: with `ssh -L`, others on the approver's machine connect as that approver."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser.test_looks import AAA_OR_LESS
from tests.support.browser import DESKTOP, PHONE, faults_of, log_in_by_link
from tests.support.page import SAME_ORIGIN
from tests.support.ports import free_port
from tests.support.site import APPROVER, IS_ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from gate.store.request import Request
    from tests.browser.conftest import Shown
    from tests.support.browser import Browsers
    from tests.support.page import Client

    Start = Callable[..., Shown]

NEEDS_USERS = pytest.mark.skipif(not IS_ROOT, reason="not root: only root can act as a second Unix user")


def stranger(start: Shown, person: str = APPROVER) -> Client:
    """Somebody else on that person's machine, at the forwarded port: the kernel says that it is that person."""
    client = start.page.client(person)
    client.links = False
    return client


def votes(start: Shown, request: Request) -> int:
    return len(list((start.site.state / "jobs" / request.key / "votes").iterdir()))


def path_of(address: str) -> str:
    return urlsplit(address).path


def test_without_a_session_the_socket_shows_the_command_and_nothing_else(shown: Start) -> None:
    start = shown()
    request = start.stage.waiting(name="secret-job")
    client = stranger(start)
    for path in ("/", f"/requests/{request.key}", "/history", "/history.csv", "/live", "/decided/" + "0" * 32):
        reply = client.get(path)
        assert (reply.status, "secret-job" in reply.body, request.key in reply.body) == (401, False, False), path
    assert "page link" in client.get("/").text
    assert client.get("/healthz").body == "ok\n"
    assert client.get("/metrics").status == 200  # figures only
    for path in (f"/requests/{request.key}", "/decide", "/decide/shown", "/logout"):
        assert client.post(path, {"token": "x", "answer": "approve", "digest": request.opened["digest"]}).status == 401
    assert votes(start, request) == 0


def test_no_link_is_to_be_had_through_the_forwarded_socket(shown: Start) -> None:
    start = shown()
    client = stranger(start)
    for who in (client, start.page.client(APPROVER)):
        reply = who.post("/link", {})
        assert reply.status in (401, 404)
        assert "/link/" not in reply.body
    assert client.get("/login").status == 303  # a password does not lead in here
    assert client.post("/login", {"token": "x", "person": APPROVER, "password": "x"}).status == 403


def test_the_socket_of_the_links_does_nothing_but_hand_them_out(shown: Start) -> None:
    start = shown()
    request = start.stage.waiting()
    at_links = start.page.client(APPROVER, "link_socket")
    at_links.links = False
    token = path_of(start.page.link(APPROVER)).rpartition("/")[2]
    for path in ("/", f"/requests/{request.key}", f"/link/{token}", "/history", "/metrics"):
        assert at_links.get(path).status == 404, path
    assert at_links.post(f"/link/{token}", {}).status == 404
    assert at_links.get("/link").status == 405
    assert at_links.post("/link", {}, {**SAME_ORIGIN, "Sec-Fetch-Site": "cross-site"}).status == 403


def test_a_link_is_used_by_its_button_and_once(shown: Start) -> None:
    start = shown()
    path = path_of(start.page.link(APPROVER))
    for _preview in range(3):
        shows = stranger(start).get(path)
        assert (shows.status, f"Log in as {APPROVER}" in shows.text) == (200, True)
        assert "Set-Cookie" not in shows.headers
    assert stranger(start).send("HEAD", path).status == 200
    client = stranger(start)
    used = client.post(path, {})
    assert (used.status, used.headers["Location"]) == (303, "/")
    cookie = used.headers["Set-Cookie"]
    assert ("HttpOnly" in cookie, "SameSite=Strict" in cookie) == (True, True)
    assert client.get("/").status == 200
    again = stranger(start)
    assert (again.post(path, {}).status, again.cookies) == (403, {})
    assert "has been used, or is too old" in again.get(path).text
    assert f"{APPROVER} (uid" in start.page.log


def test_a_link_from_elsewhere_logs_nobody_in(shown: Start) -> None:
    start = shown()
    path = path_of(start.page.link(APPROVER))
    client = stranger(start)
    assert client.post(path, {}, {**SAME_ORIGIN, "Sec-Fetch-Site": "cross-site"}).status == 403
    assert client.post(path, {}).status == 303  # and it is as good as before


@NEEDS_USERS
def test_a_link_and_its_session_are_one_uid_s(shown: Start) -> None:
    start = shown()
    request = start.stage.waiting()
    path = path_of(start.page.link("alice"))
    bob = stranger(start, "bob")
    assert (bob.get(path).status, bob.post(path, {}).status) == (403, 403)
    alice = stranger(start, "alice")
    assert alice.post(path, {}).status == 303
    bob.cookies = dict(alice.cookies)
    assert bob.get("/").status == 401
    assert alice.vote(request.key, "approve").status == 303
    assert votes(start, request) == 1


def test_a_session_of_one_door_is_none_at_another(shown: Start) -> None:
    start = shown()
    start.page.add_user(APPROVER)
    linked, logged_in = start.page.client(APPROVER), start.page.client(door="listen")
    assert linked.get("/").status == 200
    assert logged_in.log_in(APPROVER).status == 303
    linked.cookies, logged_in.cookies = logged_in.cookies, linked.cookies
    assert (linked.get("/").status, logged_in.get("/").status) == (401, 303)


def test_logging_out_ends_it(shown: Start) -> None:
    start = shown()
    client = start.page.client(APPROVER)
    token = client.get("/").field("token", of_header=True)
    kept = dict(client.cookies)
    assert client.post("/logout", {"token": token}).status == 303
    client.cookies = kept
    assert client.get("/").status == 401


def test_login_link_false_lets_the_socket_s_people_in_as_before(shown: Start) -> None:
    start = shown(page={"socket": True, "login_link": False})
    request = start.stage.waiting()
    client = stranger(start)
    assert client.vote(request.key, "approve").status == 303
    told = start.site.gate(APPROVER, "page", "link")
    assert (told.returncode, told.stdout) == (1, "")
    assert "login_link: false: just open http://gate.localhost:8420/" in told.stderr


def test_the_command_prints_an_address_that_works(shown: Start) -> None:
    start = shown()
    told = start.site.gate(APPROVER, "page", "link")
    assert (told.returncode, re.sub(r"[A-Za-z0-9_-]{43}\n", "…\n", told.stdout)) == (0, f"{start.page.url}/link/…\n")
    assert "works once, within 5min" in told.stderr
    assert stranger(start).post(path_of(told.stdout.strip()), {}).status == 303
    as_json = json.loads(start.site.gate(APPROVER, "page", "link", "--json").stdout)
    assert stranger(start).post(path_of(as_json["address"]), {}).status == 303


def test_without_a_page_that_runs_the_command_says_so(shown: Start) -> None:
    start = shown()
    start.page.stop()
    told = start.site.gate(APPROVER, "page", "link")
    assert (told.returncode, told.stdout) == (1, "")
    assert "socket-link.sock: connection refused: does the page run" in told.stderr.lower()


@NEEDS_USERS
def test_the_command_is_one_s_own_not_root_s(shown: Start) -> None:
    told = shown().site.gate_here("page", "link")
    assert "run it as yourself" in str(told.exception)


@NEEDS_USERS
def test_others_on_an_approver_s_machine_get_nowhere_through_the_forwarded_port(
    shown: Start, browser: Browsers
) -> None:
    port = free_port()
    start = shown(page={"socket": True, "url": f"http://gate.localhost:{port}"})
    request = start.stage.waiting()
    with start.site.forward("alice", port) as ssh:
        eve = browser.open(viewport=PHONE)
        eve.goto(f"{start.page.url}/requests/{request.key}")
        expect(eve.get_by_text("page link")).to_be_visible()
        alice = browser.open(viewport=PHONE, java_script_enabled=False)
        log_in_by_link(alice, start.page, "alice", f"/requests/{request.key}")
        eve.reload()
        expect(eve.get_by_text("page link")).to_be_visible()
        assert votes(start, request) == 0
        alice.get_by_role("button", name="Approve").click()
        alice.locator("#outcome p").wait_for()
        ssh.terminate()
    assert votes(start, request) == 1
    assert faults_of(alice) == []


@NEEDS_USERS
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_the_way_in(shown: Start, browser: Browsers, scheme: str) -> None:
    port = free_port()
    start = shown(page={"socket": True, "url": f"http://gate.localhost:{port}"})
    with start.site.forward("alice", port) as ssh:
        used = start.page.link("alice")
        assert stranger(start, "alice").post(path_of(used), {}).status == 303
        for size in (DESKTOP, PHONE):
            seen = browser.open(viewport=size, color_scheme=scheme)
            for address in (start.page.url, start.page.link("alice"), used):
                seen.goto(address)
                found = Axe().run(seen, options={"runOnly": {"type": "tag", "values": AAA_OR_LESS}}).response
                assert [each["id"] for each in found["violations"]] == []
                assert not seen.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
        ssh.terminate()


@NEEDS_USERS
def test_a_page_that_has_started_again_sends_to_the_command(shown: Start, browser: Browsers) -> None:
    port = free_port()
    start = shown(page={"socket": True, "url": f"http://gate.localhost:{port}"})
    with start.site.forward("alice", port) as ssh:
        seen = browser.open()
        log_in_by_link(seen, start.page, "alice")
        start.page.stop()
        start.page.start()
        expect(seen.get_by_text("page link")).to_be_visible(timeout=60_000)
        ssh.terminate()
