"""Pages that are not ours, in the approver's own browser; and the ways to ours that are not TCP with a password."""

from __future__ import annotations

import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.support.browser import Browsers, log_in, log_in_by_link
from tests.support.ports import free_port
from tests.support.site import APPROVER, IS_ROOT, RUN_AS, USERS
from tests.support.tools import need
from tests.support.visits import left

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.browser.conftest import Shown

    Start = Callable[..., Shown]

NEEDS_USERS = pytest.mark.skipif(not IS_ROOT, reason="not root: only root can act as a second Unix user")


class JobsServer:
    """What a job may run on the host: a web server that serves `html`, and keeps what browsers send to it."""

    def __init__(self, html: str) -> None:
        self.cookies: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.cookies.append(self.headers.get("Cookie", ""))
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(html.encode())

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.mark.parametrize("host", ["gate.localhost", "job.localhost", "127.0.0.1"])
def test_a_job_s_own_page_cannot_send_the_form(shown: Start, browser: Browsers, host: str) -> None:
    start = shown()
    start.page.add_user(APPROVER)
    request = start.stage.waiting()
    seen = browser.open()
    log_in(seen, start.page, APPROVER, f"/requests/{request.key}")
    # Even one that got hold of a token: it is the origin that is wrong.
    fields = {name: seen.locator(f"#answer [name={name}]").input_value() for name in ("token", "digest")} | {
        "answer": "approve"
    }
    inputs = "".join(f'<input name="{name}" value="{value}">' for name, value in fields.items())
    form = f'<form method="post" action="{start.page.url}/requests/{request.key}">{inputs}<button>Win</button></form>'
    server = JobsServer(form)
    try:
        seen.goto(f"http://{host}:{server.port}/")
        with seen.expect_response("**/requests/**") as sent:
            seen.get_by_role("button", name="Win").click()
    finally:
        server.close()
    assert sent.value.status in (401, 403)
    assert left(start, request.key) == []


def test_a_job_s_own_page_cannot_frame_or_read_ours(shown: Start, browser: Browsers) -> None:
    start = shown()
    start.page.add_user(APPROVER)
    start.stage.waiting(name="secret-name")
    seen = browser.open()
    log_in(seen, start.page, APPROVER)
    read = f"fetch('{start.page.url}/', {{credentials: 'include'}}).then((a) => a.text()).catch((e) => String(e))"
    server = JobsServer(f'<iframe src="{start.page.url}/"></iframe>')
    try:
        seen.goto(f"http://gate.localhost:{server.port}/")
        assert "secret-name" not in seen.evaluate(read)
        framed = seen.frames[-1]
        assert "secret-name" not in framed.content()
    finally:
        server.close()


@NEEDS_USERS
def test_a_job_that_is_given_the_cookie_has_no_way_to_use_it(shown: Start, browser: Browsers) -> None:
    start = shown()
    start.page.add_user(APPROVER)
    seen = browser.open()
    log_in(seen, start.page, APPROVER)
    server = JobsServer("hello")
    try:
        for host in ("127.0.0.1", "localhost", "other.localhost"):
            seen.goto(f"http://{host}:{server.port}/")
        assert "gate-session" not in "".join(server.cookies)
        seen.goto(f"http://gate.localhost:{server.port}/")  # the one name that the cookie goes to, whatever the port
        cookie = next(each for each in server.cookies if "gate-session" in each)
    finally:
        server.close()
    port = start.page.host.rpartition(":")[2]
    ask = f"import socket; s = socket.create_connection(('127.0.0.1', {port})); s.sendall(b'GET / HTTP/1.1\\r\\n"
    ask += f"Host: {start.page.host}\\r\\nCookie: {cookie}\\r\\n\\r\\n'); print(s.recv(99))"
    words = ["setpriv", f"--reuid={RUN_AS}", "--clear-groups", "--", "/usr/bin/python3", "-c", ask]
    assert "HTTP" not in subprocess.run(words, capture_output=True, text=True, check=False, timeout=60).stdout


