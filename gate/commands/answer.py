"""`gate approve` and `gate reject`: write a correct drop, and say what came of it.

The command has no right of its own: it does what a person could do with a text editor, and reads what came of it in the
audit log.
"""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

import click

from audit import log
from config.load import load_policy_as_reader
from gate.commands import archived
from gate.commands.completion import waiting_jobs
from gate.commands.fault import CommandError
from gate.commands.job import job_of
from gate.commands.target import NoSuchJobError, drop_directory, me, unseen, waiting_request
from gate.flow.status import progress, records_of, state_words, votes_in
from gate.model import matching, rules
from gate.model.words import shown
from gate.store import layout
from gate.store.files import StateError, write_once
from gate.store.request import fit
from gate.votes import drop_file

if TYPE_CHECKING:
    from gate.commands.job import Job
    from gate.shapes import Answer, Policy, Record
    from gate.store.request import Request

FOLLOW_S = 20.0
SETTLE_S = 1.0
POLL_S = 0.05

_JOB = click.argument("job", shell_complete=waiting_jobs)
_MESSAGE = click.option("-m", "--message", default="", metavar="TEXT", help="Your comment; it is recorded and shown.")
_NO_WAIT = click.option("--no-wait", is_flag=True, help="Leave the answer and do not wait for what comes of it.")
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
_EARLY = click.option("--early", is_flag=True, help="Answer a job that does not wait yet; see `early` in gate.yaml.")


@click.command()
@_JOB
@_MESSAGE
@_NO_WAIT
@_EARLY
@_JSON
@click.pass_obj
def approve(config: str, job: str, message: str, no_wait: bool, early: bool, as_json: bool) -> None:
    """Let JOB run.

    JOB is its number, its key as `gate list` shows it, its address in GitLab, or its request's on the page.
    """
    outcome = _answer(config, job, "approve", message, no_wait=no_wait, early=early)
    _tell(outcome, job, "approve", as_json=as_json)


@click.command()
@_JOB
@_MESSAGE
@_NO_WAIT
@_EARLY
@_JSON
@click.pass_obj
def reject(config: str, job: str, message: str, no_wait: bool, early: bool, as_json: bool) -> None:
    """Do not let JOB run; it fails, with the exit code for rejected jobs."""
    outcome = _answer(config, job, "reject", message, no_wait=no_wait, early=early)
    _tell(outcome, job, "reject", as_json=as_json)


def _answer(config: str, job: str, answer: Answer, message: str, *, no_wait: bool, early: bool) -> dict[str, str]:
    """Leave an answer; returns what came of it: `outcome` (left, counted, approved, rejected), and in words."""
    policy, named = load_policy_as_reader(config)[0], job_of(job)
    person, text = me(policy), message.strip()
    fault = drop_file.comment_fault(text)
    if fault:
        raise CommandError(f"{fault}; nothing was answered")
    directory = drop_directory(policy["state_dir"], person)
    request = _request(policy["state_dir"], named, early=early)
    if request is None:
        _check_unseen(named)
        path = _drop(directory, f"{named.name}.{answer}", text)
        hope = "it counts when that job comes, if its rule allows" if early else _unseen(policy)
        return {"outcome": "left", "message": f"left {path}; {hope}"}
    _check(request, policy, person, answer, text)
    since = log.position(layout.audit(policy["state_dir"]))
    path = _drop(directory, f"{request.key}.{answer}", text)
    if no_wait:
        return {"outcome": "left", "message": f"left {path}; see `gate show {named.name}` for what comes of it"}
    return _follow(request, policy, person, answer, path, since) | {"request": request.key}


def _tell(outcome: dict[str, str], job: str, answer: Answer, *, as_json: bool) -> None:
    click.echo(json.dumps({"job": job, "answer": answer, **outcome}, indent=2) if as_json else outcome["message"])


def _check_unseen(job: Job) -> None:
    """A drop is named by a number or a key, and an address in GitLab has no key: the instance in it would be lost.

    Raises:
        CommandError: an address was given for a job that cannot be looked up.
    """
    if job.instance:
        raise CommandError(
            f"job {job.number} of {job.instance} cannot be seen from here, and its address does not tell its key; "
            f"{job.number} alone would count for the job of that number of any GitLab: give that, or the key; "
            "nothing was answered"
        )


