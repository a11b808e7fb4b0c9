"""`gate init` in a terminal: it asks, again where an answer does not fit, and can be left."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.host_namespace import ENVIRONMENT, GATE, PrivateHost
from tests.support.set_up import done, everything

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self


@pytest.fixture
def host() -> Iterator[PrivateHost]:
    with PrivateHost() as made:
        yield made


def test_a_terminal_is_asked(host: PrivateHost) -> None:
    with Terminal(host, "init", "--json") as terminal:
        terminal.expect("What this gate is called")
        terminal.type("b c")
        terminal.expect("does not fit")
        terminal.expect("What this gate is called")
        terminal.type("b.example")
        terminal.expect("Who may approve")
        terminal.type("zoe")
        terminal.expect("useradd --create-home zoe")
        terminal.type("alice, carol=9")
        terminal.expect("[gitlab-job]")
        terminal.type("")
        terminal.expect("page")
        terminal.type("n")
        told = json.loads(terminal.output())
    assert "site: b.example" in told["gate_yaml"]
    assert "carol: {unix: carol, gitlab: [9]}" in told["gate_yaml"]
    assert "page" not in json.loads(done(host.gate("config", "show", "--json")))


@pytest.mark.parametrize("key", ["\x03", "\x04"])
def test_a_terminal_can_be_left(host: PrivateHost, key: str) -> None:
    before = everything(host)
    with Terminal(host, "init") as terminal:
        terminal.expect("What this gate is called")
        assert terminal.left_by(key) == 130
    assert everything(host) == before


class Terminal:
    """`gate` with a terminal for stdin and stderr, and a pipe for stdout."""

    def __init__(self, host: PrivateHost, *words: str) -> None:
        self._own, other = pty.openpty()
        command = host.command(
            ["env", "--default-signal=INT", "setsid", "--ctty", "--wait", sys.executable, "-I", "-c", GATE, *words]
        )
        self.process = subprocess.Popen(
            command, stdin=other, stdout=subprocess.PIPE, stderr=other, text=True, env=ENVIRONMENT
        )
        os.close(other)
        self.seen = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        os.close(self._own)  # the hangup ends what has the terminal, and with it the pipe's other end
        self.process.kill()
        self.process.communicate(timeout=60)

    def type(self, text: str, end: str = "\n") -> None:
        os.write(self._own, (text + end).encode())

    def expect(self, text: str) -> None:
        while text not in self.seen:
            assert select.select([self._own], [], [], 60)[0], self.seen
            self.seen += os.read(self._own, 4096).decode()
        self.seen = self.seen.partition(text)[2]

    def left_by(self, key: str) -> int:
        """The exit code, once the key ends it.

        Pressed again while it does not: a SIGINT that comes right before input() reads is only seen after that read.
        """
        for _ in range(6):
            self.type(key, end="")
            try:
                return self.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                continue
        pytest.fail(f"{key!r} does not end it: {self.seen}")

    def output(self) -> str:
        assert self.process.stdout is not None
        said = self.process.stdout.read()
        assert self.process.wait(timeout=60) == 0, self.seen
        return said
