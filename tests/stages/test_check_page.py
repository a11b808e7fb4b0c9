"""`gate check` and the approval page: a real page of its own user, and what operators get wrong about it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.installed_host import BIN, ENVIRONMENT, GATE_YAML, STATE, WholeHost
from tests.support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

SOCKET = "/run/gitlab-runner-gate/page.sock"
LINKS = "/run/gitlab-runner-gate/page-link.sock"
PAGE = ["runuser", "-u", "gitlab-gate", "--", str(BIN / "gate"), "page"]
WITHIN_S = 60
MISTAKES = [
    (f"chmod 0666 {SOCKET}", "fail", "has mode 0666"),
    (f"chgrp root {SOCKET}", "fail", "is for group 0"),
    (f"chown alice {SOCKET}", "fail", "belongs to alice"),
    (f"mv {SOCKET} {SOCKET}.old && touch {SOCKET}", "fail", "is no socket"),
    (f"chmod 0666 {LINKS}", "fail", "has mode 0666"),
    ("chmod 0777 /run/gitlab-runner-gate", "fail", "can be written by others"),
]


@pytest.fixture
def host() -> Iterator[WholeHost]:
    with WholeHost() as host:
        yield host


class Serving:
    """A page that runs on a host, started by whatever command."""

    def __init__(self, host: WholeHost, command: list[str]) -> None:
        options: dict[str, Any] = {
            "env": ENVIRONMENT,
            "cwd": "/",
            "stdout": subprocess.PIPE,
            "stderr": subprocess.STDOUT,
            "text": True,
        }
        self.process = subprocess.Popen(host.command(command), start_new_session=True, **options)

    def __enter__(self) -> Self:
        assert self.process.stdout is not None
        assert "serves http" in self.process.stdout.readline()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
        self.process.communicate(timeout=WITHIN_S)


@pytest.fixture
def served(host: WholeHost) -> Iterator[WholeHost]:
    """A host with its page running, as its own user."""
    with Serving(host, PAGE):
        yield host


def found_of(host: WholeHost, name: str = "page") -> list[tuple[str, str]]:
    return [(each["state"], each["message"]) for each in host.check("--only", name)]


@pytest.mark.parametrize(("mistake", "state", "words"), MISTAKES, ids=[mistake for mistake, _, _ in MISTAKES])
def test_a_mistake_about_the_socket_is_named_and_mended(
    served: WholeHost, mistake: str, state: str, words: str
) -> None:
    assert found_of(served) == [("ok", f"the page answers at {SOCKET}, for http://gate.localhost:8420/")]
    served.sh(mistake, check=True)
    (found,) = [each for each in served.check("--only", "page") if each["state"] != "ok"]
    assert found["state"] == state
    assert words in found["message"]
    served.sh(found["fix"], check=True)
    served.sh(f"test -S {SOCKET} || mv {SOCKET}.old {SOCKET}", check=True)  # what was moved away is not given back
    assert found_of(served)[0][0] == "ok"


def test_without_the_socket_of_the_login_links_nobody_gets_in_and_that_is_a_failure(served: WholeHost) -> None:
    served.sh(f"rm {LINKS}", check=True)
    ((state, message),) = found_of(served)
    assert (state, f"{LINKS} is not there, so `gate page link` lets nobody in at {SOCKET}" in message) == ("fail", True)


def test_the_job_s_user_cannot_reach_a_page_that_serves(served: WholeHost) -> None:
    assert [state for state, _ in found_of(served, "job-user")] == ["ok"]
    served.sh(f"chmod 0666 {SOCKET}", check=True)
    assert ("fail", f"gitlab-job and deployer, whom jobs run as, can connect to {SOCKET}") in found_of(
        served, "job-user"
    )


def test_a_page_that_does_not_run_is_a_warning_and_the_printed_command_starts_it(host: WholeHost) -> None:
    host.sh("rmdir /run/gitlab-runner-gate", check=True)
    (found,) = host.check("--only", "page")
    assert (found["state"], found["message"]) == ("warn", f"{SOCKET} is not there: the page does not run")
    with Serving(host, ["sh", "-c", found["fix"]]):
        assert found_of(host)[0][0] == "ok"


def test_where_there_are_units_they_are_started(host: WholeHost) -> None:
    (host.base / "etc/systemd/system/gate-page.service").write_text("[Service]\n", encoding="ascii")
    assert host.check("--only", "page")[0]["fix"] == "systemctl enable --now gate-page.socket gate-page.service"


def test_a_page_that_was_killed_is_told(host: WholeHost) -> None:
    with Serving(host, PAGE) as serving:
        os.killpg(serving.process.pid, signal.SIGKILL)
        serving.process.wait(WITHIN_S)
        assert found_of(host) == [("warn", f"nobody answers at {SOCKET} (connection refused): the page does not run")]


def test_a_page_that_reads_no_log_is_told(served: WholeHost) -> None:
    served.sh(f"chmod 0700 {STATE}/audit", check=True)
    give_up = time.monotonic() + WITHIN_S
    while found_of(served)[0][0] != "fail":
        assert time.monotonic() < give_up
    assert "is not well" in found_of(served)[0][1]


def test_a_page_of_another_name_is_told(served: WholeHost) -> None:
    served.sh(f"sed -i 's|page.sock}}|page.sock, url: https://gate.example.com}}|' {GATE_YAML}", check=True)
    assert found_of(served) == [
        ("ok", f"the page answers at {SOCKET}, for https://gate.example.com/")
    ]  # it reads that anew


def test_the_tcp_door_is_tried_too(host: WholeHost) -> None:
    port = free_port()
    host.sh(f"sed -i 's|page.sock}}|page.sock, listen: \"127.0.0.1:{port}\"}}|' {GATE_YAML}", check=True)
    with Serving(host, PAGE):
        door, tcp, missing = host.check("--only", "page")
        assert (door["state"], tcp["state"], missing["state"]) == ("ok", "ok", "warn")
        assert "nobody has a password" in missing["message"]
        host.sh(f"echo a long enough password | {missing['fix']} --password-stdin", check=True)
        assert [state for state, _ in found_of(host)] == ["ok", "ok"]
        assert [state for state, _ in found_of(host, "job-user")] == ["ok"]


def test_what_is_not_the_page_is_told(host: WholeHost) -> None:
    port = free_port()
    host.sh(f"sed -i 's|socket: .*page.sock|listen: \"127.0.0.1:{port}\"|' {GATE_YAML}", check=True)
    command = [
        "python3",
        "-c",
        f"import http.server as s; print('serves http', flush=True); s.test(port={port}, bind='127.0.0.1')",
    ]
    with Serving(host, command):
        (state, message), _no_password = found_of(host)
        assert (state, message.partition(":")[0]) == ("fail", "what answers at 127.0.0.1")
        assert ("fail", f"gitlab-job and deployer, whom jobs run as, can connect to 127.0.0.1 port {port}") in found_of(
            host, "job-user"
        )
