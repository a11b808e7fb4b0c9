"""The page and on_event in gate.yaml: who may serve it, and what must be able to reach what."""

import os
from pathlib import Path
from typing import Any

import pytest

from config.accounts import User
from config.load import ConfigError, load_policy, policy_from
from config.notice import exposed, unusable
from config.page import link_socket_of
from tests.support.fake_accounts import PROXY_GID, FakeHost
from tests.unit.test_config_faults import GOOD

SOCKET = "socket: /run/gate/page.sock"
PROXIED = "proxy_socket: /run/gate/proxy.sock, proxy_group: www-data"
ME = os.geteuid()


def messages(page: str, runner_uid: int = 0, host: FakeHost | None = None, text: str = GOOD) -> list[str]:
    data = f"{text}page: {{{page}}}\n".encode()
    try:
        policy_from(data, "gate.yaml", runner_uid=runner_uid, host=host or FakeHost())
    except ConfigError as error:
        return [fault.message for fault in error.faults]
    return []


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        (f"user: gitlab-gate, {SOCKET}", []),
        ("user: gitlab-gate, listen: 127.0.0.1:8420", []),
        ("user: gitlab-gate, listen: '[::1]:65535', url: 'https://gate.example.com:8443/'", []),
        (f"user: gitlab-gate, {PROXIED}, proxy_header: X-Forwarded-User", []),
        ("user: gitlab-gate", ["no way in: write socket, listen, proxy_socket, or several of them"]),
        (f"user: root, {SOCKET}", ["the gate itself runs as 'root', so a page that is broken into could decide: name another user"]),
        (f"user: alice, {SOCKET}", ["'alice' is a person too: name a user that is the page's alone"]),
        (f"user: gitlab-job, {SOCKET}", ["jobs run as 'gitlab-job', so a job could vote as anybody: name another user"]),
        ("user: gitlab-gate, proxy_socket: /run/gate/proxy.sock",
         ["'proxy_group' is missing: name the Unix group of the reverse proxy, for instance proxy_group: www-data"]),
        (f"user: gitlab-gate, {PROXIED.replace('www-data', 'gate-approvers')}",
         ["'gate-approvers' is the approvers' group too, and each of them could claim to be another: name the proxy's"]),
        (f"user: gitlab-gate, socket: /run/gate/proxy, {PROXIED.replace('proxy.sock', 'proxy-link')}",
         ["is the proxy's socket too: all who reach that can claim to be anybody, so give it one of its own"]),
        (f"user: gitlab-gate, socket: /run/gate/proxy.sock, {PROXIED}",
         ["is the proxy's socket too: all who reach that can claim to be anybody, so give it one of its own"]),
    ],
)  # fmt: skip
def test_the_page_is_judged_by_its_user_and_its_ways_in(page: str, expected: list[str]) -> None:
    assert messages(page) == expected


GONE = [
    (f"user: ghost, {SOCKET}", "no Unix user 'ghost' on this host: create it, or name another; there is no page until then", None),
    (f"user: dave, {SOCKET}", "'dave' is not in the approvers' group, so the page cannot read requests:", "/run/gate/page.sock"),
    (f"user: gitlab-gate, {SOCKET}, {PROXIED.replace('www-data', 'ghosts')}",
     "no Unix group 'ghosts' on this host: create it, or name another; there is no proxy_socket until then", "/run/gate/page.sock"),
    (f"user: gitlab-gate, {PROXIED.replace('www-data', 'ghosts')}",
     "no Unix group 'ghosts' on this host: create it, or name another; there is no proxy_socket until then", None),
]  # fmt: skip


@pytest.mark.parametrize(("page", "told", "socket"), GONE)
def test_what_has_gone_of_the_page_stops_no_job(page: str, told: str, socket: str | None) -> None:
    host = FakeHost(FakeHost().users | {"dave": User("dave", 1400, 1400, "/")})
    found: Any = policy_from(f"{GOOD}page: {{{page}}}\n".encode(), "gate.yaml", runner_uid=0, host=host)
    (aside,) = found["asides"]
    assert (aside["of"], told in aside["message"], bool(aside["fix"])) == ("page", True, True)
    assert (found["page"] and found["page"]["socket"]) == socket
    assert not found["page"] or found["page"]["proxy_socket"] is None


