"""What somebody with curl, a browser elsewhere, or a job's own web server could try at the page (threats T19 to T28)."""

from __future__ import annotations

import contextlib
import html
import json
import re
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gate.page.auth.throttle import FREE_FAILURES, STRANGERS_FAILURES
from gate.page.often import AT_ONCE
from tests.support.page import PASSWORD, Client, connect_as
from tests.support.ports import free_port
from tests.support.site import APPROVER, IS_ROOT, RUN_AS

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from tests.browser.conftest import Shown
    from tests.support.page import Reply

    Start = Callable[..., Shown]

NEEDS_USERS = pytest.mark.skipif(not IS_ROOT, reason="not root: only root can act as a second Unix user")
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
TLS = {"url": "https://gate.example.com"}


class Clock:
    """The page's clock, which a file moves on."""

    def __init__(self, directory: str) -> None:
        self._file = Path(directory, "seconds")
        Path(directory).chmod(0o755)
        self.at(0)
        read = f"float(open({str(self._file)!r}).read())"
        self.prelude = f"import gate.page.state as s; real = s.boottime_s; s.boottime_s = lambda: real() + {read}"

    def at(self, seconds: int) -> None:
        made = self._file.with_suffix(".new")
        made.write_text(str(seconds))
        made.rename(self._file)  # never read by half


@pytest.fixture
def clock() -> Iterator[Clock]:
    with tempfile.TemporaryDirectory() as directory:
        yield Clock(directory)


def left(start: Shown, key: str) -> list[dict[str, Any]]:
    """The votes that the page has left for a request that nobody weighs."""
    directory = start.site.state / "jobs" / key / "votes"
    return [json.loads(path.read_text()) for path in sorted(directory.iterdir())]


def tcp(**page: Any) -> dict[str, Any]:
    return {"listen": f"127.0.0.1:{free_port()}", **page}


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


# T26: wrong passwords.


def test_a_flood_of_wrong_names_keeps_nobody_with_an_account_out(shown: Start) -> None:
    start = shown(page=tcp())
    start.page.add_user(APPROVER)
    attacker = start.page.client(door="listen")
    form = {"token": attacker.get("/login").field("token"), "next": "", "password": "wrong"}
    statuses = {attacker.post("/login", {**form, "person": f"nobody{n}"}).status for n in range(STRANGERS_FAILURES + 5)}
    assert statuses == {403}  # the same before and after: it does not tell who has an account
    assert start.page.client(door="listen").log_in(APPROVER).status == 303


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


# T25 and T26: sessions and passwords.


def test_a_session_is_new_at_login_and_its_cookie_is_out_of_reach(shown: Start) -> None:
    start = shown(page=tcp())
    start.page.add_user(APPROVER)
    client = start.page.client(door="listen")
    client.cookies["gate-session"] = "chosen-by-somebody-else"
    reply = client.log_in(APPROVER)
    (cookie,) = reply.headers.get_all("Set-Cookie", [])
    assert re.fullmatch(r"gate-session=[\w-]{43}; HttpOnly; Max-Age=43200; Path=/; SameSite=Strict", cookie)
    assert client.cookies["gate-session"] != "chosen-by-somebody-else"
    assert client.get("/").status == 200


