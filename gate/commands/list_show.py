"""`gate list` and `gate show`: what waits, and one request whole."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING

import click

from audit.show import as_line
from config.load import load_policy_as_reader
from gate.clock import boottime_ms, utc_text
from gate.commands import archived
from gate.commands.completion import waiting_jobs
from gate.commands.fault import CommandError
from gate.commands.job import job_of
from gate.commands.target import requests, unseen, waiting_requests
from gate.commands.unread import end_if_unread
from gate.flow.announcement import WARNING_MAX_CHARACTERS, job_words
from gate.flow.status import records_of, state_words, waits
from gate.model import dangers, matching, rules
from gate.model.content_lines import lines_of
from gate.model.facts import is_rehearsal
from gate.model.words import could_deceive, duration, shown
from gate.store import layout

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from gate.commands.job import Job
    from gate.shapes import Backend, Content, Policy, Record
    from gate.store.request import Request

    T = TypeVar("T")


WATCH_EVERY_S = 1.0
WATCH_ANYWAY_S = 10.0  # the times that a terminal shows go on


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON array on stdout.")
@click.option(
    "--watch", is_flag=True, help="Show it anew whenever it changes, until Ctrl-C; with --json one array a line."
)
@click.pass_obj
def list_(config: str, as_json: bool, watch: bool) -> None:
    """What waits for an answer, oldest first."""
    policy, _digest = load_policy_as_reader(config)
    if not watch:
        found, fault = _waiting(policy)
        _list(found, fault, as_json=as_json, indent=2)
        if fault:
            raise CommandError(fault)
        return
    shown_keys: list[str] | None = None
    shown_s = 0.0
    while True:
        found, fault = _waiting(policy)
        keys = [*(request.key for request in found), fault]
        if keys != shown_keys or (sys.stdout.isatty() and time.monotonic() - shown_s > WATCH_ANYWAY_S):
            if sys.stdout.isatty():
                click.clear()
            _list(found, fault, as_json=as_json, indent=None)
            if fault:
                click.echo(f"gate: {fault}", err=True)
            shown_keys, shown_s = keys, time.monotonic()
        end_if_unread()
        time.sleep(WATCH_EVERY_S)


def _waiting(policy: Policy) -> tuple[list[Request], str]:
    """What waits, and in words what cannot be told of others, if anything."""
    found, faults = _read(policy, lambda: waiting_requests(policy["state_dir"]))
    more = f" (and {len(faults) - 1} more: `gate check` names them)" if len(faults) > 1 else ""
    return found, f"{faults[0]}{more}" if faults else ""


def _list(found: list[Request], fault: str, *, as_json: bool, indent: int | None) -> None:
    if as_json:
        click.echo(json.dumps([_summary(request) for request in found], indent=indent))
        return
    if not found and not fault:
        click.echo("nothing waits", err=True)
    for request in found:
        click.echo(f"{request.key}  {_times(request)}\n    {job_words(request.facts)}")


@click.command()
@click.argument("job", shell_complete=waiting_jobs)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_obj
def show(config: str, job: str, as_json: bool) -> None:
    """One request: what it is, what it would run, what was answered, and its records in the audit log."""
    policy, named = load_policy_as_reader(config)[0], job_of(job)
    found = _read(policy, lambda: requests(policy["state_dir"], named))
    if not found:
        _show_archived(policy, named, as_json=as_json)
        return
    shown_ones = [request for request in found if waits(request)] or found[-1:]
    for request in shown_ones:
        records = records_of(request)
        if as_json:
            click.echo(json.dumps(_summary(request) | {"content": request.content(), "records": records}, indent=2))
        else:
            _print(request, policy, records)


def _show_archived(policy: Policy, job: Job, *, as_json: bool) -> None:
    records = archived.records_of(policy["state_dir"], job)
    if not records:
        raise CommandError(f"no request {job.name} is known here, see `gate list`")
    if as_json:
        click.echo(json.dumps(archived.summary(records), indent=2))
    else:
        archived.tell(records)


def _read(policy: Policy, read: Callable[[], T]) -> T:
    """What `read` returns; raises CommandError where requests cannot be read from here."""
    try:
        return read()
    except FileNotFoundError as error:
        raise CommandError(f"{error.filename} is not there: no job has come to this gate yet") from error
    except PermissionError as error:
        raise CommandError(f"requests cannot be read from here: {unseen(policy)}") from error


def _summary(request: Request) -> dict[str, object]:
    deadline_ms = request.opened["deadline_boottime_ms"]
    left_s = max(deadline_ms - boottime_ms(), 0) // 1000 if waits(request) else None
    facts = {name: value for name, value in request.facts.items() if name != "triggered_by"}
    return {
        "key": request.key,
        "state": state_words(request),
        "waiting": waits(request),
        "archived": False,
        "rehearsal": is_rehearsal(request.facts),
        "rule": request.opened["rule"],
        "digest": request.opened["digest"],
        "opened": utc_text(request.opened["opened_wall_s"]),
        "seconds_left": left_s,
        "facts": facts,
    }


def _dangers(request: Request, content: Content | None, job_backend: Backend) -> list[str]:
    return [*dangers.of(request.facts, content), *dangers.host(request.opened.get("needs", []), job_backend)]


def _times(request: Request) -> str:
    now_ms = boottime_ms()
    waited = duration((now_ms - request.opened["opened_boottime_ms"]) / 1000)
    left = duration((request.opened["deadline_boottime_ms"] - now_ms) / 1000)
    return f"waits for {waited}, {left} left"


def _print(request: Request, policy: Policy, records: list[Record]) -> None:
    rule = matching.current(policy, request.facts)
    content = request.content()
    click.echo(f"{request.key}: {state_words(request)}")
    for danger in _dangers(request, content, rules.backend_of(policy, rule)):
        click.echo(f"  warning: {shown(danger, WARNING_MAX_CHARACTERS)}")
    click.echo(f"  job     {job_words(request.facts)}")
    for claim in request.facts["environments"]:
        click.echo(f"  claims  environment {shown(claim)}")
    click.echo(f"  digest  {request.opened['digest']}")
    if waits(request):
        click.echo(
            f"  rule    {rule['name'] if rule else request.opened['rule']}: {rules.wanted_words(rule) if rule else 'none any more'}"
        )
        click.echo(f"  times   {_times(request)}")
    else:
        asked_s = max(time.time() - request.opened["opened_wall_s"], 0)
        click.echo(f"  asked   {utc_text(request.opened['opened_wall_s'])}, {duration(asked_s)} ago")
    for line in lines_of(content):
        click.echo(f"  {line}")
    for record in records:
        click.echo(f"  {as_line(record, could_deceive)}")
    if not os.access(layout.audit(request.state_dir), os.R_OK):
        click.echo("  (the audit log cannot be read from here)")