@pytest.mark.parametrize(
    "page",
    [
        "listen: 0.0.0.0:8420", "listen: '127.0.0.1:0'", "listen: '127.0.0.1:65536'", "listen: localhost:8420",
        "socket: page.sock", "socket: /page.sock", "socket: /run/../page.sock", f"socket: /run/{'x' * 100}",
        f"{SOCKET}, url: 'http://gate.example.com'", f"{SOCKET}, url: 'http://localhost:8420'",
        f"{SOCKET}, url: 'https://gate.example.com/gate'", f"{SOCKET}, url: 'https://Gate.example.com'",
        f"{SOCKET}, proxy_header: 'Remote User'",
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_with_what_to_write(page: str) -> None:
    (message,) = messages(f"user: gitlab-gate, {page}")
    assert "does not fit: write " in message


@pytest.mark.parametrize("in_group", [True, False])
def test_a_page_s_user_whom_jobs_run_as_is_one_fault(in_group: bool) -> None:
    """Whether in the approvers' group or not: a command about that would only be undone by the next one."""
    host = FakeHost(approvers=("alice", "gitlab-gate") if in_group else ("alice",))
    text = GOOD.replace("run_as: gitlab-job", "run_as: gitlab-gate")
    assert messages(f"user: gitlab-gate, {SOCKET}", host=host, text=text) == [
        "jobs run as 'gitlab-gate', so a job could vote as anybody: name another user"
    ]


def test_a_job_in_the_group_of_the_page_or_of_the_proxy_is_a_fault() -> None:
    users = FakeHost().users | {"gitlab-job": User("gitlab-job", 998, 995, "/")}
    (message,) = messages(f"user: gitlab-gate, {SOCKET}", host=FakeHost(users))
    assert message.startswith("'gitlab-job', whom jobs run as, is in the group of 'gitlab-gate'")
    (message,) = messages(f"user: gitlab-gate, {PROXIED}", host=FakeHost(proxied=("gitlab-job",)))
    assert message.startswith("'gitlab-job', whom jobs run as, is in 'www-data'")


def test_without_an_approvers_group_a_page_could_read_nothing() -> None:
    text = GOOD.replace("approvers_group: gate-approvers\n", "")
    assert messages(f"user: gitlab-gate, {SOCKET}", text=text) == [
        "the page needs approvers_group, to read requests: name one"
    ]


def test_a_runner_that_is_not_root_must_be_in_the_page_s_group() -> None:
    text = GOOD.replace("run_as: gitlab-job", "allow_same_user: true")
    expected = (
        "the runner is not root (it is uid 997), and must be in the group of 'gitlab-gate', gid 995, to take the page's"
    )
    data = f"{text}page: {{user: gitlab-gate, {SOCKET}}}\n".encode()
    found: Any = policy_from(data, "gate.yaml", runner_uid=997, host=FakeHost())
    assert f"{expected} votes: add it there" in found["asides"][0]["message"]
    assert found["page"] is None
    users = FakeHost().users | {"gitlab-runner": User("gitlab-runner", 997, 995, "/")}
    assert messages(f"user: gitlab-gate, {SOCKET}", runner_uid=997, text=text, host=FakeHost(users)) == []


def test_for_trying_out_the_page_may_be_the_gate_s_own_user() -> None:
    text = GOOD.replace("approvers_group: gate-approvers\n", "").replace("run_as: gitlab-job", "allow_same_user: true")
    assert messages(f"user: gitlab-runner, {SOCKET}", runner_uid=997, text=text) == []


@pytest.mark.parametrize(
    ("page", "url"),
    [
        (SOCKET, "http://gate.localhost:8420"),
        ("listen: '[::1]:99'", "http://gate.localhost:99"),
        (f"{SOCKET}, url: 'https://gate.example.com/'", "https://gate.example.com"),
    ],
)
def test_the_policy_holds_what_the_page_needs(page: str, url: str) -> None:
    text = f"{GOOD}page: {{user: gitlab-gate, {page}}}\n"
    found: Any = policy_from(text.encode(), "gate.yaml", runner_uid=0, host=FakeHost())["page"]
    assert (found["uid"], found["gid"], found["url"], found["proxy_header"]) == (995, 995, url, "Remote-User")
    assert found["listen"] == (["::1", 99] if "listen" in page else None)


def test_the_policy_holds_the_proxy_s_group() -> None:
    text = f"{GOOD}page: {{user: gitlab-gate, {PROXIED}}}\n"
    found: Any = policy_from(text.encode(), "gate.yaml", runner_uid=0, host=FakeHost())["page"]
    assert (found["proxy_socket"], found["proxy_gid"]) == ("/run/gate/proxy.sock", PROXY_GID)


def test_on_event_is_an_absolute_path() -> None:
    with pytest.raises(ConfigError, match="'notify' is no absolute path: begin with the whole path of the command"):
        policy_from(f"{GOOD}on_event: [notify]\n".encode(), "gate.yaml", runner_uid=0, host=FakeHost())


def test_on_event_names_a_program_that_can_be_run(tmp_path: Path) -> None:
    program = tmp_path / "notify"
    assert unusable(str(program)) == f"on_event: {program}: no such file or directory: no notices are sent"
    program.write_text("#!/bin/sh\n")
    assert "chmod +x" in unusable(str(program))
    program.chmod(0o755)
    assert (unusable(str(program)), exposed(str(program), ME)) == ("", [])


def loaded(tmp_path: Path, program: Path) -> Any:
    file = tmp_path / "gate.yaml"
    text = GOOD.replace("run_as: gitlab-job", "allow_same_user: true")
    file.write_text(f"{text}on_event: [{program}]\n")
    file.chmod(0o644)
    return load_policy(str(file), host=FakeHost())[0]


@pytest.mark.parametrize("gone", ["nothing", "plain", "directory", "dangling", "loop", "below a file"])
def test_a_command_that_cannot_be_run_stops_no_job(tmp_path: Path, gone: str) -> None:
    program = tmp_path / "notify"
    if gone in ("plain", "below a file"):
        program.touch()
    elif gone == "directory":
        program.mkdir()
    elif gone in ("dangling", "loop"):
        program.symlink_to("nowhere" if gone == "dangling" else program)
    (aside,) = loaded(tmp_path, program / "deeper" if gone == "below a file" else program)["asides"]
    assert (aside["of"], "no notices are sent" in aside["message"]) == ("on_event", True)


@pytest.mark.parametrize("exchanged", ["the program", "its directory", "where it would be"])
def test_a_command_that_others_could_write_stops_the_gate(tmp_path: Path, exchanged: str) -> None:
    directory = tmp_path / "etc"
    directory.mkdir()
    program = directory / "notify"
    if exchanged != "where it would be":
        program.write_text("#!/bin/sh\n")
        program.chmod(0o777 if exchanged == "the program" else 0o755)
    if exchanged != "the program":
        directory.chmod(0o777)
    place = program if exchanged == "the program" else directory
    with pytest.raises(ConfigError, match=f"{place} can be written by others.*somebody else put there"):
        loaded(tmp_path, program)


@pytest.mark.parametrize(
    ("socket", "expected"),
    [
        ("/run/gate/page.sock", "/run/gate/page-link.sock"),
        ("/run/gate.d/page", "/run/gate.d/page-link"),
        ("/run/gate/p.a.sock", "/run/gate/p.a-link.sock"),
        (None, None),
    ],
)
def test_login_links_have_a_socket_beside_the_page_s(socket: str | None, expected: str | None) -> None:
    assert link_socket_of({"socket": socket} if socket else {}) == expected
