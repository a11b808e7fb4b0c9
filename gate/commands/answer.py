"""`gate approve` and `gate reject`: write a correct drop for each job, and say what came of it.

The command has no right of its own: it does what a person could do with a text editor, and reads what came of it in the
audit log. Of several jobs each is answered by itself: what is wrong with one keeps no other back.
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING

import click

from audit.log import AuditError
from config.load import load_policy_as_reader
from gate.commands.completion import waiting_jobs
from gate.commands.fault import NotCountingError, prefixed
from gate.commands.job import job_of
from gate.commands.job_command import JobCommand, error_of
from gate.commands.one_answer import FOLLOW_S, OneAnswer
from gate.commands.options import json_option
from gate.commands.target import drop_directory, me
from gate.errors import GateError
from gate.model.words import shown
from gate.votes import drop_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from gate.shapes import Answer

_JOBS = click.argument("jobs", metavar="JOB...", nargs=-1, shell_complete=waiting_jobs)
_MESSAGE = click.option("-m", "--message", default="", metavar="TEXT", help="Your comment; it is recorded and shown.")
_YES = click.option("-y", "--yes", is_flag=True, help="Do not ask, in a terminal, whether this is what you mean.")
_NO_WAIT = click.option("--no-wait", is_flag=True, help="Leave the answer and do not wait for what comes of it.")
_EARLY = click.option("--early", is_flag=True, help="Answer a job that does not wait yet; see `early` in gate.yaml.")


@click.command(cls=JobCommand)
@_JOBS
@_MESSAGE
@_YES
@_NO_WAIT
@_EARLY
@json_option("One JSON object on stdout; an array for several jobs.")
@click.pass_context
def approve(
    context: click.Context, jobs: tuple[str, ...], message: str, yes: bool, no_wait: bool, early: bool, as_json: bool
) -> None:
    """Let JOB run.

    JOB is its number, its key as `gate list` shows it, its address in GitLab, or its request's on the page. Says what
    is approved; asks once, in a terminal, whether that is what you mean.
    """
    context.exit(
        _answer(context, jobs, "approve", message, ask=not yes, wait=not no_wait, early=early, as_json=as_json)
    )


@click.command(cls=JobCommand)
@_JOBS
@_MESSAGE
@_YES
@_NO_WAIT
@_EARLY
@json_option("One JSON object on stdout; an array for several jobs.")
@click.pass_context
def reject(
    context: click.Context, jobs: tuple[str, ...], message: str, yes: bool, no_wait: bool, early: bool, as_json: bool
) -> None:
    """Do not let JOB run; it fails, with the exit code for rejected jobs.

    JOB is as for `gate approve`, which asks likewise.
    """
    context.exit(_answer(context, jobs, "reject", message, ask=not yes, wait=not no_wait, early=early, as_json=as_json))


def _answer(
    context: click.Context,
    jobs: tuple[str, ...],
    answer: Answer,
    message: str,
    *,
    ask: bool,
    wait: bool,
    early: bool,
    as_json: bool,
) -> int:
    """Answer all of them; returns the exit code, which is that of the first that could not be answered."""
    if not jobs:
        raise click.UsageError(
            "name a JOB, as 1234; a shell takes #1234 for a comment unless it stands in quotes", context
        )
    policy, named = load_policy_as_reader(context.obj)[0], {each: job_of(each) for each in jobs}
    person, text = me(policy), message.strip()
    fault = drop_file.comment_fault(text)
    if fault:
        raise NotCountingError(f"{fault}; nothing was answered")
    directory = drop_directory(policy["state_dir"], person)
    answers = [OneAnswer(typed, job, answer, text, policy, person, directory) for typed, job in named.items()]
    _each(answers, lambda one: one.look_up(early=early))
    answers = _once(answers)
    _say([one for one in answers if not one.error], answer, ask=ask, as_json=as_json)
    _each(answers, lambda one: one.leave(early=early))
    if wait:
        give_up = time.monotonic() + FOLLOW_S
        _each([one for one in answers if one.request], lambda one: one.follow(give_up))
    return _tell(answers, as_json=as_json)


def _each(answers: list[OneAnswer], step: Callable[[OneAnswer], None]) -> None:
    """Take each a step further, but for those that have failed.

    Raises:
        CommandError: it failed, and is the only one.
    """
    for one in answers:
        try:
            if not one.error:
                step(one)
        except (GateError, AuditError) as error:
            one.error = error_of(error)
            if len(answers) == 1:
                raise one.error from error


def _once(answers: list[OneAnswer]) -> list[OneAnswer]:
    """Each job once, however it was written."""
    first = {one.drop_name or one.typed: one for one in reversed(answers)}
    return [one for one in answers if one in first.values()]


def _say(answers: list[OneAnswer], answer: Answer, *, ask: bool, as_json: bool) -> None:
    """Say what is about to be answered, and ask, where somebody sits there.

    Raises:
        click.Abort: they said no.
    """
    asks = ask and bool(answers) and sys.stdin.isatty()
    if asks or not as_json:
        for one in answers:
            click.echo(one.words, err=True)
    these = "it" if len(answers) == 1 else f"these {len(answers)}"
    if asks and not click.confirm(f"{answer} {these}?", err=True):
        click.echo("nothing was answered", err=True)
        raise click.Abort


def _tell(answers: list[OneAnswer], *, as_json: bool) -> int:
    """Say what came of them; returns the exit code."""
    if as_json:
        told = [one.data() for one in answers]
        click.echo(json.dumps(told[0] if len(told) == 1 else told, indent=2))
    for one in answers:
        if one.error:
            click.echo(prefixed(f"{shown(one.typed)}: {one.error}"), err=True)
        elif not as_json:
            click.echo(one.message)
    return next((one.error.exit_code for one in answers if one.error), 0)
