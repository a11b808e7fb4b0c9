"""What somebody could send to the page: forms from elsewhere, or of another request.

Other hosts (threats T19 to T27).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from gate.page.often import AT_ONCE
from tests.support.site import APPROVER
from tests.support.visits import NEEDS_USERS, left, read_all, start_connection, tcp

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.browser.conftest import Shown

    Start = Callable[..., Shown]

ALWAYS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Server": "gate",
}


# T19: what is voted on is what was shown.


def test_a_vote_carries_the_digest_that_was_shown(shown: Start) -> None:
    start = shown()
    request = start.stage.waiting()
    reply = start.page.client(APPROVER).vote(request.key, "approve", "as read")
    assert reply.status == 303
    (vote,) = left(start, request.key)
    assert vote == {
        "v": 1,
        "request": request.key,
        "digest": request.opened["digest"],
        "person": APPROVER,
        "answer": "approve",
        "comment": "as read",
    }


@pytest.mark.parametrize("digest", ["", "f" * 64, "0" * 63])
def test_a_vote_on_another_digest_is_refused(shown: Start, digest: str) -> None:
    start = shown()
    request = start.stage.waiting()
    reply = start.page.client(APPROVER).vote(request.key, "approve", digest=digest)
    assert (reply.status, left(start, request.key)) == (409, [])
    assert "What you were shown is not what waits" in reply.text


def test_a_form_for_one_request_does_nothing_for_another(shown: Start) -> None:
    start = shown()
    one, other = start.stage.waiting(), start.stage.waiting()
    client = start.page.client(APPROVER)
    token = client.get(f"/requests/{one.key}").field("token")
    reply = client.vote(other.key, "approve", "kept", token=token)
    assert (reply.status, left(start, other.key)) == (403, [])
    assert "kept" in reply.body


def test_the_same_form_sent_twice_is_one_vote(shown: Start) -> None:
    start = shown()
    request = start.stage.waiting()
    client = start.page.client(APPROVER)
    token = client.get(f"/requests/{request.key}").field("token")
    for _ in range(2):
        assert client.vote(request.key, "approve", token=token).status == 303
    assert len(left(start, request.key)) == 1


# T20: who may not approve is told, whatever form they send.


@NEEDS_USERS
def test_who_triggered_the_job_or_is_on_no_list_cannot_approve(shown: Start) -> None:
    start = shown()
    mine, other = start.stage.waiting(user_login="alice-gl"), start.stage.waiting()
    for person, key, why in (
        ("alice", mine.key, "triggered this job"),
        ("carol", other.key, "you are not on the list"),
    ):
        client = start.page.client(person)
        shows = client.get(f"/requests/{key}")
        assert 'value="approve"' not in shows.body
        bob = start.page.client("bob").get(f"/requests/{key}")
        forged = {"token": bob.field("token"), "digest": bob.field("digest"), "answer": "approve"}
        assert client.post(f"/requests/{key}", forged).status == 403
        assert why in shows.text
        assert left(start, key) == []


@NEEDS_USERS
def test_who_is_nobody_in_gate_yaml_may_look_and_not_decide(shown: Start) -> None:
    start = shown()
    request = start.stage.waiting()
    onlooker = start.page.client("0")  # root, who is no person
    shows = onlooker.get(f"/requests/{request.key}")
    assert "You can view this request but not answer it" in shows.text
    assert "root, looking on" in shows.text
    alice = start.page.client("alice").get(f"/requests/{request.key}")
    form = {"token": alice.field("token"), "digest": alice.field("digest"), "answer": "approve"}
    assert (onlooker.post(f"/requests/{request.key}", form).status, left(start, request.key)) == (403, [])


# T21 and T24: the headers, on whatever comes back.


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200), ("GET", "/history", 200), ("GET", "/requests/nothing-1-1", 404), ("GET", "/nothing", 404),
        ("DELETE", "/", 403), ("GET", "/healthz", 200), ("GET", "/metrics", 200), ("GET", "/history.csv", 200),
        ("GET", "/history?outcome=no", 400), ("POST", "/", 403), ("OPTIONS", "/", 403), ("GET", "/login", 303),
    ],
)  # fmt: skip
def test_every_answer_has_the_headers_errors_too(shown: Start, method: str, path: str, status: int) -> None:
    reply = shown().page.client(APPROVER).send(method, path)
    assert reply.status == status
    assert {name: reply.headers[name] for name in ALWAYS} == ALWAYS


@pytest.mark.parametrize("sent", [b"nonsense\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /\x01 HTTP/1.1\r\n\r\n",
                                  b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"y" * 20_000])  # fmt: skip
def test_what_is_no_http_gets_the_headers_too_and_nothing_of_it_back(shown: Start, sent: bytes) -> None:
    with start_connection(shown().page.client(APPROVER)) as connection:
        connection.sendall(sent)
        answer = read_all(connection).decode()
    assert answer.startswith(("HTTP/1.1 400", "HTTP/1.0 400"))
    assert all(f"{name}: {value}" in answer for name, value in ALWAYS.items())
    assert not re.search("nonsense|9.9|yyy", answer)


def test_static_files_alone_may_be_kept(shown: Start) -> None:
    client = shown().page.client(APPROVER)
    sheet = client.get(re.search(r'href="(/static/style.css[^"]*)"', client.get("/").body)[1])  # type: ignore[index]
    assert (sheet.status, sheet.headers["Cache-Control"]) == (200, "public, max-age=2592000, immutable")
    assert sheet.headers["X-Content-Type-Options"] == "nosniff"
    assert client.get("/static/..%2f..%2fapp.py").status == 404


# T22: forms come from this page's own origin only.


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "none"}, {"Sec-Fetch-Site": ""},
        {"Sec-Fetch-Site": None}, {"Sec-Fetch-Site": None, "Origin": "null"}, {"Sec-Fetch-Site": None, "Origin": "http://gate.localhost"},
        {"Sec-Fetch-Site": None, "Origin": "http://gate.localhost:1"}, {"Sec-Fetch-Site": "cross-site", "Origin": "OURS"},
        {"Content-Type": "text/plain"}, {"Content-Type": "multipart/form-data; boundary=x"}, {"Content-Type": "application/json"},
    ],
)  # fmt: skip
def test_a_form_from_elsewhere_is_refused(shown: Start, headers: dict[str, str | None]) -> None:
    start = shown()
    request = start.stage.waiting()
    client = start.page.client(APPROVER)
    shows = client.get(f"/requests/{request.key}")
    body = f"token={shows.field('token')}&digest={shows.field('digest')}&answer=approve".encode()
    sent = {"Sec-Fetch-Site": "same-origin", "Content-Type": "application/x-www-form-urlencoded", **headers}
    own = {name: start.page.url if value == "OURS" else value for name, value in sent.items() if value is not None}
    assert client.send("POST", f"/requests/{request.key}", body, own).status == 403
    assert left(start, request.key) == []


def test_a_browser_without_fetch_metadata_is_known_by_its_exact_origin(shown: Start) -> None:
    start = shown()
    request = start.stage.waiting()
    client = start.page.client(APPROVER)
    shows = client.get(f"/requests/{request.key}")
    body = f"token={shows.field('token')}&digest={shows.field('digest')}&answer=approve".encode()
    headers = {"Origin": start.page.url, "Content-Type": "application/x-www-form-urlencoded"}
    assert client.send("POST", f"/requests/{request.key}", body, headers).status == 303
    assert len(left(start, request.key)) == 1


@pytest.mark.parametrize("token", ["", "x", "0" * 32 + ".0." + "0" * 64, "\u00e9.1.2", "a.b.c"])
def test_a_form_without_a_token_of_ours_is_refused(shown: Start, token: str) -> None:
    start = shown()
    request = start.stage.waiting()
    reply = start.page.client(APPROVER).vote(request.key, "approve", "what I wrote", token=token)
    assert (reply.status, left(start, request.key)) == (403, [])
    assert "what I wrote" in reply.body


def test_a_token_is_its_visitor_s_own(shown: Start) -> None:
    start = shown()
    request = start.stage.waiting()
    start.page.add_user(APPROVER)
    by_socket, by_login = start.page.client(APPROVER), start.page.client(door="listen")
    assert by_login.log_in(APPROVER).status == 303
    token = by_socket.get(f"/requests/{request.key}").field("token")
    assert by_login.vote(request.key, "approve", token=token).status == 403
    assert left(start, request.key) == []


def test_one_person_s_votes_do_not_go_on_and_others_may_vote(shown: Start) -> None:
    start = shown(prelude="import gate.page.voting as v; v.TAKEN_WITHIN_S = 0.01")
    request, other = start.stage.waiting(), start.stage.waiting()
    client = start.page.client(APPROVER)
    statuses = [client.vote(request.key, "reject", str(n)).status for n in range(AT_ONCE + 1)]
    assert statuses == [303] * AT_ONCE + [429]
    assert client.vote(other.key, "reject").status == 303
    assert (len(left(start, request.key)), len(left(start, other.key))) == (AT_ONCE, 1)


# T23: one name, and no other.


@pytest.mark.parametrize(
    "host",
    ["evil.example", "gate.localhost", "127.0.0.1:PORT", "localhost:PORT", "gate.localhost:PORT.evil.example", ""],
)
def test_another_host_is_not_answered(shown: Start, host: str) -> None:
    start = shown(page=tcp())
    port = start.page.host.rpartition(":")[2]
    reply = start.page.client(door="listen").get("/login", {"Host": host.replace("PORT", port)})
    assert reply.status == 421
    assert f"This page is at {start.page.url}/" in reply.text
    assert "evil" not in reply.body


def test_two_hosts_or_none_are_not_answered(shown: Start) -> None:
    client = shown().page.client(APPROVER)
    for lines in (b"", f"Host: {client.page.host}\r\nHost: evil.example\r\n".encode()):
        with start_connection(client) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\n" + lines + b"Connection: close\r\n\r\n")
            assert read_all(connection).split()[1] in (b"421", b"400")


# T27: a link that is fetched decides nothing.


def test_nothing_is_decided_by_get(shown: Start) -> None:
    start = shown()
    request = start.stage.waiting()
    client = start.page.client(APPROVER)
    form = client.get(f"/requests/{request.key}")
    query = f"token={form.field('token')}&digest={form.field('digest')}&answer=approve&comment=x"
    for method, path in (("GET", f"/requests/{request.key}?{query}"), ("GET", f"/decide?{query}&pick={request.key}"),
                         ("HEAD", f"/requests/{request.key}?{query}"), ("PUT", f"/requests/{request.key}?{query}")):  # fmt: skip
        client.send(method, path)
    assert left(start, request.key) == []


def test_a_link_in_a_chat_leads_who_is_logged_in_to_the_request(shown: Start) -> None:
    start = shown(page=tcp())
    request = start.stage.waiting()
    elsewhere = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    client = start.page.client(door="listen")
    hop = client.get(f"/requests/{request.key}", elsewhere)
    assert f'content="0; url=/requests/{request.key}?here=1"' in hop.body
    assert request.facts["name"] not in hop.text
    assert client.get(f"/requests/{request.key}?here=1", elsewhere).status == 303


# What the operator does to gate.yaml while it runs.


def test_a_fault_in_gate_yaml_lets_people_look_and_nobody_decide(shown: Start) -> None:
    start = shown()
    request = start.stage.waiting()
    client = start.page.client(APPROVER)
    sound = start.site.yaml.read_text()
    form = client.get(f"/requests/{request.key}")
    answer = {"token": form.field("token"), "digest": form.field("digest"), "answer": "approve"}
    start.site.write(sound + "nonsense: 1\n")
    shows = client.get(f"/requests/{request.key}")
    assert "Nothing can be decided now: gate.yaml has a fault." in shows.text
    assert "unknown key 'nonsense'" in shows.text
    assert (client.post(f"/requests/{request.key}", answer).status, left(start, request.key)) == (503, [])
    assert client.get("/healthz").status == 503
    start.site.write(sound)
    assert client.vote(request.key, "approve").status == 303


def test_a_job_that_was_decided_meanwhile_is_too_late(shown: Start) -> None:
    start = shown()
    request = start.stage.waiting()
    client = start.page.client(APPROVER)
    form = client.get(f"/requests/{request.key}")
    start.stage.decided(request, "rejected", "no")
    answer = {"token": form.field("token"), "digest": form.field("digest"), "answer": "approve"}
    reply = client.post(f"/requests/{request.key}", answer)
    assert (reply.status, left(start, request.key)) == (409, [])
    assert "Too late" in reply.text
    assert "rejected" in reply.text
