"""docs/how-to/notices.md: its table of fields, its line for another user, and its two commands, as the gate runs them."""

from __future__ import annotations

import email
import json
import os
import pwd
import re
import shutil
import stat
import threading
from contextlib import contextmanager
from email import policy as email_policy
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from gate.flow import detached, on_event
from gate.flow.decide import decide
from tests.runner.gated import until
from tests.support.gate_state import IS_ROOT, facts_of, made, open_request
from tests.support.parts import part
from tests.support.site import CHECKOUT, RUN_AS, Site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import EmailMessage
    from pathlib import Path

    from gate.store.request import Request

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")  # the threads of xdist

PAGE = (CHECKOUT / "docs" / "how-to" / "notices.md").read_text(encoding="utf-8")
MAIL, CHAT = (str(CHECKOUT / "docs" / "examples" / name) for name in ("notify-mail", "notify-chat"))
NEEDS_CURL = pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on PATH: install curl")
HOSTILE = "x\nBcc: eve@example.com\r\n\n\x1b[31m\u202e`<!channel> @all [approve](http://evil.example)` \"', & grün"
EVENTS = ("opened", "reminder", "decided")


def message(request: Request, policy: Any, event: str) -> bytes:
    about: Any = {}
    if event == "reminder":
        about = {"progress": "1 of 2 from ops: alice", "reminder": 1}
    if event == "decided":
        vote = {"person": "alice", "via": "drop", "uid": 1, "comment": HOSTILE}
        about = {
            "decision": decide(request, "rejected", HOSTILE, rule="all", config="", votes=[part(vote)]),
            "why": None,
        }
    return on_event.message(request, policy, event, about)


@pytest.fixture
def policy(tmp_path: Path) -> Any:
    return made(tmp_path / "state")


def hostile(policy: Any) -> Request:
    names = ("name", "stage", "ref", "path", "sha")
    return open_request(policy, facts=facts_of(**dict.fromkeys(names, HOSTILE)) | {"triggered_by": _by(HOSTILE)})


def _by(name: str) -> Any:
    return {"names": [name], "ids": [5], "emails": []}


def ran(tmp_path: Path, command: list[str], content: bytes) -> str:
    """Why the command failed, run as the gate runs it; empty where it did not."""
    result = tmp_path / "why"
    result.unlink(missing_ok=True)

    def keep() -> None:
        tmp_path.joinpath("why.new").write_text(detached.run(command, content), encoding="utf-8")
        tmp_path.joinpath("why.new").rename(result)

    detached.detach(keep)
    until(result.exists, "ended")
    return result.read_text(encoding="utf-8")


@pytest.mark.parametrize("event", EVENTS)
def test_the_table_names_every_field(policy: Any, event: str) -> None:
    rows = re.findall(
        r"^- (`[^(]+`) \(([^)]+)\): (.*?)(?=\n- |\n\n)", PAGE.partition("## What")[2], re.MULTILINE | re.DOTALL
    )
    named = {
        name for fields, where, _is in rows if where in ("all", f"`{event}`") for name in re.findall(r"`(\w+)`", fields)
    }
    told = json.loads(message(open_request(policy), policy, event))
    assert named == told.keys()
    job = next(what for fields, _where, what in rows if fields == "`job`")
    assert set(re.findall(r"`(\w+)`", job)) == told["job"].keys()


def mailed(tmp_path: Path, content: bytes, *recipients: str) -> tuple[EmailMessage, list[str]]:
    """The mail that a fake sendmail got, and its arguments."""
    sendmail = tmp_path / "sendmail"
    sendmail.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/arguments; cat > {tmp_path}/mail\n', encoding="utf-8"
    )
    sendmail.chmod(0o755)
    command = ["/usr/bin/env", f"SENDMAIL={sendmail}", MAIL, *recipients]
    assert ran(tmp_path, command, content) == ""
    mail = email.message_from_bytes((tmp_path / "mail").read_bytes(), policy=email_policy.default)
    return mail, (tmp_path / "arguments").read_text(encoding="utf-8").splitlines()


