"""`gate statement`: the shell line that signs an answer, and drops it.

The command has no right of its own, and sees no key: it writes down the statement, and the line does the rest for
the person who has the key. A person who may not read requests can be given the line by somebody who may.
"""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import time
from typing import TYPE_CHECKING

import click

from config.load import load_policy_as_reader
from config.policy import seconds
from gate.clock import boottime_ms, utc_iso
from gate.commands.completion import waiting_jobs
from gate.commands.fault import CommandError, NotCountingError
from gate.commands.job import job_of
from gate.commands.job_command import JobCommand
from gate.commands.options import json_option
from gate.commands.target import me, waiting_request
from gate.model import matching, rules
from gate.model.words import shown
from gate.store import layout
from gate.votes import signed
from gate.votes.drop_file import ANSWERS

if TYPE_CHECKING:
    from gate.commands.job import Job
    from gate.shapes import Answer, Policy
    from gate.store.request import Request

_DURATION = re.compile(r"[1-9][0-9]{0,5}[smhd]")
_RANDOM_BYTES = 4


@click.command(cls=JobCommand)
@click.argument("job", shell_complete=waiting_jobs)
@click.argument("answer", type=click.Choice(ANSWERS))
@click.option("-m", "--message", default="", metavar="TEXT", help="The comment; it is recorded and shown.")
@click.option("--key", metavar="FILE", default="~/.ssh/id_ed25519", show_default=True, help="What signs.")
@click.option("--expires-in", metavar="TIME", default="1h", show_default=True, help="Not later than the deadline.")
@click.option("--person", metavar="NAME", help="Whose answer it is, by gate.yaml; you, if not given.")
@json_option()
@click.pass_obj
def statement(
    config: str, job: str, answer: Answer, message: str, key: str, expires_in: str, person: str | None, as_json: bool
) -> None:
    """Print the shell line that signs an answer to JOB and drops it.

    JOB is its number, its key, or an address, as for `gate approve`. The person with the signing key runs the line on
    this host.
    """
    policy, named = load_policy_as_reader(config)[0], job_of(job)
    if policy["approvers_group"] is None:
        raise CommandError("gate.yaml has no approvers_group: this gate takes no signed drops")
    person = person or me(policy)
    request = _request(policy, named)
    made = signed.Statement(
        request=request.key,
        digest=request.opened["digest"],
        decision=answer,
        person=person,
        expires_s=_expires_s(request, expires_in),
        comment=message.strip(),
    )
    _check(made, request, policy)
    try:
        content = signed.make(made)
    except signed.StatementError as error:
        raise CommandError(f"this statement {error}") from error
    line, expires = shell_line(content, key, policy, made), utc_iso(made.expires_s)
    if as_json:
        told = {"person": person, "expires": expires, "statement": content.decode("ascii"), "line": line}
        click.echo(json.dumps(told, indent=2))
        return
    click.echo(f"for {person} to run, before {expires}:", err=True)
    click.echo(line)


def shell_line(content: bytes, key: str, policy: Policy, made: signed.Statement) -> str:
    """What a POSIX shell is to run; all that others wrote in it stands in quotes.

    The file gets its name when it is whole, and the gate may read it, no matter who wrote it (umask).
    """
    path = os.path.join(layout.signed_drops(policy["state_dir"]), signed.name_of(made))
    unfinished = f"$f.{os.urandom(_RANDOM_BYTES).hex()}.tmp"
    sign = f"ssh-keygen -Y sign -f {_quoted_path(key)} -n {shlex.quote(signed.namespace(policy['site']))}"
    return (
        f"(umask 022; s={shlex.quote(content.decode('ascii'))}; f={shlex.quote(path)};"
        f""" {{ printf '%s\\n' "$s" && printf %s "$s" | {sign}; }} > "{unfinished}" && mv "{unfinished}" "$f" """
        f"""|| {{ rm -f "{unfinished}"; exit 1; }})"""
    )


def _quoted_path(path: str) -> str:
    """A path in quotes, but for a `~/` at its front: whose home that is, their own shell knows."""
    if path.startswith("~/"):
        return f"~/{shlex.quote(path[2:])}"
    # Otherwise ssh-keygen would take it for an option.
    return shlex.quote(f"./{path}" if path.startswith("-") else path)


def _request(policy: Policy, job: Job) -> Request:
    try:
        return waiting_request(policy["state_dir"], job)
    except PermissionError as error:
        raise CommandError(
            f"requests cannot be read from here: ask a member of {policy['approvers_group']} to run this with --person"
        ) from error


def _expires_s(request: Request, expires_in: str) -> int:
    if not _DURATION.fullmatch(expires_in):
        raise CommandError(f"--expires-in takes a time such as 30m, 1h or 2d, not {expires_in!r}")
    left_s: float = (request.opened["deadline_boottime_ms"] - boottime_ms()) / 1000
    return math.floor(time.time() + min(left_s, seconds(expires_in)))


def _check(made: signed.Statement, request: Request, policy: Policy) -> None:
    """Say beforehand what the gate would say.

    Raises:
        NotCountingError: this answer would not count, no matter who signed it.
    """
    rule = matching.current(policy, request.facts)
    if rule is None:
        raise CommandError("gate.yaml has no rule for this job any more")
    why = signed.why_not(made, request.key, request.opened["digest"], policy, time.time()) or rules.may_answer(
        made.person, made.decision, made.comment, rule, policy, request.facts
    )
    if why:
        raise NotCountingError(f"it would not count: {shown(why, 500)}")
