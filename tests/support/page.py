"""A running `gate page`, and ways to speak to it: as a person by the Unix socket, by TCP, or as a proxy."""

from __future__ import annotations

import functools
import html
import http.client
import json
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import time
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config.page import link_socket_of
from gate.page.auth.accounts import Accounts
from gate.store import layout
from tests.support.gate_state import fork
from tests.support.site import ENTRY, IS_ROOT, PAGE_GROUP, PAGE_USER, PROXY_GROUP, USERS
from tests.support.warm import Forked

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from tests.support.site import Site

WITHIN_S = 60  # against hanging
PASSWORD = "correct horse battery staple"
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}


@dataclass
class Reply:
    """An answer of the page, whole."""

    status: int
    headers: http.client.HTTPMessage
    body: str

    def field(self, name: str, *, of_header: bool = False) -> str:
        """The value of a hidden field: of the page's own form, or of the one in its header, which logs out."""
        header, _, main = self.body.partition("<main")
        found = re.search(rf'name="{name}" value="([^"]*)"', header if of_header else main)
        assert found, f"no field {name!r} in:\n{self.body}"
        return html.unescape(found[1])

    @property
    def text(self) -> str:
        """The page's words, roughly: without tags."""
        return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", self.body)).split())


@dataclass
class Client:
    """Somebody who speaks to the page; keeps cookies as a browser does."""

    page: PageServer
    person: str | None = None
    door: str = "socket"
    headers: dict[str, str] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)
    links: bool = True

    def get(self, path: str, headers: dict[str, str] | None = None) -> Reply:
        return self.send("GET", path, headers=headers)

    def post(
        self, path: str, form: dict[str, str] | list[tuple[str, str]], headers: dict[str, str] | None = None
    ) -> Reply:
        """Send a form as a browser does from the page itself."""
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        body = urllib.parse.urlencode(form).encode()
        return self.send("POST", path, body=body, headers={**SAME_ORIGIN, **kind, **(headers or {})})

    def send(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Reply:
        connection = http.client.HTTPConnection("gate", timeout=WITHIN_S)
        self._open_link()
        own = {"Host": self.page.host, **self.headers, **(headers or {})}
        if self.cookies:
            own["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        connection.sock = self.connect()
        connection.request(method, path, body=body, headers=own)
        answer = connection.getresponse()
        reply = Reply(answer.status, answer.msg, answer.read().decode())
        connection.close()
        for cookie in answer.msg.get_all("Set-Cookie", []):
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value.strip('"')
        return reply

    @property
    def cookie_line(self) -> str:
        """The head's line with this client's cookies, logged in by a link where that is wanted.

        "" where it has none.
        """
        self._open_link()
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return f"Cookie: {cookies}\r\n" if cookies else ""

    def _open_link(self) -> None:
        """What everybody does first who comes by the socket."""
        if (
            self.links
            and not self.cookies
            and self.door == "socket"
            and self.page.site.config["page"].get("login_link", True)
        ):
            self.links = False
            path = urllib.parse.urlsplit(self.page.link(self.person)).path
            assert self.post(path, {}).status == 303

    def connect(self) -> socket.socket:
        """A new connection at this client's door."""
        if self.door == "listen":
            return socket.create_connection(self.page.site.config["page"]["listen"].rsplit(":", 1), timeout=WITHIN_S)
        path = link_socket_of(self.page.site.config["page"]) if self.door == "link_socket" else None
        return connect_as(path or self.page.site.config["page"][self.door], self.page.uid_of(self.person))

    def log_in(self, person: str, password: str = PASSWORD) -> Reply:
        """Log in by the form."""
        token = self.get("/login").field("token")
        return self.post("/login", {"token": token, "next": "", "person": person, "password": password})

    def vote(self, key: str, answer: str, comment: str = "", **changes: str) -> Reply:
        """Open a request, and send its form."""
        shown = self.get(f"/requests/{key}")
        form = {"token": shown.field("token"), "digest": shown.field("digest"), "answer": answer, "comment": comment}
        return self.post(f"/requests/{key}", {**form, **changes})


class PageServer:
    """`gate page` of a site, as its own user where we are root; ended with the context."""

    def __init__(self, site: Site, prelude: str = "") -> None:
        """`prelude` is Python that the page's process runs first: to set its clock, say."""
        self.site, self._prelude = site, prelude
        self._log = site.base / "page.log"
        self.process: Forked | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _t: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, and wait until it serves."""
        before = self.log.count("serves http")
        with self._log.open("ab") as log:
            words = ["--config", str(self.site.yaml), "page"]
            who: dict[str, Any] = {"user": PAGE_USER, "groups": _GROUPS} if IS_ROOT else {}
            self.process = Forked(words, log.fileno(), prelude=self._prelude, **who)
        give_up = time.monotonic() + WITHIN_S
        while self.log.count("serves http") == before:
            assert self.process.poll() is None, self.log
            assert time.monotonic() < give_up, f"the page does not start:\n{self.log}"
            time.sleep(0.02)

    def stop(self, sig: signal.Signals = signal.SIGTERM) -> int | None:
        """End it; returns its exit status, None where it runs no more."""
        if self.process is None:
            return None
        self.process.send_signal(sig)
        status = self.process.wait(WITHIN_S)
        self.process = None
        return status

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    @property
    def url(self) -> str:
        page = self.site.config["page"]
        return str(page.get("url") or f"http://gate.localhost:{page.get('listen', ':8420').rpartition(':')[2]}")

    @property
    def host(self) -> str:
        return urllib.parse.urlsplit(self.url).netloc

    def command(self, *words: str) -> list[str]:
        """The `gate` command as the page's user."""
        gate = [
            sys.executable,
            "-I",
            "-c",
            _GATE.format(entry=str(ENTRY.parent), prelude=self._prelude),
            "--config",
            str(self.site.yaml),
            *words,
        ]
        if not IS_ROOT:
            return gate
        return ["setpriv", f"--reuid={PAGE_USER}", f"--regid={PAGE_USER}", f"--groups={','.join(_GROUPS)}", "--", *gate]

    def add_user(self, person: str, password: str = PASSWORD) -> None:
        """As `gate user add` does, once the page runs.

        With a hash of before, since making one takes long on purpose.
        """
        directory = Path(layout.accounts(layout.page(str(self.site.state))))
        account = directory / f"{person}.json"
        directory.mkdir(mode=0o700, exist_ok=True)
        account.write_bytes(_account(person, password))
        account.chmod(0o600)
        for path in (directory, account):
            shutil.chown(path, PAGE_USER)

    def client(self, person: str | None = None, door: str = "socket", **headers: str) -> Client:
        return Client(self, person, door, {name.replace("_", "-"): value for name, value in headers.items()})

    def link(self, person: str | None) -> str:
        """What `gate page link` prints to that person."""
        client = Client(self, person, "link_socket", links=False)
        reply = client.post("/link", {})
        assert reply.status == 200, reply.body
        address: str = json.loads(reply.body)["address"]
        return address

    def uid_of(self, person: str | None) -> int:
        if not IS_ROOT or person is None:
            return os.geteuid()
        return self.site.uid(person) if person in USERS else int(person)


@functools.cache
def _account(person: str, password: str) -> bytes:
    """What `gate user add` keeps of somebody."""
    with tempfile.TemporaryDirectory() as made:
        accounts = Accounts(made)
        accounts.set_password(person, password)
        return Path(accounts.directory, f"{person}.json").read_bytes()


def connect_as(path: str, uid: int) -> socket.socket:
    """A connection to a Unix socket that another user made: who connected is who the kernel says it is."""
    if uid == os.geteuid():
        mine = socket.socket(socket.AF_UNIX)
        mine.settimeout(WITHIN_S)
        mine.connect(path)
        return mine
    ours, theirs = socket.socketpair()

    def connect() -> bool:
        group = os.stat(path).st_gid
        os.setgroups([group] if uid < 60_000 else [])  # the kernel's nobody is in no group
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        with socket.socket(socket.AF_UNIX) as made:
            try:
                made.connect(path)
            except OSError as error:
                theirs.send(str(error.errno).encode())
                return False
            socket.send_fds(theirs, [b"0"], [made.fileno()])
        return True

    child = fork(connect)
    message, descriptors, _flags, _address = socket.recv_fds(ours, 16, 1)
    os.waitpid(child, 0)
    ours.close()
    theirs.close()
    if not descriptors:
        raise OSError(int(message), os.strerror(int(message)))
    return socket.socket(fileno=descriptors[0])


_GROUPS = (PAGE_GROUP, PROXY_GROUP)  # of the proxy's too, since no systemd hands over the sockets
_GATE = (
    "import sys; sys.path.insert(0, {entry!r}); import gitlab_runner_gate\n{prelude}\ngitlab_runner_gate.gate_main()"
)
