"""Signed drops through the whole gate: what `gate statement` prints, signed elsewhere, lets the job run or fails it."""

from __future__ import annotations

import grp
import os
import pwd
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gate.votes import signed
from tests.support.signing import Key, new_key
from tests.support.site import APPROVER, APPROVERS_GROUP, IS_ROOT, USERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.runner.gated import Gated

    Start = Callable[..., Gated]

GROUP = APPROVERS_GROUP if IS_ROOT else grp.getgrgid(os.getegid()).gr_name
ERIN = ("--person", "erin")


def start(gated: Start, key: Key, **rule: Any) -> Gated:
    """A gate where erin, who is elsewhere, may approve, too."""
    people: dict[str, Any] = {person: {"unix": user, "gitlab": [f"{person}-gl"]} for person, user in USERS.items()}
    people["erin"] = {"gitlab": ["erin-gl"], "ssh_keys": [key.public]}
    groups = {"release-managers": [APPROVER, "erin"]}
    return gated(rule=rule, people=people, groups=groups, approvers_group=GROUP)


def answer(case: Gated, job: int, key: Key, *words: str) -> None:
    """Erin's answer, by the line that an approver gives her."""
    done = case.site.gate(APPROVER, "statement", str(job), *words, *ERIN, "--key", str(key.file))
    assert done.returncode == 0, done.stderr
    case.site.run_as(APPROVER, ["sh", "-c", done.stdout], check=True)


def bring(case: Gated, content: bytes) -> None:
    """A signed drop, left by an approver who did not sign it."""
    name = signed.name_of(signed.parse(signed.split(content)[0]))
    path = str(case.site.state / "drop" / "signed" / name)
    write = 'umask 022; printf %s "$2" > "$1.tmp" && mv "$1.tmp" "$1"'
    case.site.run_as(APPROVER, ["sh", "-c", write, "sh", path, content.decode("ascii")], check=True)


@pytest.fixture
def key() -> Iterator[Key]:
    """A key that a person other than root can read."""
    with tempfile.TemporaryDirectory(prefix="gate-key-") as directory:
        made = new_key(Path(directory))
        if IS_ROOT:
            user = pwd.getpwnam(USERS[APPROVER])
            for path in (directory, made.file):
                os.chown(path, user.pw_uid, -1)
        yield made


def test_a_signed_approval_lets_the_job_run(gated: Start, key: Key) -> None:
    case = start(gated, key)
    job = case.waiting()
    answer(case, job, key, "approve", "-m", "it's fine")
    assert case.outcome(job) == ("success", None, None)
    assert case.ran(job)
    (vote,) = case.site.records("vote", job)
    assert (vote["by"]["person"], vote["by"]["via"], vote["by"]["key"]) == ("erin", "signed", key.fingerprint)
    assert (vote["comment"], case.decisions(job)) == ("it's fine", ["approved"])
    assert f"erin approves, signed with {key.fingerprint}" in case.harness.trace(job)


def test_a_signed_rejection_fails_the_job_with_its_code(gated: Start, key: Key) -> None:
    case = start(gated, key)
    job = case.waiting()
    answer(case, job, key, "reject", "-m", "not today")
    assert case.outcome(job) == ("failed", "script_failure", 80)
    assert (case.ran(job), case.decisions(job)) == (False, ["rejected"])


def test_the_job_log_has_what_somebody_elsewhere_signs(gated: Start, key: Key) -> None:
    case = start(gated, key)
    job = case.waiting()
    template = re.search(r'\{"comment".*"v":1\}', case.harness.trace(job))
    assert template is not None
    filled = template[0].replace("<answer>", "approve").replace("<person>", "erin")
    bring(case, key.drop(filled.encode()))
    assert case.outcome(job) == ("success", None, None)


def test_one_that_does_not_count_is_told_in_the_job_log_and_the_wait_goes_on(gated: Start, key: Key) -> None:
    case = start(gated, key)
    job, other = case.waiting(), case.waiting()
    (statement,) = re.findall(r"s='(.*?)';", case.site.gate(APPROVER, "statement", str(job), "approve", *ERIN).stdout)
    bring(case, key.drop(statement.encode(), "git"))
    case.harness.wait_trace(job, "another namespace")
    assert (case.decisions(job), case.site.records("drop-turned-away", other)) == ([], [])
    bring(case, key.drop(statement.encode()))
    assert case.outcome(job) == ("success", None, None)
    case.drop(other, "reject")
    assert case.outcome(other) == ("failed", "script_failure", 80)
