"""`gate audit show`, `tail` and `export`: what the log says."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from audit import log, table
from audit.filters import Filter, moment, selected
from audit.record import EVENTS, canonical
from audit.show import as_line, select
from config.load import load_policy_as_reader
from gate.commands.fault import CommandError
from gate.commands.job import job_of
from gate.commands.options import json_option
from gate.commands.unread import end_if_unread
from gate.flow.decide import DECISIONS
from gate.model.matching import glob
from gate.model.words import could_deceive
from gate.store import layout

if TYPE_CHECKING:
    from collections.abc import Callable

FOLLOW_EVERY_S = 0.5
_EVENT = click.option("--event", type=click.Choice(sorted(EVENTS)), help="Only records of this event.")
_REHEARSALS = click.option(
    "--rehearsals", type=click.Choice(["no", "only"]), help="Leave out what `gate rehearse` played, or show only that."
)
_JSON = json_option("One JSON record a line, as it stands in the log.")


@click.command()
@click.argument("job", required=False)
@_EVENT
@_REHEARSALS
@_JSON
@click.pass_obj
def show(config: str, job: str | None, event: str | None, rehearsals: str | None, as_json: bool) -> None:
    """The log's records, oldest first, one line each; of one JOB (number or key), where it is given."""
    _refuse_empty({"JOB": job})
    is_wanted = job_of(job).is_key if job else None
    count = 0
    for _head, record in select(
        log.records(_directory(config)), is_wanted=is_wanted, event=event, rehearsals=rehearsals or ""
    ):
        click.echo(canonical(record) if as_json else as_line(record, could_deceive))
        count += 1
    if not count:
        click.echo("no record fits", err=True)


@click.command()
@click.option("-n", "count", type=click.IntRange(min=0), default=10, show_default=True, help="How many.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what is added, until Ctrl-C.")
@_JSON
@click.pass_obj
def tail(config: str, count: int, follow: bool, as_json: bool) -> None:
    """The log's newest records, one line each."""
    directory = _directory(config)
    since = log.position(directory)
    for place, _head, record in log.newest(directory, count):
        click.echo(canonical(record) if as_json else as_line(record, could_deceive))
        since = _behind(place)
    while follow:
        for place, _head, record in log.placed_records(directory, since):
            click.echo(canonical(record) if as_json else as_line(record, could_deceive))
            since = _behind(place)
        end_if_unread()
        time.sleep(FOLLOW_EVERY_S)


@click.command()
@click.option("--format", "form", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True)
@click.option("--since", metavar="TIME", help="From this UTC day (2026-11-24) or second (2026-11-24T14:05:00Z) on.")
@click.option("--until", metavar="TIME", help="Up to the end of this day or second.")
@click.option("--person", metavar="P", help="Requests that P answered, decided or triggered.")
@click.option("--project", metavar="PATH", help="Requests of this project; * and ** as in gate.yaml.")
@click.option("--outcome", type=click.Choice(DECISIONS), help="Requests that were decided so.")
@_EVENT
@_REHEARSALS
@click.pass_obj
def export(
    config: str, /, form: str, since: str | None, until: str | None, project: str | None, **wanted: str | None
) -> None:
    """The log's records, oldest first, to stdout, for other programs.

    --person, --project and --outcome choose whole requests, --since, --until and --event single records.
    """
    _refuse_empty({"--since": since, "--until": until, "--project": project, "--person": wanted["person"]})
    chosen = Filter(
        since=moment("--since", since) if since else "",
        until=moment("--until", until) if until else "",
        project=_project(project) if project else None,
        **{name: value or "" for name, value in wanted.items()},
    )
    directory, count = _directory(config), 0
    if form == "csv":
        _write(table.lines([table.COLUMNS]))
    for head, record in selected(lambda: log.records(directory), chosen):
        _write(table.lines([table.row_of(head, record)]) if form == "csv" else canonical(record) + "\n")
        count += 1
    sys.stdout.buffer.flush()
    if not count:
        click.echo("no record fits", err=True)


def _directory(config: str) -> str:
    policy, _digest = load_policy_as_reader(config)
    return layout.audit(policy["state_dir"])


def _refuse_empty(given: dict[str, str | None]) -> None:
    """An empty word is a shell variable that was not set, mostly: not everything, then, nor nothing."""
    for name, value in given.items():
        if value == "":
            raise CommandError(f"{name} is empty: name what is wanted, or leave it out")


def _behind(place: tuple[int, int, int]) -> tuple[int, int]:
    return place[0], place[1] + place[2]


def _project(pattern: str) -> Callable[[str], object]:
    form = glob(pattern.casefold())
    return lambda path: form.fullmatch(path.casefold())


def _write(text: str) -> None:
    """Bytes, whatever the locale: UTF-8, and line ends as they are."""
    sys.stdout.buffer.write(text.encode("utf-8"))
