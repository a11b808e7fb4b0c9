"""A request that only the audit log knows any more, for `gate show`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from audit import log
from audit.show import as_line, select
from gate.commands.request_data import vote_data
from gate.commands.request_words import vote_words
from gate.flow.decide import outcome_words
from gate.flow.situation import latest_votes
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
    decided = next((record for record in reversed(records) if record["event"] == "decided"), None)
    return {
        "key": told["request"],
        "job": job.get("id"),
        "state": "ended",
        "decision": decided["decision"] if decided else None,
        "votes": [vote_data(record, counts=None) for record in latest_votes(records)],
        "missing": None,
        "until": None,
        "triggered_by": job.get("user"),
        "decided": _decided(decided) if decided else None,
        "summary": state_words(records),
        "waiting": False,
        "archived": True,
        "rehearsal": "rehearsal" in told,
        "rule": told.get("rule"),
        "asks": None,
        "progress": None,
        "you": None,
        "opened": records[0]["time"],
        "seconds_left": None,
        "digest": told.get("digest"),
        "page": None,
        "facts": {"job_id": job.pop("id", None), **job},
        "warnings": [],
        "content": None,
        "records": records,
    }


def _decided(record: Record) -> dict[str, object]:
    by = record.get("by") or {}
    return {
        "at": record["time"],
        "why": record["why"],
        "by": by.get("person"),
        "via": by.get("via"),
        "comment": record.get("comment", ""),
    }


def tell(records: list[Record]) -> None:
    """Print it for people."""
    about = summary(records)
    facts = about["facts"]
    click.echo(f"{about['key']}: {about['summary']}")
    kind = "rehearsal of " if about["rehearsal"] else ""
    click.echo(f"  job     {kind}{shown(facts.get('name'))} #{facts['job_id']} of {shown(facts.get('path'))}")
    click.echo(f"  digest  {about['digest']}")
    click.echo("  (archived: only the audit log still has it)")
    for vote in latest_votes(records):
        click.echo(f"  vote    {vote_words(vote)}")
    for record in records:
        click.echo(f"  {as_line(record, could_deceive)}")


def state_words(records: list[Record]) -> str:
    """How it ended, in one line."""
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
