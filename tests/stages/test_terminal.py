"""`gate` at a terminal: what it asks, what it prints of hostile text, and the sessions that docs/how-to/command-line.md shows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from gate.model.words import could_deceive
from tests.support import sessions
from tests.support.sessions import Line, in_terminal
from tests.support.site import APPROVER, IS_ROOT, Site
from tests.support.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

HOSTILE = "\u202eevil\x1b[2J\r\n\u200bgate: approved" + "x" * 100_000


@pytest.fixture
def staged() -> Iterator[tuple[Site, Stage]]:
    with Site(rule={"decide_within": "1d"}) as site:
        stage = Stage(site)
        yield site, stage
        stage.close()


@pytest.mark.skipif(not IS_ROOT, reason="not root: three people who answer need three users")
@pytest.mark.slow
def test_the_sessions_of_the_page_are_what_happens() -> None:
    with sessions.waiting_jobs() as site:
        played = sessions.play(site)
    quoted = sessions.quoted(sessions.PAGE.read_text(encoding="utf-8"))
    renew = "renew it, as root: python -m tests.support.sessions"
    assert [sessions.steady(each) for each in quoted] == [sessions.steady(each) for each in played], renew


@pytest.mark.parametrize("answer", ["approve", "reject"])
@pytest.mark.parametrize(("reply", "code", "left"), [("y", 0, 2), ("n", 130, 0), ("", 130, 0)])
def test_a_terminal_is_asked_once(staged: tuple[Site, Stage], answer: str, reply: str, code: int, left: int) -> None:
    site, stage = staged
    keys = [stage.waiting().key for _ in range(2)]
    line = Line(APPROVER, f"gate {answer} --no-wait {' '.join(keys)}", reply or "\n")
    said, exit_code = in_terminal(site, line)
    assert (exit_code, said.count("[y/N]"), said.count(f"{answer} deploy #")) == (code, 1, 2)
    assert f"{answer} these 2? [y/N]: " in said
    assert ("nothing was answered" in said) == (left == 0)
    assert len(list((site.state / "drop" / APPROVER).iterdir())) == left


@pytest.mark.parametrize(
    "command",
    [
        "gate approve --no-wait --yes {key}",
        "echo | gate approve --no-wait {key}",
        "gate approve --no-wait {key} < /dev/null",
    ],
)
def test_scripts_are_not_asked(staged: tuple[Site, Stage], command: str) -> None:
    site, stage = staged
    key = stage.waiting().key
    said, code = in_terminal(site, Line(APPROVER, command.format(key=key)))
    assert (code, "[y/N]" in said, f"left {site.state}" in said) == (0, False, True)


def test_what_would_not_count_is_said_before_anything_is_asked(staged: tuple[Site, Stage]) -> None:
    site, stage = staged
    key = stage.waiting(user_login=f"{APPROVER}-gl").key
    said, code = in_terminal(site, Line(APPROVER, f"gate approve {key}"))
    assert (code, "[y/N]" in said, "triggered this job" in said) == (3, False, True)


@pytest.mark.parametrize("command", ["list", "show {key}", "approve --no-wait {key}", "reject --no-wait {key}"])
def test_hostile_text_moves_nothing_in_a_terminal(staged: tuple[Site, Stage], command: str) -> None:
    site, stage = staged
    request = stage.waiting(
        name=HOSTILE,
        stage=HOSTILE,
        environment=HOSTILE,
        ref=HOSTILE,
        user_login=HOSTILE,
        script=[HOSTILE],
        variables={"A": HOSTILE},
    )
    stage.vote(request, APPROVER, "approve", HOSTILE[:900])
    said, code = in_terminal(site, Line(APPROVER, f"gate {command.format(key=request.key)}", "y"))
    assert code == 0
    assert [each for each in sorted(set(said)) if each != "\n" and could_deceive(each)] == []
    assert not [line for line in said.splitlines() if line.startswith("gate: ")]
    shown = command.startswith("show")
    assert max(map(len, said.splitlines())) < (200_000 if shown else 3000)  # all that would run is shown whole


def test_other_scripts_are_readable(staged: tuple[Site, Stage]) -> None:
    site, stage = staged
    request = stage.waiting(name="部署 Größe", environment="Prüfung/生产")
    stage.vote(request, APPROVER, "approve", "geprüft, 好的")
    for command in ("list", f"show {request.key}"):
        said, _code = in_terminal(site, Line(APPROVER, f"gate {command}"))
        assert "部署 Größe #1001" in said
        assert "Prüfung/生产" in said
    assert '"geprüft, 好的"' in said


def test_mine_is_what_waits_for_my_approval(staged: tuple[Site, Stage]) -> None:
    site, stage = staged
    own, answered, wanted = stage.waiting(user_login=f"{APPROVER}-gl"), stage.waiting(), stage.waiting()
    stage.vote(answered, APPROVER, "approve")
    keys = re.findall(r"gitlab\.example-42-\d+$", site.gate(APPROVER, "list", "--mine").stdout, re.MULTILINE)
    assert keys == [wanted.key]
    lines = [line.split(";")[0].strip() for line in site.gate(APPROVER, "list").stdout.splitlines()[3::4]]
    assert lines == ["not you: your own job", "you approved it", "you can approve it"]
    assert own.key in site.gate(APPROVER, "list").stdout
