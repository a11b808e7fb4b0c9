"""`gate audit verify`: whether the log is what was written, and what of it can still be relied on."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import click

from audit import anchors
from audit.record import FIRST_SEQ
from audit.verify import verify as verify_log
from config.load import load_policy_as_reader
from gate.commands.audit.anchors import of_checkpoints, of_trace
from gate.commands.fault import CommandError
from gate.commands.options import json_option
from gate.store import layout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from audit.anchors import Anchor
    from audit.verify import Report

_NO_ANCHOR = (
    "without an anchor kept elsewhere (--anchor, --from-trace, --checkpoint), a log that was cut short or "
    "written anew as"
    " a whole cannot be told from a whole one"
)
_BY_LOCAL_KEY = (
    "checkpoints were checked with this host's own key, which a person who could rewrite the log may have had, too: a"
    " --verifier-key that was kept elsewhere vouches for more"
)


@click.command()
@click.option(
    "--anchor",
    "written",
    metavar="SEQ:SHA256",
    multiple=True,
    help="A head that was kept elsewhere; may be given often.",
)
@click.option(
    "--from-trace",
    "traces",
    metavar="FILE",
    multiple=True,
    help="A job log of GitLab's, whole: its audit heads are anchors; - is stdin; may be given often.",
)
@click.option(
    "--checkpoint",
    "checkpoints",
    metavar="FILE",
    multiple=True,
    help="A checkpoint that `gate audit checkpoint` printed; may be given often.",
)
@click.option(
    "--verifier-key",
    "keys",
    metavar="KEY_OR_FILE",
    multiple=True,
    help="Whose signature counts, as `gate audit key` printed it, or a file with such lines. Without it, this host's.",
)
@click.option("--directory", metavar="DIR", help="A copy of the log, wherever it is, instead of gate.yaml's own.")
@json_option()
@click.pass_obj
def verify(
    config: str,
    written: tuple[str, ...],
    traces: tuple[str, ...],
    checkpoints: tuple[str, ...],
    keys: tuple[str, ...],
    directory: str | None,
    as_json: bool,
) -> None:
    """Check that nothing in the log was changed, cut or added, and that it goes through heads kept elsewhere."""
    state_dir = "" if directory is not None else load_policy_as_reader(config)[0]["state_dir"]
    directory = layout.audit(state_dir) if directory is None else directory
    kept = [anchors.parse(text) for text in written]
    for path in traces:
        kept += of_trace(path)
    kept += of_checkpoints(checkpoints, keys, state_dir)
    by_local_key = bool(checkpoints) and not keys
    report = verify_log(directory, kept)
    cannot_know = bool(report.unknown) and not report.met
    if as_json:
        ok = report.ok and not cannot_know
        click.echo(json.dumps({"ok": ok, **_summary(report), "by_local_key": by_local_key}, indent=2))
    else:
        for line in _lines(report, any_anchor=bool(kept), by_local_key=by_local_key):
            click.echo(line)
    if report.ok and cannot_know:
        raise CommandError("it cannot be known whether the log goes through any of these anchors: take younger ones")
    if not report.ok:
        raise CommandError(f"the audit log in {directory} is not what was written: {_count(report)}")


def _lines(report: Report, *, any_anchor: bool, by_local_key: bool) -> Iterator[str]:
    yield from map(str, report.problems)
    if report.further:
        yield f"and {report.further} more problems"
    if report.unfinished:
        yield f"note: {report.unfinished}"
    if report.head is None:
        return
    mended = f", {report.mended} torn places mended" if report.mended else ""
    verdict = ("cannot know: " if report.unknown and not report.met else "ok    ") if report.ok else "fail  "
    yield f"{verdict}{report.records} records{mended}; log {report.log_id}, head {report.head.seq}:{report.head.sha256}"
    yield f"sound: {_range_words(report.sound, report.further_sound) if report.sound else 'no record'}"
    yield from _let_go_words(report)
    if report.met:
        yield f"anchors met: {_met_words(report.met)}"
    if report.unknown:
        yield f"cannot know: {_met_words(report.unknown)}: the log does not go back to them any more"
    yield from _unknown_words(report, any_anchor=any_anchor)
    if by_local_key:
        yield _BY_LOCAL_KEY


def _range_words(ranges: tuple[tuple[int, int], ...], further: int = 0) -> str:
    words = [f"{first} to {last}" if first != last else f"{first}" for first, last in ranges]
    return f"records {', '.join(words)}" + (f", and {further} more ranges" if further else "")


def _met_words(met: tuple[Anchor, ...]) -> str:
    by_source: dict[str, list[int]] = {}
    for anchor in met:
        by_source.setdefault(anchor.source, []).append(anchor.seq)
    return "; ".join(f"{', '.join(map(str, seqs))} ({source})" for source, seqs in by_source.items())


def _let_go_words(report: Report) -> Iterator[str]:
    """Where the log begins, if that is not its beginning; and what could have been removed, and was not."""
    if FIRST_SEQ < report.first <= (report.kept_from or FIRST_SEQ):
        yield f"records before {report.first} were let go (keep.log), as the log says itself"
    if report.kept_from and report.kept_from > report.first:
        yield (
            f"records before {report.kept_from} need not be kept (keep.log), and are still there: chattr +a keeps them"
        )


def _unknown_words(report: Report, *, any_anchor: bool) -> Iterator[str]:
    """What cannot be known from here."""
    if not any_anchor:
        yield _NO_ANCHOR
    elif report.vouched and report.vouched != ((report.first, report.first + report.records - 1),):
        yield (
            f"they vouch for {_range_words(report.vouched)}; of the others, nobody outside says that they are "
            "as they were"
        )


def _count(report: Report) -> str:
    count = len(report.problems) + report.further
    return "1 problem" if count == 1 else f"{count} problems"


def _summary(report: Report) -> dict[str, object]:
    head = {"seq": report.head.seq, "sha256": report.head.sha256} if report.head else None
    return {
        "records": report.records,
        "first": report.first,
        "kept_from": report.kept_from,
        "log_id": report.log_id,
        "head": head,
        "problems": [dataclasses.asdict(problem) for problem in report.problems],
        "further_problems": report.further,
        "sound": report.sound,
        "further_sound": report.further_sound,
        "vouched": report.vouched,
        "anchors_unknown": [anchor._asdict() for anchor in report.unknown],
        "anchors_met": [anchor._asdict() for anchor in report.met],
        "mended": report.mended,
        "unfinished": report.unfinished,
    }
