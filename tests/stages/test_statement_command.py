"""`gate statement`: the line that it prints, run by a real shell with a real key."""

from __future__ import annotations

import grp
import os
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from config.load import load_policy
from gate.commands import gate
from gate.commands.statement import shell_line
from gate.store import layout
from gate.store.files import write_json_once
from gate.votes import signed
from gate.votes.inbox import Inbox
from tests.support.gate_state import facts_of, open_request
from tests.support.parts import part
from tests.support.signing import Key, new_key
from tests.support.site import APPROVER, Site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from click.testing import Result

GROUP = grp.getgrgid(os.getegid()).gr_name
KEY = "git.example-42-1001"
HOSTILE = "it's \"fine\"; $(touch /tmp/x) `id` \\n %s %% !! $HOME\n\t*~ & | > < # \u00fc\u202e\U0001f600'"


class Gate:
    """A gate with one waiting request; erin is elsewhere and has a key."""

    def __init__(self, site: Site, key: Key) -> None:
        self.site, self.key = site, key
        site.config["approvers_group"] = GROUP
        site.config["people"]["erin"] = {"ssh_keys": [key.public]}
        site.config["rules"][0]["approvals"][0]["of"].append("erin")
        site.write()
        self.policy, _ = load_policy(str(site.yaml))
        layout.make(self.policy)
        self.request = open_request(self.policy, KEY, digest="2" * 64, facts=facts_of())

    def said(self, *words: str) -> Result:
        return CliRunner().invoke(gate, ["--config", str(self.site.yaml), "statement", *words], catch_exceptions=True)

    def line(self, *words: str) -> str:
        result = self.said(*words, "--person", "erin", "--key", str(self.key.file))
        assert result.exit_code == 0, result.output
        return result.stdout

    def run(self, line: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
        env = {"PATH": "/usr/bin:/bin", **environment}
        return subprocess.run(["sh", "-c", line], env=env, capture_output=True, check=False, timeout=60, cwd="/")

    def votes(self) -> list[Any]:
        return Inbox(self.request, self.policy, self.policy["rules"][0]).collect()

    def left(self) -> list[str]:
        return os.listdir(layout.signed_drops(self.policy["state_dir"]))


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Gate]:
    with Site() as site:
        yield Gate(site, new_key(tmp_path))


@pytest.mark.parametrize("answer", ["approve", "reject"])
def test_the_line_makes_a_drop_that_counts(case: Gate, answer: str) -> None:
    done = case.run(case.line("1001", answer))
    assert done.returncode == 0, done.stderr
    (vote,) = case.votes()
    assert (vote["person"], vote["answer"], vote["via"]) == ("erin", answer, "signed")
    assert vote["signed_with"] == case.key.fingerprint


def test_no_comment_gets_out_of_its_quotes(case: Gate) -> None:
    line = case.line(KEY, "approve", "-m", HOSTILE)
    assert len(line.splitlines()) == 1
    done = case.run(line)
    assert (done.returncode, done.stdout) == (0, b""), done.stderr
    assert [vote["comment"] for vote in case.votes()] == [HOSTILE]


def test_nothing_but_letters_stands_outside_quotes(tmp_path: Path) -> None:
    """Whatever the state_dir, the site and the key's file are called."""
    state = str(tmp_path / "it's $(here)")
    os.makedirs(os.path.join(state, "drop", "signed"))
    key = new_key(tmp_path, name="a 'key' $(x)")
    statement = signed.Statement(KEY, "2" * 64, "approve", "erin", int(time.time()) + 60, "")
    line = shell_line(
        signed.make(statement), str(key.file), part({"state_dir": state, "site": "test.example"}), statement
    )
    subprocess.run(["sh", "-c", line], check=True, capture_output=True)
    (name,) = os.listdir(os.path.join(state, "drop", "signed"))
    assert name == f"{KEY}.erin.approve"


def test_a_key_below_home_is_that_of_whoever_runs_the_line(case: Gate, tmp_path: Path) -> None:
    (tmp_path / ".ssh").mkdir()
    case.key.file.rename(tmp_path / ".ssh" / "id_ed25519")
    result = case.said("1001", "approve", "--person", "erin")
    assert "-f ~/.ssh/id_ed25519 " in result.stdout
    assert case.run(result.stdout, HOME=str(tmp_path)).returncode == 0
    assert len(case.votes()) == 1


def test_a_line_that_cannot_sign_fails_and_leaves_nothing(case: Gate) -> None:
    line = case.line("1001", "approve")
    case.key.file.unlink()
    assert case.run(line).returncode != 0
    assert case.left() == []


def test_the_gate_can_read_it_whatever_the_umask(case: Gate) -> None:
    assert case.run(f"umask 077; {case.line('1001', 'approve')}").returncode == 0
    (name,) = case.left()
    assert os.stat(os.path.join(layout.signed_drops(case.policy["state_dir"]), name)).st_mode & 0o777 == 0o644


@pytest.mark.parametrize(("asked", "expected_s"), [("30m", 1800), ("1h", 3600), ("2d", 3600)])
def test_it_expires_when_asked_and_never_after_the_deadline(case: Gate, asked: str, expected_s: int) -> None:
    before_s = time.time()
    case.run(case.line("1001", "approve", "--expires-in", asked))
    (vote,) = case.votes()
    statement = signed.parse(vote["signed"].split("\n")[0].encode())
    # The request's deadline is an hour after its opening, a moment before.
    assert before_s + expected_s - 60 < statement.expires_s <= time.time() + expected_s


FAULTS: dict[str, tuple[list[str], str]] = {
    "nobody": (["1001", "approve", "--person", "mallory"], "gate.yaml has no person mallory"),
    "no key": (["1001", "approve", "--person", APPROVER], f"gate.yaml has no ssh_keys of {APPROVER}"),
    "no such job": (["1002", "approve", "--person", "erin"], "no job 1002 waits here"),
    "a time without a unit": (["1001", "approve", "--person", "erin", "--expires-in", "60"], "30m, 1h or 2d, not '60'"),
    "a comment too long": (["1001", "approve", "--person", "erin", "-m", "x" * 1001], "1001 characters"),
}


@pytest.mark.parametrize("what", FAULTS)
def test_what_would_not_count_is_said_beforehand(case: Gate, what: str) -> None:
    words, why = FAULTS[what]
    result = case.said(*words)
    assert why in str(result.exception)
    assert (result.stdout, case.left()) == ("", [])


def test_who_triggered_it_is_told_beforehand(case: Gate) -> None:
    facts = facts_of(job_id=1002, triggered_by={"names": ["erin"], "ids": [], "emails": []})
    open_request(case.policy, "git.example-42-1002", digest="2" * 64, facts=facts)
    result = case.said("1002", "approve", "--person", "erin")
    assert "it would not count: erin triggered this job" in str(result.exception)


def test_a_job_that_is_over_is_no_longer_signed_for(case: Gate) -> None:
    decision = {"decision": "rejected", "why": "rejected by x", "comment": "", "by": None}
    write_json_once(case.request.directory, "decision.json", decision)
    assert "is not waiting" in str(case.said("1001", "approve", "--person", "erin").exception)


def test_a_gate_without_the_directory_says_so(case: Gate) -> None:
    del case.site.config["approvers_group"]
    case.site.write()
    assert "no approvers_group" in str(case.said("1001", "approve", "--person", "erin").exception)