def test_a_mail_says_what_waits_and_how_to_answer(policy: Any, tmp_path: Path) -> None:
    content = message(open_request(policy), policy, "opened")
    mail, arguments = mailed(tmp_path, content, "ops@example.com", "alice@example.com")
    assert arguments == ["-i", "ops@example.com", "alice@example.com"]
    assert (mail["To"], mail["Subject"]) == (
        "ops@example.com, alice@example.com",
        "[gate] waits: deploy #1001 of grp/app",
    )
    body = mail.get_content()
    for said in (
        "commit:    0123456789",
        "all: 1 of release-managers (alice, bob)",
        "gate approve git.example-42-1001",
    ):
        assert said in body


@pytest.mark.parametrize("event", EVENTS)
def test_a_mail_about_a_rehearsal_says_so(policy: Any, tmp_path: Path, event: str) -> None:
    request = open_request(policy, facts=facts_of(rehearsal=True))
    mail, _arguments = mailed(tmp_path, message(request, policy, event), "ops@example.com")
    assert mail["Subject"].endswith(": rehearsal of deploy #1001 of grp/app")
    assert "job:       rehearsal of deploy #1001" in mail.get_content()


@NEEDS_CURL
@pytest.mark.parametrize("event", EVENTS)
def test_a_chat_message_about_a_rehearsal_says_so(policy: Any, tmp_path: Path, event: str) -> None:
    request = open_request(policy, facts=facts_of(rehearsal=True))
    why, ((_path, _type, body),) = posted(tmp_path, message(request, policy, event))
    assert (why, "*: `rehearsal of deploy #1001 of grp/app" in json.loads(body)["text"]) == ("", True)


def test_a_mail_about_a_refused_job_says_why_and_names_no_rule(policy: Any, tmp_path: Path) -> None:
    request = open_request(policy, rule="")
    about = {"decision": decide(request, "refused", "no rule is for it", rule="", config=""), "why": None}
    mail, _arguments = mailed(tmp_path, on_event.message(request, policy, "decided", part(about)), "ops@example.com")
    assert mail["Subject"] == "[gate] refused: deploy #1001 of grp/app"
    said = [line.partition(":")[0] for line in mail.get_content().splitlines()]
    assert said == ["job", "commit", "triggered", "asked", "decided"]


@pytest.mark.parametrize("event", EVENTS)
def test_a_hostile_job_makes_no_header_and_no_line_of_a_mail(policy: Any, tmp_path: Path, event: str) -> None:
    mail, arguments = mailed(tmp_path, message(hostile(policy), policy, event), "ops@example.com")
    assert arguments == ["-i", "ops@example.com"]
    known = {"subject", "to", "auto-submitted", "content-type", "content-transfer-encoding", "mime-version"}
    assert {name.lower() for name in mail.keys()} == known  # noqa: SIM118  a mail is no dict
    assert mail["To"] == "ops@example.com"
    assert "grün" in mail["Subject"]
    lines = mail.get_content().splitlines()
    assert all(
        re.match(r"(job|commit|triggered|rule|asked|so far|until|answer|or at|decided|comment): ", line)
        for line in lines
    )
    assert all(line.isprintable() for line in lines)


def test_a_mail_that_cannot_be_sent_is_a_failure(policy: Any, tmp_path: Path) -> None:
    content = message(open_request(policy), policy, "opened")
    assert ran(tmp_path, ["/usr/bin/env", "SENDMAIL=/bin/false", MAIL, "ops@example.com"], content) == "exit status 1"
    missing = ran(tmp_path, ["/usr/bin/env", "SENDMAIL=/nowhere/sendmail", MAIL, "ops@example.com"], content)
    assert missing.endswith("No such file or directory: '/nowhere/sendmail'")


class Chat(HTTPServer):
    """A webhook that answers `status` and keeps what was posted: (path, content type, body)."""

    def __init__(self, status: int) -> None:
        super().__init__(("127.0.0.1", 0), _Webhook)
        self.status = status
        self.posted: list[tuple[str, str | None, bytes]] = []