def _unseen(policy: Policy) -> str:
    return f"what comes of it cannot be seen from here: {unseen(policy)}"


def _request(state_dir: str, job: Job, *, early: bool) -> Request | None:
    """The waiting request; None where it cannot be seen from here, or is still to come.

    Raises:
        CommandError: it is over, or nobody has heard of it and the answer is not `early`.
    """
    try:
        return waiting_request(state_dir, job)
    except PermissionError:
        return None
    except NoSuchJobError as error:
        if not early:
            raise CommandError(f"{error}; --early answers a job that is still to come") from error
    _raise_if_archived(state_dir, job)
    return None


def _raise_if_archived(state_dir: str, job: Job) -> None:
    """Only the log tells: what is archived is the gate's own to read."""
    records = archived.records_of(state_dir, job)
    if records:
        raise CommandError(f"job {job.name} is not waiting: {archived.summary(records)['state']}; it is archived")


def _check(request: Request, policy: Policy, person: str, answer: Answer, text: str) -> None:
    """Say beforehand what the gate would say, or would not even look at.

    Raises:
        CommandError: this answer would not count.
    """
    rule = matching.current(policy, request.facts)
    why = rules.may_answer(person, answer, text, rule, policy, request.facts) if rule else None
    if why:
        raise CommandError(f"your answer would not count: {shown(why, 500)}; nothing was answered")


def _drop(directory: str, name: str, text: str) -> str:
    path = os.path.join(directory, name)
    try:
        made = write_once(directory, name, (text or drop_file.OK).encode() + b"\n", 0o600)
    except StateError as error:
        raise CommandError(f"{error}; nothing was answered") from error
    if not made:
        raise CommandError(f"{path} is there already and nobody has taken it yet; remove it to answer anew")
    return path


def _progress(request: Request, policy: Policy) -> str:
    rule = matching.current(policy, request.facts)
    return progress(request, rule, policy, votes_in(records_of(request), policy)) if rule else "no rule is left for it"


def _follow(
    request: Request, policy: Policy, person: str, answer: Answer, path: str, since: tuple[int, int]
) -> dict[str, str]:
    """What came of a drop, by the audit log.

    Raises:
        CommandError: it did not count, came too late, or nobody has taken it.
    """
    give_up = time.monotonic() + FOLLOW_S
    counted_at: float | None = None
    while time.monotonic() < give_up:
        for _head, record in log.records(layout.audit(request.state_dir), since):
            if record.get("request") != request.key:
                continue
            _raise_if_turned_away(record, person, os.path.basename(path))
            if (
                record["event"] == "vote"
                and (record["by"]["person"], record["by"]["via"]) == (person, "drop")
                and counted_at is None
            ):
                counted_at = time.monotonic()
        decision = request.file("decision.json")
        if decision:
            return _outcome(request, decision["decision"], answer, path, counted=counted_at is not None)
        if counted_at is not None and time.monotonic() > counted_at + SETTLE_S:
            message = f"counted: your {answer} of {request.key}; now {_progress(request, policy)}"
            return {"outcome": "counted", "message": message}
        time.sleep(POLL_S)
    raise CommandError(f"nobody has taken your answer yet; it stays at {path}; look at `gate show {request.key}`")


def _raise_if_turned_away(record: Record, person: str, name: str) -> None:
    if record["event"] != "drop-turned-away" or (record["by"].get("person"), record["by"]["via"]) != (person, "drop"):
        return
    dropped = record["drop"]["name"]
    whole = [f"drop/{person}", f"drop/{person}/{name}"]  # what is passed over is known by its path
    if dropped in [fit(shown(each)) for each in (name, *whole)]:
        raise CommandError(f"your answer does not count: {shown(record['why'], 500)}")


def _outcome(request: Request, decision: str, answer: Answer, path: str, *, counted: bool) -> dict[str, str]:
    wanted = {"approve": "approved", "reject": "rejected"}[answer]
    if decision == wanted:
        return {"outcome": decision, "message": f"{request.key} is {state_words(request)}"}
    if not counted and os.path.exists(path):
        os.unlink(path)
    raise CommandError(f"too late: {request.key} is {state_words(request)}; your {answer} came to nothing")
