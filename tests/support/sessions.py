"""The terminal sessions of docs/how-to/command-line.md, played with real people, terminals and jobs that wait.

`python -m tests.support.sessions` (as root) renews those blocks of the page that are not what happens.
"""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from executor.rehearsal.session import Cancel, rehearse
from executor.rehearsal.wiring import built_in
from tests.support.as_runner import as_runner
from tests.support.jobs import job_payload
from tests.support.site import CHECKOUT, Site

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.jobs import Payload

PAGE = CHECKOUT / "docs" / "how-to" / "command-line.md"
WITHIN_S = 120
WIDTH = 180  # longer lines are cut on the page, which says so
_GITLAB = "https://gitlab.example.com"
_GATE = f"import sys; sys.path.insert(0, {str(CHECKOUT)!r}); import gitlab_runner_gate; gitlab_runner_gate.gate_main()"
_BLOCK = re.compile(r"^```\n(\$ gate .*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN = r"\d+(?:d|h|min|s)\b"
_VOLATILE = [
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z| UTC)"), "<time>"),
    (re.compile(r"\b[0-9a-f]{16,64}\b"), "<hash>"),
    (re.compile(rf"\b{_SPAN}(?: {_SPAN})?"), "<span>"),
]


class Line(NamedTuple):
    """What somebody types, and what to the question that comes of it."""

    person: str
    command: str
    reply: str = ""


# Each inner list is one block of the page.
SESSIONS = [
    [Line("alice", "gate list")],
    [Line("alice", "gate list --mine")],
    [Line("alice", "gate show 1234")],
    [Line("alice", 'gate approve 1234 -m "read the migration"', "y")],
    [Line("alice", "gate approve 1235"), Line("alice", "echo $?")],
    [Line("alice", "gate approve 9999 --json")],
    [Line("carol", f"gate approve '#1234' {_GITLAB}/shop/web/-/jobs/1235", "y")],
    [Line("bob", 'gate reject 1235 --yes -m "not on a Friday"')],
    [Line("alice", "gate approve 1235 --yes"), Line("alice", "echo $?")],
    [Line("alice", "gate list")],
]


@contextmanager
def waiting_jobs() -> Iterator[Site]:
    """A gate with the two jobs of the page, that wait."""
    rule = {
        "name": "production",
        "match": {"project": "shop/*"},
        "approvals": [{"count": 1, "of": ["release-managers"]}, {"count": 1, "of": ["carol"]}],
        "decide_within": "1h",
    }
    with Site(rule=rule) as site:
        jobs: list[_Playing] = []
        try:
            for job in (_job(1234, "deploy", "dave"), _job(1235, "migrate", "alice-gl")):
                jobs.append(_Playing(site, job))
                jobs[-1].wait()  # so that they come in this order
            yield site
        finally:
            for playing in jobs:
                playing.end()


def _job(number: int, name: str, user: str) -> Payload:
    script = [f"echo {name}"]
    return job_payload(
        number, server_url=_GITLAB, project_path="shop/web", name=name, user_login=user, script=script, timeout=7200
    )


class _Playing:
    def __init__(self, site: Site, job: Payload) -> None:
        self._cancel, self._log = Cancel(), bytearray()
        wiring = as_runner(built_in(str(site.yaml)))
        self._thread = threading.Thread(target=rehearse, args=(job, wiring, self._log.extend, self._cancel))
        self._thread.start()

    def wait(self) -> None:
        give_up = time.monotonic() + WITHIN_S
        while b"audit head seq=" not in self._log:
            assert time.monotonic() < give_up, self._log.decode()
            assert self._thread.is_alive(), self._log.decode()
            time.sleep(0.05)

    def end(self) -> None:
        self._cancel.set()
        self._thread.join(WITHIN_S)
        self._cancel.close()


def play(site: Site) -> list[str]:
    """What stands in each block of the page, by what really happens."""
    told, code = [], 0
    for block in SESSIONS:
        text = ""
        for line in block:
            if line.command == "echo $?":
                said = f"{code}\n"
            else:
                said, code = in_terminal(site, line)
            text += f"$ {line.command}\n{_cut(said)}"
        told.append(text.replace(str(site.state), "/var/lib/gitlab-runner-gate"))
    return told


def _cut(said: str) -> str:
    return "".join(f"{line[:WIDTH]}…\n" if len(line) > WIDTH else f"{line}\n" for line in said.splitlines())


def in_terminal(site: Site, line: Line) -> tuple[str, int]:
    """All that a terminal shows of a command, and its exit code."""
    ours, theirs = pty.openpty()
    shell = f'gate() {{ "$PYTHON" -I -c "$GATE" --config "$GATE_YAML" "$@"; }}; {line.command}'
    own = {"PYTHON": sys.executable, "GATE": _GATE, "GATE_YAML": str(site.yaml)}
    process = subprocess.Popen(
        site._as(line.person, ["bash", "-c", shell]),
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/", **own},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd="/",
    )
    os.close(theirs)
    said, replied = bytearray(), not line.reply
    give_up = time.monotonic() + WITHIN_S
    while time.monotonic() < give_up and select.select([ours], [], [], WITHIN_S)[0]:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # EIO: the terminal's other end is closed
            break
        said += piece
        if not replied and said.endswith(b"[y/N]: "):
            os.write(ours, line.reply.encode() + b"\n")
            replied = True
    os.close(ours)
    return said.decode().replace("\r\n", "\n"), process.wait(WITHIN_S)


def quoted(page: str) -> list[str]:
    """The blocks of the page, as they stand there."""
    return _BLOCK.findall(page)


def steady(block: str) -> str:
    """A block without what is another each time."""
    for found, name in _VOLATILE:
        block = found.sub(name, block)
    return block


def renewed(page: str, played: list[str]) -> str:
    """The page, with what really happens in its blocks; those that differ in times alone stay."""
    left = iter(played)

    def block(found: re.Match[str]) -> str:
        new = next(left)
        return f"```\n{new}```" if steady(new) != steady(found[1]) else found[0]

    return _BLOCK.sub(block, page)


if __name__ == "__main__":
    with waiting_jobs() as _site:
        _played = play(_site)
    Path(PAGE).write_text(renewed(PAGE.read_text(encoding="utf-8"), _played), encoding="utf-8")