@NEEDS_USERS
def test_by_the_socket_nobody_is_asked_for_a_password(shown: Start, browser: Browsers) -> None:
    port = free_port()
    start = shown(page={"socket": True, "url": f"http://gate.localhost:{port}"})
    request = start.stage.waiting()
    with start.site.forward("bob", port) as ssh:
        seen = browser.open()
        log_in_by_link(seen, start.page, "bob")
        expect(seen.locator(".who")).to_have_text("bob")
        seen.get_by_role("link", name="deploy #1001").click()
        seen.get_by_role("button", name="Approve").click()
        seen.locator("#outcome p").wait_for()
        ssh.terminate()
    assert [vote["person"] for vote in left(start, request.key)] == ["bob"]


@NEEDS_USERS
def test_a_member_of_the_group_who_is_nobody_in_gate_yaml_looks_on(shown: Start, browser: Browsers) -> None:
    port = free_port()
    start = shown(page={"socket": True, "url": f"http://gate.localhost:{port}"})
    start.site.config["people"]["carol"] = {"gitlab": ["carol-gl"]}
    start.site.write()
    request = start.stage.waiting()
    with start.site.forward("carol", port) as ssh:
        seen = browser.open()
        log_in_by_link(seen, start.page, "carol", f"/requests/{request.key}")
        expect(seen.locator(".who")).to_have_text(f"{USERS['carol']}, looking on")
        expect(seen.locator(".look-only")).to_contain_text("gate.yaml has no person for games")
        assert [button.inner_text() for button in seen.get_by_role("button").all()] == ["?", "Log out"]
        ssh.terminate()


NGINX = """
daemon off; pid {tmp}/nginx.pid; error_log {tmp}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {tmp}/1; proxy_temp_path {tmp}/2; fastcgi_temp_path {tmp}/3; uwsgi_temp_path {tmp}/4; scgi_temp_path {tmp}/5;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {tmp}/cert.pem; ssl_certificate_key {tmp}/key.pem;
    location / {{
{location}
    }}
  }}
}}
"""


def nginx_location(page: Path) -> str:
    """The location block that docs/how-to/nginx.md shows."""
    return page.read_text(encoding="utf-8").partition("    location / {\n")[2].partition("\n    }")[0]


def test_behind_nginx_as_the_docs_have_it(shown: Start, browser: Browsers, tmp_path: Path) -> None:
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if not nginx:
        pytest.skip("no nginx: apt install nginx-light; the page is not seen behind a reverse proxy")
    need("openssl")
    port = free_port()
    start = shown(page={"proxy_socket": True, "url": f"https://gate.localhost:{port}"})
    request = start.stage.waiting()
    _start_files(tmp_path)
    shown_block = nginx_location(start.site.checkout / "docs" / "how-to" / "nginx.md")
    block = shown_block.replace("/run/gitlab-runner-gate/proxy.sock", start.site.config["page"]["proxy_socket"])
    block = block.replace("/etc/nginx/gate.htpasswd", f"{tmp_path}/htpasswd")
    (tmp_path / "nginx.conf").write_text(NGINX.format(tmp=tmp_path, port=port, location=block))
    words = [nginx, "-c", str(tmp_path / "nginx.conf"), *(["-g", "user root;"] if IS_ROOT else [])]
    with subprocess.Popen(words) as running:
        try:
            options: dict[str, Any] = {"ignore_https_errors": True, "extra_http_headers": {"Remote-User": "mallory"}}
            seen = browser.open(**options, http_credentials={"username": APPROVER, "password": "open sesame"})
            _until_listening(port)
            seen.goto(f"{start.page.url}/requests/{request.key}")
            expect(seen.locator(".who")).to_have_text(APPROVER)
            seen.get_by_role("button", name="Approve").click()
            seen.locator("#outcome p").wait_for()
        finally:
            running.terminate()
    assert [vote["person"] for vote in left(start, request.key)] == [APPROVER]


def _start_files(tmp_path: Path) -> None:
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=gate.localhost", "-days", "2"]
    make += ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    subprocess.run(make, check=True, capture_output=True, timeout=60)
    hashed = subprocess.run(
        ["openssl", "passwd", "-apr1", "open sesame"], check=True, capture_output=True, text=True, timeout=60
    )
    (tmp_path / "htpasswd").write_text(f"{APPROVER}:{hashed.stdout}")


def _until_listening(port: int) -> None:
    import socket
    import time

    give_up = time.monotonic() + 20
    while time.monotonic() < give_up:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("nginx does not listen")
