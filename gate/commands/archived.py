"""A request that only the audit log knows any more, for `gate show`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from audit import log
from audit.show import as_line, select
from gate.flow.decide import outcome_words
from gate.model.words import could_deceive, shown
from gate.store import layout

if TYPE_CHECKING:
    from typing import Any

    from gate.commands.job import Job
    from gate.shapes import Record, Told


def records_of(state_dir: str, job: Job) -> list[Record]:
    """The records of the last request that `job` means, oldest first; none where the log has none.

    Raises:
        AuditError: the log cannot be read.
    """
    found = [record for _head, record in select(log.records(layout.audit(state_dir)), is_wanted=job.is_key)]
    return [record for record in found if record["request"] == found[-1]["request"]]


def summary(records: list[Record]) -> dict[str, Any]:
    """What `gate show --json` says of it: the same keys as of one that is on disk, where the log has them."""
    told: dict[str, Any] = {name: value for record in records for name, value in record.items()}
    job = dict(told.get("job") or {})
    return {
        "key": told["request"],
        "state": _state(records),
        "waiting": False,
        "archived": True,
        "rehearsal": "rehearsal" in told,
        "rule": told.get("rule"),
        "digest": told.get("digest"),
        "opened": f"{records[0]['time'][:19].replace('T', ' ')} UTC",
        "seconds_left": None,
        "facts": {"job_id": job.pop("id", None), **job},
        "content": None,
        "records": records,
    }


def tell(records: list[Record]) -> None:
    """Print it for people."""
    about = summary(records)
    facts = about["facts"]
    click.echo(f"{about['key']}: {about['state']}")
    kind = "rehearsal of " if about["rehearsal"] else ""
    click.echo(f"  job     {kind}{shown(facts.get('name'))} #{facts['job_id']} of {shown(facts.get('path'))}")
    click.echo(f"  digest  {about['digest']}")
    click.echo("  (archived: only the audit log tells of it)")
    for record in records:
        click.echo(f"  {as_line(record, could_deceive)}")


def _state(records: list[Record]) -> str:
    decided = [record for record in records if record["event"] == "decided"]
    if not decided:
        return "not decided, by the audit log"
    words = shown(outcome_words(_decision(decided[-1])), 1500)
    ended = [record for record in records if record["event"] == "ended"]
    return f"{words} ({shown(ended[-1]['why'])})" if ended and decided[-1]["decision"] == "approved" else words


def _decision(record: Record) -> Told:
    return {
        "decision": record["decision"],
        "why": record["why"],
        "by": record.get("by"),
        "comment": record.get("comment", ""),
    }
