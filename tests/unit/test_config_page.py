"""The page and on_event in gate.yaml: who may serve it, and what must be able to reach what."""

import os
from pathlib import Path

import pytest

from config.accounts import User
from config.load import ConfigError, load_policy, policy_from
from config.notice import problems
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
        (f"user: ghost, {SOCKET}", ["no Unix user 'ghost' on this host: create it, or name another"]),
        (f"user: root, {SOCKET}", ["the gate itself runs as 'root', so a page that is broken into could decide: name another user"]),
        (f"user: alice, {SOCKET}", ["'alice' is a person too: name a user that is the page's alone"]),
        (f"user: carol, {SOCKET}", ["'carol' is not in the approvers' group: usermod --append --groups gate-approvers carol"]),
        (f"user: gitlab-job, {SOCKET}", [
            "'gitlab-job' is not in the approvers' group: usermod --append --groups gate-approvers gitlab-job",
            "jobs run as 'gitlab-job', so a job could vote as anybody: name another user",
        ]),
        ("user: gitlab-gate, proxy_socket: /run/gate/proxy.sock",
         ["'proxy_group' is missing: name the Unix group of the reverse proxy, for instance proxy_group: www-data"]),
        (f"user: gitlab-gate, {PROXIED.replace('www-data', 'ghosts')}", ["no Unix group 'ghosts' on this host: create it, or name another"]),
        (f"user: gitlab-gate, {PROXIED.replace('www-data', 'gate-approvers')}",
         ["'gate-approvers' is the approvers' group too, and each of them could claim to be another: name the proxy's"]),
        (f"user: gitlab-gate, socket: /run/gate/proxy, {PROXIED.replace('proxy.sock', 'proxy-link')}",
         ["is the proxy's socket too: whoever reaches that can claim to be anybody, so give it one of its own"]),
        (f"user: gitlab-gate, socket: /run/gate/proxy.sock, {PROXIED}",
         ["is the proxy's socket too: whoever reaches that can claim to be anybody, so give it one of its own"]),
    ],
)  # fmt: skip
def test_the_page_is_judged_by_its_user_and_its_ways_in(page: str, expected: list[str]) -> None:
    assert messages(page) == expected


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
    (message,) = messages(f"user: gitlab-gate, {SOCKET}", runner_uid=997, text=text)
    assert message == f"{expected} votes: add it there"
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
    found = policy_from(text.encode(), "gate.yaml", runner_uid=0, host=FakeHost())["page"]
    assert (found["uid"], found["gid"], found["url"], found["proxy_header"]) == (995, 995, url, "Remote-User")
    assert found["listen"] == (["::1", 99] if "listen" in page else None)


def test_the_policy_holds_the_proxy_s_group() -> None:
    text = f"{GOOD}page: {{user: gitlab-gate, {PROXIED}}}\n"
    found = policy_from(text.encode(), "gate.yaml", runner_uid=0, host=FakeHost())["page"]
    assert (found["proxy_socket"], found["proxy_gid"]) == ("/run/gate/proxy.sock", PROXY_GID)


def test_on_event_is_an_absolute_path() -> None:
    with pytest.raises(ConfigError, match="'notify' is no absolute path: begin with the whole path of the command"):
        policy_from(f"{GOOD}on_event: [notify]\n".encode(), "gate.yaml", runner_uid=0, host=FakeHost())


def test_on_event_names_a_program_that_nobody_else_can_exchange(tmp_path: Path) -> None:
    program = tmp_path / "notify"
    assert "on_event names a command that is there" in problems(str(program), ME)[0]
    program.write_text("#!/bin/sh\n")
    assert "chmod +x" in problems(str(program), ME)[0]
    program.chmod(0o755)
    assert problems(str(program), ME) == []
    program.chmod(0o775)
    assert problems(str(program), ME)[0].endswith("on_event would run what somebody else put there")


def test_a_gate_yaml_whose_command_others_can_write_does_not_load(tmp_path: Path) -> None:
    program, file = tmp_path / "notify", tmp_path / "gate.yaml"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o777)
    text = GOOD.replace("run_as: gitlab-job", "allow_same_user: true")
    file.write_text(f"{text}on_event: [{program}]\n")
    file.chmod(0o644)
    with pytest.raises(ConfigError, match=f"{program} can be written by others"):
        load_policy(str(file), host=FakeHost())


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