def test_behind_tls_the_cookie_is_bound_to_its_host(shown: Start) -> None:
    start = shown(page=tcp(**TLS))
    start.page.add_user(APPROVER)
    reply = start.page.client(door="listen").log_in(APPROVER)
    (cookie,) = reply.headers.get_all("Set-Cookie", [])
    assert cookie.startswith("__Host-gate-session=")
    assert {"Secure", "HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert "Domain" not in cookie
    assert reply.headers["Strict-Transport-Security"] == "max-age=31536000"


def test_logging_out_ends_the_session_for_good(shown: Start) -> None:
    start = shown(page=tcp())
    start.page.add_user(APPROVER)
    client = start.page.client(door="listen")
    client.log_in(APPROVER)
    kept = dict(client.cookies)
    token = client.get("/").field("token", of_header=True)
    assert client.post("/logout", {"token": token}).headers["Location"] == "/login"
    client.cookies = kept
    assert client.get("/").headers["Location"].startswith("/login")


@pytest.mark.parametrize("how", ["passwd", "remove", "gate.yaml"])
def test_a_person_whose_account_changes_loses_the_session_at_once(shown: Start, how: str) -> None:
    start = shown(page=tcp())
    start.page.add_user(APPROVER)
    client = start.page.client(door="listen")
    client.log_in(APPROVER)
    request = start.stage.waiting()
    form = client.get(f"/requests/{request.key}")
    if how == "gate.yaml":
        start.site.config["people"]["zoe"] = start.site.config["people"].pop(APPROVER)
        listed = start.site.config["groups"]["release-managers"]
        listed[listed.index(APPROVER)] = "zoe"
        start.site.write()
    else:
        words = {"passwd": ["--password-stdin"], "remove": []}[how]
        command = start.page.command("user", how, APPROVER, *words)
        subprocess.run(command, input=b"another long password\n", check=True, capture_output=True, timeout=60)
    answer = {"token": form.field("token"), "digest": form.field("digest"), "answer": "approve"}
    assert client.post(f"/requests/{request.key}", answer).status == 401
    assert client.get("/").status == 303
    assert left(start, request.key) == []


def test_wrong_passwords_are_told_apart_by_nothing_and_slow_down(shown: Start) -> None:
    start = shown(page=tcp())
    start.page.add_user(APPROVER)
    client = start.page.client(door="listen")
    wrong, nobody = client.log_in(APPROVER, "wrong password"), client.log_in("nobody-here", "wrong password")
    assert wrong.status == nobody.status == 403
    assert _without_tokens(wrong, APPROVER) == _without_tokens(nobody, "nobody-here")
    replies = [client.log_in(APPROVER, "wrong password") for _ in range(5)]
    assert [reply.status for reply in replies] == [403] * 4 + [429]
    assert re.search(r"try again in \d+ seconds", replies[-1].text)
    assert client.log_in(APPROVER).status == 429, "a right one has to wait, too"


def test_wrong_passwords_of_others_hold_up_nobody_who_is_logged_in(shown: Start, clock: Clock) -> None:
    start = shown(page=tcp(), prelude=clock.prelude)
    start.page.add_user(APPROVER)
    mine, others = (start.page.client(door="listen") for _ in range(2))
    mine.log_in(APPROVER)
    request = start.stage.waiting()
    clock.at(960)  # from now on, deciding needs the password again
    for _ in range(FREE_FAILURES):
        others.log_in(APPROVER, "wrong password")
    assert others.log_in(APPROVER).status == 429
    for password, status in (("wrong password", 403), (PASSWORD, 303)):
        assert mine.vote(request.key, "approve", password=password).status == status


def test_passwords_that_are_no_text_are_wrong_and_break_nothing(shown: Start) -> None:
    start = shown(page=tcp())
    client = start.page.client(door="listen")
    token = client.get("/login").field("token")
    headers = {"Sec-Fetch-Site": "same-origin", "Content-Type": "application/x-www-form-urlencoded"}
    for password, status in ((b"%ff%fe%00", 403), (b"x" * 5000, 403), (b"\xff\xfe", 400), (b"%F0%9F%92%A9" * 300, 403)):
        body = b"token=" + token.encode() + b"&person=../../x&password=" + password
        assert client.send("POST", "/login", body, headers).status == status
    assert client.get("/login").status == 200


def test_deciding_needs_the_password_again_after_a_while(shown: Start, clock: Clock) -> None:
    start = shown(page=tcp(), prelude=clock.prelude)
    start.page.add_user(APPROVER)
    client = start.page.client(door="listen")
    client.log_in(APPROVER)
    request = start.stage.waiting()
    clock.at(960)
    assert "Your password, since you logged in a while ago" in client.get(f"/requests/{request.key}").text
    for password, status in (("", 403), ("wrong password", 403), (PASSWORD, 303)):
        reply = client.vote(request.key, "approve", password=password)
        assert reply.status == status, reply.text
        assert len(left(start, request.key)) == (status == 303)
    clock.at(2800)  # not used for half an hour
    assert client.get("/").status == 303


def test_looking_on_by_a_script_keeps_no_session_alive(shown: Start, clock: Clock) -> None:
    start = shown(page=tcp(), prelude=clock.prelude)
    start.page.add_user(APPROVER)
    client = start.page.client(door="listen")
    client.log_in(APPROVER)
    for seconds, headers, status in ((1700, {}, 200), (3300, {"Sec-Fetch-Dest": "empty"}, 200), (3600, {}, 303)):
        clock.at(seconds)
        assert client.get("/", headers).status == status


def test_nothing_is_shown_to_who_has_not_logged_in(shown: Start) -> None:
    start = shown(page=tcp())
    request = start.stage.waiting(project_path="secret/project")
    client = start.page.client(door="listen")
    for path in (
        "/",
        "/history",
        "/history.csv",
        f"/requests/{request.key}",
        "/metrics",
        "/live",
        "/decided/" + "0" * 32,
    ):
        reply = client.get(path)
        assert reply.status in (303, 401), path
        assert "secret/project" not in reply.body
    assert client.get("/healthz").body == "ok\n"


def test_what_a_proxy_says_is_believed_at_its_own_socket_only(shown: Start) -> None:
    start = shown(page={**tcp(), "socket": True, "proxy_socket": True})
    message = {"Remote-User": "bob" if IS_ROOT else APPROVER}
    assert start.page.client(door="listen", Remote_User="bob").get("/").status == 303
    assert f'<p class="who">{APPROVER}</p>' in start.page.client(APPROVER).get("/", message).body
    proxy = start.page.client(door="proxy_socket")
    assert proxy.get("/", message).status == 200
    assert [proxy.get("/", headers).status for headers in ({}, {"Remote-User": "mallory"}, {"Remote-User": ""})] == [
        403
    ] * 3


def test_a_name_that_the_proxy_sends_may_be_written_with_a_person(shown: Start) -> None:
    start = shown(page={"proxy_socket": True})
    start.site.config["people"][APPROVER]["proxy"] = ["a.l@example.com", "Zoë Ångström"]
    start.site.write()
    proxy = start.page.client(door="proxy_socket")
    for sent in (APPROVER, "a.l@example.com", "Zoë Ångström"):
        reply = proxy.get("/", {"Remote-User": sent.encode().decode("latin-1")})
        assert (reply.status, f'<p class="who">{APPROVER}</p>' in reply.body) == (200, True)
    assert proxy.get("/", {"Remote-User": "A.L@example.com"}).status == 403


SENT = {
    "an address": ("mallory@example.com", "Remote-User: mallory@example.com, and nobody in gate.yaml is called so."),
    "markup": ("<img src=x>", "Remote-User: &lt;img src=x&gt;, and nobody"),
    "an override": ("m\u202ex", r"Remote-User: m\u202ex, and nobody"),
    "too long": ("x" * 3000, f"Remote-User: {'x' * 100}… (3000 characters), and nobody"),
}


@pytest.mark.parametrize("case", SENT)
def test_a_name_that_nobody_has_is_told_with_what_to_write(shown: Start, case: str) -> None:
    sent, told = SENT[case]
    start = shown(page={"proxy_socket": True})
    reply = start.page.client(door="proxy_socket").get("/", {"Remote-User": sent.encode().decode("latin-1")})
    assert (reply.status, told in reply.body) == (403, True), reply.body
    assert "write that name into the list `proxy` of a person under `people`" in html.unescape(reply.body)


@pytest.mark.parametrize(("headers", "told"), [
    ({}, "sent no Remote-User headers, and has to send one, with who comes"),
    ({"Remote-User": " "}, "sent an empty Remote-User header"),
])  # fmt: skip
def test_a_proxy_that_names_nobody_is_told_of(shown: Start, headers: dict[str, str], told: str) -> None:
    reply = shown(page={"proxy_socket": True}).page.client(door="proxy_socket").get("/", headers)
    assert (reply.status, told in reply.text) == (403, True), reply.text


def test_two_names_from_a_proxy_are_nobody(shown: Start) -> None:
    start = shown(page={"proxy_socket": True})
    with start_connection(start.page.client(door="proxy_socket")) as connection:
        two = f"Remote-User: {APPROVER}\r\nremote-user: {APPROVER}\r\n"
        connection.sendall(f"GET / HTTP/1.1\r\nHost: {start.page.host}\r\n{two}Connection: close\r\n\r\n".encode())
        assert read_all(connection).split()[1] == b"403"


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


# T28: the slow, the many, the large.


def test_a_large_body_is_refused(shown: Start) -> None:
    start = shown()
    request = start.stage.waiting()
    reply = start.page.client(APPROVER).post(f"/requests/{request.key}", {"comment": "x" * 17_000})
    assert (reply.status, left(start, request.key)) == (413, [])


def test_a_request_that_does_not_come_is_closed_within_ten_seconds(shown: Start) -> None:
    client = shown().page.client(APPROVER)
    head = f"POST /logout HTTP/1.1\r\nHost: {client.page.host}\r\nSec-Fetch-Site: same-origin\r\n"
    form = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\nto"
    began = time.monotonic()
    for sent in (b"", b"GET / HT", head.encode(), (head + form).encode()):
        with start_connection(client) as connection:
            connection.sendall(sent)
            assert read_all(connection)[:12] in (b"", b"HTTP/1.1 408")
    assert time.monotonic() - began < 4 * 10 * 10


def test_two_hundred_half_sent_requests_and_fifty_viewers_delay_no_decision(shown: Start) -> None:
    start = shown()
    start.page.add_user(APPROVER)
    request = start.stage.waiting()
    slow = [start.page.client(door="listen").connect() for _ in range(200)]
    for connection in slow:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: ")
    viewer_of = start.page.client(APPROVER)
    viewers = [looks_on(viewer_of) for _ in range(50)]
    assert all(b"retry: 3000" in until(viewer, b"retry: 3000") for viewer in viewers)
    began = time.monotonic()
    client = start.page.client(door="listen")
    assert client.log_in(APPROVER).status == 303
    shows = client.get(f"/requests/{request.key}")
    took = time.monotonic() - began
    start.stage.decided(request, "expired")
    assert all(b"event: change" in until(viewer, b"event: change") for viewer in viewers)
    for connection in [*slow, *viewers]:
        connection.close()
    assert shows.status == 200
    assert took < 300  # about a tenth of a second; the hanging of 200 would be 1,000 s


MANY = 600
CROWDS: dict[str, tuple[str, bytes]] = {
    "silent": ("socket", b""),
    "half-sent": ("socket", b"GET / HTTP/1.1\r\nHost: "),
    "half a form": (
        "socket",
        b"POST /logout HTTP/1.1\r\nHost: HOST\r\nSec-Fetch-Site: same-origin\r\nContent-Length: 9\r\n\r\nto",
    ),
    "live": ("socket", b"GET /live HTTP/1.1\r\nHost: HOST\r\nCOOKIE\r\n"),
    "silent, not logged in": ("listen", b""),
    "half-sent, not logged in": ("listen", b"GET / HTTP/1.1\r\nHost: "),
}


@NEEDS_USERS
@pytest.mark.parametrize("case", CROWDS)
def test_one_person_s_six_hundred_connections_shut_out_neither_others_nor_themselves(shown: Start, case: str) -> None:
    door, sent = CROWDS[case]
    start = shown()
    for person in ("alice", "bob"):
        start.page.add_user(person)
    request = start.stage.waiting()
    crowder = start.page.client("alice", door)
    sent = sent.replace(b"HOST", start.page.host.encode()).replace(b"COOKIE", crowder.cookie_line.encode())
    crowd = [crowder.connect() for _ in range(MANY)]
    for connection in crowd:
        with contextlib.suppress(OSError):  # the first are closed by now
            connection.sendall(sent)
    for person in ("bob", "alice"):
        client = start.page.client(person, door)
        if door == "listen":
            assert client.log_in(person).status == 303
        assert client.get(f"/requests/{request.key}").status == 200
    for connection in crowd:
        connection.close()


@NEEDS_USERS
def test_of_one_person_s_many_live_viewers_only_theirs_are_turned_away(shown: Start) -> None:
    start = shown()
    alice = start.page.client("alice")
    viewers = [looks_on(alice) for _ in range(50)]
    assert all(b"retry: 3000" in until(viewer, b"retry: 3000") for viewer in viewers)
    with looks_on(alice) as one_more, looks_on(start.page.client("bob")) as bob:
        assert until(one_more, b"\r\n\r\n").startswith(b"HTTP/1.1 204")
        assert b"retry: 3000" in until(bob, b"retry: 3000")
    for viewer in viewers:
        viewer.close()


def test_a_viewer_who_goes_is_let_go(shown: Start) -> None:
    start = shown()
    viewer = looks_on(start.page.client(APPROVER))
    until(viewer, b"retry: 3000")
    viewer.close()
    start.stage.waiting()
    assert start.page.client(APPROVER).get("/").status == 200
    assert start.page.stop() == 0


# What changes while somebody looks.


def test_what_changes_before_a_page_s_script_asks_is_told_at_once(shown: Start) -> None:
    start = shown()
    client = start.page.client(APPROVER)
    since = version_of(client)
    start.stage.waiting()
    while "deploy #1001" not in client.get("/").text:
        time.sleep(0.05)
    assert b"event: change" in first_event(client, since)


@pytest.mark.parametrize("since", ["", "x", "-1", "9" * 5000])
def test_a_page_of_no_version_is_behind(shown: Start, since: str) -> None:
    assert b"event: change" in first_event(shown().page.client(APPROVER), since)


# A job's own programs.


@NEEDS_USERS
def test_a_job_s_user_cannot_connect_to_the_sockets_at_all(shown: Start) -> None:
    start = shown(page={"socket": True, "proxy_socket": True})
    for door in ("socket", "proxy_socket"):
        with pytest.raises(PermissionError):
            connect_as(start.site.config["page"][door], 65_534)


@NEEDS_USERS
def test_a_job_with_curl_gets_nowhere_by_tcp(shown: Start) -> None:
    start = shown(page=tcp())
    address = start.site.config["page"]["listen"]
    ask = f"import socket; s = socket.create_connection(('127.0.0.1', {address.rpartition(':')[2]})); "
    ask += f"s.sendall(b'GET /login HTTP/1.1\\r\\nHost: {start.page.host}\\r\\n\\r\\n'); print(s.recv(9))"
    words = ["setpriv", f"--reuid={RUN_AS}", "--clear-groups", "--", "/usr/bin/python3", "-c", ask]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert "HTTP" not in done.stdout
    assert "which jobs run as, may not connect" in start.page.log
    assert start.page.client(door="listen").get("/login").status == 200


def test_a_page_that_is_dead_delays_nobody_who_drops(shown: Start) -> None:
    start = shown()
    request = start.stage.waiting()
    start.page.stop()
    start.site.drop(APPROVER, f"{request.facts['job_id']}.approve", "by hand")
    done = start.site.gate(APPROVER, "list")
    assert request.key in done.stdout


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


def start_connection(client: Client) -> socket.socket:
    connection = client.connect()
    connection.settimeout(60)
    return connection


def read_all(connection: socket.socket) -> bytes:
    """Everything until the other end closes."""
    content = b""
    try:
        while data := connection.recv(65_536):
            content += data
    except ConnectionResetError:
        pass
    return content


def until(connection: socket.socket, *wanted: bytes) -> bytes:
    content = b""
    while not any(each in content for each in wanted) and (data := connection.recv(65_536)):
        content += data
    return content


def looks_on(client: Client, path: str = "/live") -> socket.socket:
    connection = start_connection(client)
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {client.page.host}\r\n{client.cookie_line}\r\n".encode())
    return connection


def first_event(client: Client, since: str) -> bytes:
    """What a page of that version is told first: that something has changed or, in the end, nothing."""
    with looks_on(client, f"/live?since={since}") as viewer:
        return until(viewer, b"event: change", b": still here")


def version_of(client: Client) -> str:
    """The version that the page of what waits is made of."""
    found = re.search(r'<body data-follow="(\d+)">', client.get("/").body)
    assert found
    return found[1]


def _without_tokens(reply: Reply, name: str) -> str:
    return re.sub(r'value="[0-9a-f.]{60,}"', "", reply.body).replace(f'value="{name}"', "")
