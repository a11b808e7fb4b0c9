"""`gate list` and `gate show`: what waits, and one request whole."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from audit.log import AuditError
from config.load import load_policy_as_reader
from gate.commands import archived, request_words
from gate.commands.completion import waiting_jobs
from gate.commands.fault import BrokenGateError, CommandError, NoSuchJobError, as_data, prefixed
from gate.commands.job import job_of
from gate.commands.job_command import JobCommand
from gate.commands.options import json_option
from gate.commands.request_data import request_data
from gate.commands.target import me, me_if_known, reading, requests, waiting_requests
from gate.commands.unread import end_if_unread
from gate.flow.situation import VoteLog, situation
from gate.flow.status import records_of, waits

if TYPE_CHECKING:
    from gate.commands.job import Job
    from gate.flow.situation import Situation
    from gate.shapes import Policy, Record
    from gate.store.request import Request


WATCH_EVERY_S = 1.0
WATCH_ANYWAY_S = 10.0  # the times that a terminal shows go on


@dataclass(frozen=True)
class _Found:
    """What waits; what of it cannot be read, by key; and all that is wrong, in one line, or ""."""

    waiting: list[Situation]
    unreadable: dict[str, BrokenGateError]
    fault: str


@click.command("list", cls=JobCommand)
@click.option("--mine", is_flag=True, help="Only what waits for your own approval.")
@json_option("One JSON array on stdout.")
@click.option(
    "--watch", is_flag=True, help="Show it again whenever it changes, until Ctrl-C; with --json one array a line."
)
@click.pass_context
def list_(context: click.Context, mine: bool, as_json: bool, watch: bool) -> None:
    """What waits for an answer, oldest first."""
    policy, _digest = load_policy_as_reader(context.obj)
    person = me(policy) if mine else me_if_known(policy)
    if watch:
        _watch(policy, person, mine=mine, as_json=as_json)
    found = _look(policy, VoteLog(policy["state_dir"]), person, mine=mine)
    _list(found, policy, as_json=as_json, indent=2)
    if found.fault:
        click.echo(prefixed(found.fault), err=True)
        context.exit(BrokenGateError.exit_code)


def _watch(policy: Policy, person: str | None, *, mine: bool, as_json: bool) -> None:
    """Show it until Ctrl-C."""
    shown: list[str] | None = None
    shown_s, vote_log = 0.0, VoteLog(policy["state_dir"])
    while True:
        found = _look(policy, vote_log, person, mine=mine)
        now = [*(f"{how.request.key} {how.progress}" for how in found.waiting), found.fault]
        if now != shown or (sys.stdout.isatty() and time.monotonic() - shown_s > WATCH_ANYWAY_S):
            if sys.stdout.isatty():
                click.clear()
            _list(found, policy, as_json=as_json, indent=None)
            if found.fault:
                click.echo(prefixed(found.fault), err=True)
            shown, shown_s = now, time.monotonic()
        end_if_unread()
        time.sleep(WATCH_EVERY_S)


def _look(policy: Policy, vote_log: VoteLog, person: str | None, *, mine: bool) -> _Found:
    """What waits, for that person; votes that cannot be read are a fault, and none that is silent."""
    waiting, faults = reading(policy, lambda: waiting_requests(policy["state_dir"]))
    more = f" (and {len(faults) - 1} more: `gate check` names them)" if len(faults) > 1 else ""
    fault = f"{next(iter(faults.values()))}{more}" if faults else ""
    votes: dict[str, list[Record]] | None = None
    try:
        votes = vote_log.look(waiting)
    except AuditError as error:
        fault = fault or str(error)
    found = [
        situation(request, policy, None if votes is None else votes.get(request.key, []), person) for request in waiting
    ]
    unreadable = {key: BrokenGateError(str(error)) for key, error in faults.items()}
    return _Found([how for how in found if not mine or (how.you and how.you.is_wanted)], unreadable, fault)


def _list(found: _Found, policy: Policy, *, as_json: bool, indent: int | None) -> None:
    if as_json:
        unreadable = [
            {"key": key, "state": "unreadable", "error": as_data(error)} for key, error in found.unreadable.items()
        ]
        click.echo(json.dumps([*(request_data(how, policy) for how in found.waiting), *unreadable], indent=indent))
        return
    if not found.waiting and not found.fault:
        click.echo("nothing waits", err=True)
    for how in found.waiting:
        click.echo("\n".join(request_words.row(how)))


@click.command(cls=JobCommand)
@click.argument("job", shell_complete=waiting_jobs)
@json_option()
@click.pass_obj
def show(config: str, job: str, as_json: bool) -> None:
    """One request: what would run, variables, warnings, who voted and who is missing, and its records in the log."""
    policy, named = load_policy_as_reader(config)[0], job_of(job)
    found = reading(policy, lambda: requests(policy["state_dir"], named))
    shown_ones = [request for request in found if waits(request)] or found[-1:]
    if not shown_ones:
        _show_archived(policy, named, as_json=as_json)
    elif as_json:
        _show_json(policy, shown_ones)
    else:
        for request in shown_ones:
            _show(policy, request)


def _show(policy: Policy, request: Request) -> None:
    records, fault = _records(request)
    how = situation(request, policy, records, me_if_known(policy))
    click.echo("\n".join(request_words.whole(how, policy, records or [])))
    if fault:
        raise fault


def _show_json(policy: Policy, found: list[Request]) -> None:
    if len(found) > 1:
        raise CommandError(f"{len(found)} waiting jobs have that number: name one by its key, as `gate list` shows it")
    records, fault = _records(found[0])
    if fault:
        raise fault
    content = found[0].content()
    told = request_data(situation(found[0], policy, records, me_if_known(policy)), policy)
    warnings = request_words.warnings(found[0], policy, content)
    click.echo(json.dumps(told | {"warnings": warnings, "content": content, "records": records}, indent=2))


def _records(request: Request) -> tuple[list[Record] | None, BrokenGateError | None]:
    try:
        return records_of(request), None
    except AuditError as error:
        return None, BrokenGateError(f"{error}; so its votes are not known here")


def _show_archived(policy: Policy, job: Job, *, as_json: bool) -> None:
    records = archived.records_of(policy["state_dir"], job)
    if not records:
        raise NoSuchJobError(f"no request {job.name} is known here, see `gate list`")
    if as_json:
        click.echo(json.dumps(archived.summary(records), indent=2))
    else:
        archived.tell(records)
