"""`gate audit verify` and `gate audit show`."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import click

from audit import log
from audit.record import EVENTS
from audit.show import as_line, select
from audit.verify import verify as verify_log
from config.load import load_policy_as_reader
from gate import layout
from gate.commands.fault import CommandError

if TYPE_CHECKING:
    from audit.verify import Report

_ANCHOR = re.compile(r"(?:seq=)?([1-9][0-9]*)(?::|\s+sha256=)([0-9a-f]{64})")


@click.group()
def audit() -> None:
    """The audit log: is it whole, and what does it say."""


@audit.command()
@click.option(
    "--anchor",
    "anchors",
    metavar="SEQ:SHA256",
    multiple=True,
    help="A head that was kept elsewhere; may be given often.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_obj
def verify(config: str, anchors: tuple[str, ...], as_json: bool) -> None:
    """Check that nothing in the log was changed, cut or added; heads out of job logs go to --anchor."""
    directory = _directory(config)
    report = verify_log(directory, [_anchor(text) for text in anchors])
    if as_json:
        click.echo(json.dumps(_summary(report), indent=2))
    else:
        _tell(report, directory, len(anchors))
    if not report.ok:
        raise CommandError(f"the audit log in {directory} is not what was written: {_count(report)}")


@audit.command()
@click.argument("job", required=False)
@click.option("--event", type=click.Choice(sorted(EVENTS)), help="Only records of this event.")
@click.option("--json", "as_json", is_flag=True, help="One JSON record a line, as it stands in the log.")
@click.pass_obj
def show(config: str, job: str | None, event: str | None, as_json: bool) -> None:
    """The log's records, oldest first, one line each; of one JOB (number or key), where it is given."""
    for _head, record in select(log.records(_directory(config)), request=job, event=event):
        click.echo(json.dumps(record, sort_keys=True) if as_json else as_line(record))


def _directory(config: str) -> str:
    policy, _digest = load_policy_as_reader(config)
    return layout.audit(policy["state_dir"])


def _anchor(text: str) -> tuple[int, str]:
    found = _ANCHOR.fullmatch(text)
    if not found:
        raise CommandError(
            f"--anchor {text!r} is not SEQ:SHA256, as in a job log: the seq and the sha256 of an audit head"
        )
    return int(found[1]), found[2]


def _tell(report: Report, directory: str, anchors: int) -> None:
    if report.head is None:
        click.echo(f"the audit log in {directory} holds no record")
        return
    for problem in report.problems:
        click.echo(str(problem))
    if report.unfinished:
        click.echo(f"note: {report.unfinished}")
    mended = f", {report.mended} torn places mended" if report.mended else ""
    verdict = "ok    " if report.ok else "fail  "
    click.echo(
        f"{verdict}{report.records} records{mended}; log {report.log_id}, head {report.head.seq}:{report.head.sha256}"
    )
    if not anchors:
        click.echo(
            "without an --anchor, a log that was cut short or written anew as a whole cannot be told from a whole one"
        )


def _count(report: Report) -> str:
    count = len(report.problems) + report.further
    return "1 problem" if count == 1 else f"{count} problems"


def _summary(report: Report) -> dict[str, object]:
    head = {"seq": report.head.seq, "sha256": report.head.sha256} if report.head else None
    problems = [str(problem) for problem in report.problems]
    return {
        "ok": report.ok,
        "records": report.records,
        "log_id": report.log_id,
        "head": head,
        "problems": problems,
        "further_problems": report.further,
        "mended": report.mended,
        "unfinished": report.unfinished,
    }
