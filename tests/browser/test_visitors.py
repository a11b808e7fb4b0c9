"""Who comes to the page, and how many: passwords, sessions, proxies, crowds, a job's programs (threats T25 to T28)."""

from __future__ import annotations

import contextlib
import html
import re
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gate.page.auth.throttle import FREE_FAILURES, STRANGERS_FAILURES
from tests.support.page import PASSWORD, Client, connect_as
from tests.support.site import APPROVER, IS_ROOT, RUN_AS
from tests.support.visits import NEEDS_USERS, left, read_all, start_connection, tcp

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from tests.browser.conftest import Shown
    from tests.support.page import Reply

    Start = Callable[..., Shown]

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


# T26: wrong passwords.


def test_a_flood_of_wrong_names_keeps_nobody_with_an_account_out(shown: Start) -> None:
    start = shown(page=tcp())
    start.page.add_user(APPROVER)
    attacker = start.page.client(door="listen")
    form = {"token": attacker.get("/login").field("token"), "next": "", "password": "wrong"}
    statuses = {attacker.post("/login", {**form, "person": f"nobody{n}"}).status for n in range(STRANGERS_FAILURES + 5)}
    assert statuses == {403}  # the same before and after: it does not tell who has an account
    assert start.page.client(door="listen").log_in(APPROVER).status == 303


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
    "an address": ("mallory@example.com", "Remote-User: mallory@example.com, and no one in gate.yaml has that name."),
    "markup": ("<img src=x>", "Remote-User: &lt;img src=x&gt;, and no one"),
    "an override": ("m\u202ex", r"Remote-User: m\u202ex, and no one"),
    "too long": ("x" * 3000, f"Remote-User: {'x' * 100}… (3000 characters), and no one"),
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
    return re.sub(r'value="[0-9A-Za-z_.-]{60,}"', "", reply.body).replace(f'value="{name}"', "")
