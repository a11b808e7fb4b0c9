"""What `gate init` says: the commands that it would run, or what it has made, and what to do next."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from typing import TYPE_CHECKING, Any

from gate import DEFAULT_CONFIG
from gate.setup.answers import APPROVERS_GROUP
from gate.setup.resources import Member, shell
from gate.setup.runner_block import program, runner_block

if TYPE_CHECKING:
    from collections.abc import Iterator

    from audit.keys import Verifier
    from gate.setup.plan import Plan

_END = "END_OF_GATE_YAML"  # no line of YAML that we write: it would be no key
_END_OF_LINES = "END"  # each line before it has blanks


def script(plan: Plan) -> Iterator[str]:
    """Shell lines that do what `gate init` would, for `sh -e`."""
    config = shlex.quote(plan.answers.config)
    yield "# What `gate init` would do, for `sh -e`. Nothing has been changed."
    missing = set(plan.missing)
    yield from (f"# there already: {thing.name}" for thing in plan.things if thing not in missing)
    for maker, things in plan.steps:
        lines = "".join(f"{thing.line}\n" for thing in things if thing.line)
        yield shlex.join(maker) + (f" << '{_END_OF_LINES}'\n{lines}{_END_OF_LINES}" if lines else "")
    yield f"(set -C; umask 022; cat > {config}) << '{_END}'"
    yield f"{plan.text}{_END}"
    yield f"{shlex.quote(program('gate'))} --config {config} audit key"


def as_data(plan: Plan, verifier: Verifier | None) -> dict[str, Any]:
    """All of it as JSON; `verifier` None: nothing has been made."""
    missing = set(plan.missing)
    states = {True: "to make" if verifier is None else "made", False: "there"}
    return {
        "config": plan.answers.config,
        "gate_yaml": plan.text,
        "resources": [
            {"name": each.name, "command": shell(each), "state": states[each in missing]} for each in plan.things
        ],
        "runner_block": runner_block(plan.answers.config),
        "verifier_key": None if verifier is None else str(verifier),
    }


def next_steps(plan: Plan, verifier: Verifier) -> Iterator[str]:
    """What is left to do, after all has been made."""
    yield (
        "In GitLab, make a runner with the tag `gated`, and leave `Run untagged jobs` off. This block, with its url and"
    )
    yield "token, is for /etc/gitlab-runner/config.toml; `concurrent` there counts waiting jobs, too, so make it large:"
    yield ""
    yield runner_block(plan.answers.config)
    yield ""
    yield "Checkpoints of the audit log verify with this key; keep it where no one who could change the log can write:"
    yield ""
    yield f"  {verifier}"
    yield ""
    joined = [each.user for each in plan.missing if isinstance(each, Member) and each.user in _people(plan)]
    if joined:
        yield f"{', '.join(joined)}: log in again, to be in {APPROVERS_GROUP}."
    if not shutil.which("gate"):
        yield f"For people to answer with it: ln -s {shlex.quote(program('gate'))} /usr/local/bin/gate"
    if plan.answers.page:
        yield f"The page: {_page(plan)}."
    yield f"Rules, and whom they ask, are yours to write: {plan.answers.config}. Then: {_gate(plan)} check"


def cautions(plan: Plan) -> Iterator[str]:
    """What will surprise people who go on with the gate.yaml as it is."""
    if len(plan.answers.approvers) == 1:
        alone = plan.answers.approvers[0].person
        yield (
            f"{alone}: no one else can approve, and jobs that {alone} triggered need somebody else: add people, or "
            "self_approval: true"
        )


def _people(plan: Plan) -> set[str]:
    return {each.unix for each in plan.answers.approvers}


def _gate(plan: Plan) -> str:
    config = plan.answers.config
    return shlex.join([program("gate"), *([] if config == DEFAULT_CONFIG else ["--config", config])])


def _units() -> str:
    """Where the page's systemd units are: the wheel brings them along; a checkout has them in packaging/."""
    installed = os.path.join(sys.prefix, "share", "gitlab-runner-gate", "systemd")
    return shlex.quote(installed) if os.path.isdir(installed) else "packaging/systemd"


def _page(plan: Plan) -> str:
    if plan.answers.has_users:
        return (
            f"cp {_units()}/gate-page.* /etc/systemd/system/, and start them; see docs/how-to/page.md. Each of you "
            "logs in with: gate page link"
        )
    return f"it runs while this does: {_gate(plan)} page; and {_gate(plan)} page link prints the address to log in with"
