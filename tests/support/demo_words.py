"""What `make demo` says to whoever runs it."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from tests.support.demo_gate import COMMENTS, TRIGGERED_BY

if TYPE_CHECKING:
    from executor.rehearsal.session import Outcome
    from tests.support.demo_gate import DemoGate


def introduction(gate: DemoGate, real: str | None) -> str:
    """Which runner, whose gate; `real` is the path of a gitlab-runner, None for the rehearsal."""
    runner = f"a real gitlab-runner ({real}), with a small fake GitLab"
    if not real:
        named = os.environ.get("GITLAB_RUNNER")
        missing = (
            f"GITLAB_RUNNER={named!r} is no program" if named else "no gitlab-runner is on PATH or in GITLAB_RUNNER"
        )
        runner = f"the rehearsal plays gitlab-runner, since {missing}"
    return f"""\
gitlab-runner-gate, a try-out: one sample job that waits for an answer.
  runner    {runner}
  approver  you: `{gate.person}` is the one person in its gate.yaml, the Unix user {gate.user}
  job       `deploy` of shop/web, triggered by `{TRIGGERED_BY}`
  gate      {gate.base} (gate.yaml, state, runner)
  caution   allow_same_user is on: the job runs as {gate.user} too, so it could approve itself. For trying out only.
"""


def page(gate: DemoGate, password: str) -> str:
    """Where the page is, and how to get in."""
    return f"""
The approval page:  {gate.url}/
  log in as {gate.person} with the password {password}"""


def invitation(gate: DemoGate, job: int) -> str:
    """How to answer."""
    return f"""
The job waits for you. Answer it there, or from a second terminal, as {gate.user}:
  {gate.pasteable("approve", str(job), "-m", COMMENTS["approve"])}
or
  {gate.pasteable("reject", str(job), "-m", COMMENTS["reject"])}
See what waits:
  {gate.pasteable("list")}
Ctrl-C ends the demo.
"""


def outcome(told: Outcome) -> str:
    """A job's end as GitLab was told."""
    reason = f", {told.failure_reason}" if told.failure_reason else ""
    code = f", exit code {told.exit_code}" if told.exit_code else ""
    return f"{told.state}{reason}{code}"


def goodbye(gate: DemoGate, *, keeps: bool) -> str:
    """Where the state lies, or that it has gone."""
    if not keeps:
        left = "is removed; KEEP=1 keeps it" if not gate.base.exists() else "could not be removed whole: look into it"
        return f"\n{gate.base} {left}."
    return f"""
All of it is kept in {gate.base}: gate.yaml, state/, runner/. Look at it:
  {gate.pasteable("audit", "show")}
  {gate.pasteable("audit", "verify")}
and when you have seen enough:
  rm -rf {shlex.quote(str(gate.base))}"""