class _Webhook(BaseHTTPRequestHandler):
    server: Chat

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posted.append((self.path, self.headers["Content-Type"], body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def chat(status: int = 200) -> Iterator[Chat]:
    with Chat(status) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def posted(tmp_path: Path, content: bytes, status: int = 200) -> tuple[str, list[tuple[str, str | None, bytes]]]:
    """Why posting failed, and what the webhook got."""
    with chat(status) as server:
        config = tmp_path / "chat.curl"
        config.write_text(
            f'url = "http://127.0.0.1:{server.server_port}/services/T0/B0/s3cret"\nnoproxy = "*"\n', encoding="ascii"
        )
        return ran(tmp_path, [CHAT, str(config)], content), server.posted


@NEEDS_CURL
def test_a_chat_is_told_what_waits_and_how_to_answer(policy: Any, tmp_path: Path) -> None:
    why, found = posted(tmp_path, message(open_request(policy), policy, "opened"))
    ((path, kind, body),) = found
    assert (why, path, kind) == ("", "/services/T0/B0/s3cret", "application/json")
    said = json.loads(body)
    assert said["text"].startswith("*waits for an approval*: `deploy #1001 of grp/app, main at 01234567, by dev`\n")
    assert said["text"].endswith("on `test.example`: `gate approve git.example-42-1001`")
    assert (said["unfurl_links"], said["unfurl_media"]) == (False, False)


@NEEDS_CURL
@pytest.mark.parametrize("event", EVENTS)
def test_a_hostile_job_links_nothing_and_calls_nobody_in_a_chat(policy: Any, tmp_path: Path, event: str) -> None:
    _why, ((_path, _kind, body),) = posted(tmp_path, message(hostile(policy), policy, event))
    text = json.loads(body)["text"]
    outside = re.sub(r"`[^`\n]*`", "", text)
    assert "grün" in text
    assert not re.search(r"[<>@\[\]`]|http|grün", outside)
    assert not re.search(r"[<>]|&(?!amp;|lt;|gt;)", text)
    assert len(text.splitlines()) <= 4


@NEEDS_CURL
def test_a_chat_names_the_page(policy: Any, tmp_path: Path) -> None:
    policy |= {"page": {"url": "https://gate.example", "uid": os.geteuid(), "gid": os.getegid()}}
    _why, ((_path, _kind, body),) = posted(tmp_path, message(open_request(policy), policy, "reminder"))
    assert json.loads(body)["text"].endswith("\nhttps://gate.example/requests/git.example-42-1001")


@NEEDS_CURL
def test_a_chat_that_says_no_is_a_failure_without_its_address(policy: Any, tmp_path: Path) -> None:
    why, _found = posted(tmp_path, message(open_request(policy), policy, "opened"), 403)
    assert why.startswith("exit status 22: ")
    assert "403" in why
    assert "s3cret" not in why


@pytest.mark.parametrize("example", [MAIL, CHAT])
def test_examples_can_be_run(example: str) -> None:
    assert stat.S_IMODE(os.stat(example).st_mode) & 0o755 == 0o755
    assert f"({os.path.relpath(example, CHECKOUT / 'docs' / 'how-to')})" in PAGE


@pytest.mark.skipif(not IS_ROOT, reason="not root: only root can act as a second Unix user")
def test_a_command_runs_as_a_user_of_its_own(tmp_path: Path) -> None:
    (line,) = re.findall(r"^on_event: .*setpriv[^\]]*\]$", PAGE, re.MULTILINE)
    command = yaml.safe_load(line.replace("gate-notify", RUN_AS).replace("regid=nobody", "regid=nogroup"))["on_event"]
    with Site() as site:
        probe = site.base / "probe"
        probe.write_text(
            '#!/bin/sh\nprintf "%s " "$(id -u)" "$(id -G)" "$(cat)" "$HOME" >&2; exit 33\n', encoding="utf-8"
        )
        probe.chmod(0o755)
        options = command[: command.index("--") + 1]
        user = pwd.getpwnam(RUN_AS)
        assert (
            ran(tmp_path, [*options, str(probe)], b"told\n")
            == f"exit status 33: {user.pw_uid} {user.pw_gid} told {user.pw_dir}"
        )
