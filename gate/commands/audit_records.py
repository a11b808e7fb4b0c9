"""`gate audit show`: what the log says."""

from __future__ import annotations

import json

import click

from audit import log
from audit.record import EVENTS
from audit.show import as_line, select
from config.load import load_policy_as_reader
from gate import layout


@click.command()
@click.argument("job", required=False)
@click.option("--event", type=click.Choice(sorted(EVENTS)), help="Only records of this event.")
@click.option("--json", "as_json", is_flag=True, help="One JSON record a line, as it stands in the log.")
@click.pass_obj
def show(config: str, job: str | None, event: str | None, as_json: bool) -> None:
    """The log's records, oldest first, one line each; of one JOB (number or key), where it is given."""
    policy, _digest = load_policy_as_reader(config)
    records = log.records(layout.audit(policy["state_dir"]))
    for _head, record in select(records, request=job, event=event):
        click.echo(json.dumps(record, sort_keys=True) if as_json else as_line(record))
