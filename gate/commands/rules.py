"""`gate rules test`: which rule a job would get, and why."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from config.load import load_policy_as_reader
from gate.commands.assumed_job import described
from gate.commands.fault import CommandError
from gate.commands.group import Group
from gate.commands.options import json_option
from gate.flow.announcement import job_words
from gate.model import dangers
from gate.model import rules as rule_book
from gate.model.facts import FactsError, job_facts
from gate.model.looser import missed
from gate.model.matching import barred, choose, criteria, facts_words
from gate.model.words import shown

if TYPE_CHECKING:
    from gate.shapes import Facts, Policy, Rule

SHOWN_MAX_CHARACTERS = 2000
_WORDS = {True: "yes", False: "no", None: "unknown"}


@click.group(cls=Group)
def rules() -> None:
    """The rules of gate.yaml."""


@rules.command()
@click.option(
    "--job", "job_file", metavar="FILE", help="A job response (JSON), as gitlab-runner writes it; or describe the job:"
)
@click.option("--project", metavar="PATH", help="The project's path, such as shop/web.")
@click.option("--ref", metavar="REF", help="The branch or tag.")
@click.option("--protected/--unprotected", default=None, help="Whether the ref is protected.")
@click.option("--environment", metavar="NAME", help="The environment that the job claims.")
@click.option("--job-name", "name", metavar="NAME", help="The job's name.")
@click.option("--stage", metavar="NAME", help="The job's stage.")
@click.option("--instance", metavar="HOST", help="The GitLab that the job comes from.")
@click.option("--user", metavar="NAME|ID", help="The GitLab user who triggered the job.")
@click.option("--variable", metavar="NAME", multiple=True, help="A variable that the job sets.")
@json_option()
@click.pass_obj
def test(
    config: str,
    /,
    job_file: str | None,
    name: str | None,
    variable: tuple[str, ...],
    as_json: bool,
    **given: str | bool | None,
) -> None:
    """Say which rule a job would get and why, and who could approve it.

    The job is one of a file, or is described: what is not said of it is assumed, and printed. Exits 1 if the job would
    be refused.
    """
    policy, _digest = load_policy_as_reader(config)
    given = {**given, "job": name}
    assumed: list[str] = []
    if job_file is None:
        facts, assumed = _described(given, variable)
    elif variable or any(value is not None for value in given.values()):
        raise click.UsageError("--job has all that is known of a job: leave the other options out")
    else:
        facts = _facts(job_file)
    rule, why = choose(policy, facts)
    refused = why or barred(rule_book.backend_of(policy, rule), rule, facts)
    if as_json:
        click.echo(json.dumps(_summary(policy, facts, rule, refused) | {"assumed": assumed}, indent=2))
    else:
        if assumed:
            click.echo(f"assumed: {', '.join(assumed)}")
        _tell(policy, facts, None if refused else rule)
    if refused:
        raise CommandError(f"the job would be refused: {shown(refused, SHOWN_MAX_CHARACTERS)}")


def _described(given: dict[str, str | bool | None], variables: tuple[str, ...]) -> tuple[Facts, list[str]]:
    if not given["project"]:
        raise click.UsageError("name a job: --project and what else is known of it, or --job with a job response")
    job = described(given, variables)
    try:
        return job_facts(job.response), job.assumed
    except FactsError as error:
        raise CommandError(f"no such job can be: {error}") from error


def _facts(job_file: str) -> Facts:
    try:
        with open(job_file, encoding="utf-8") as source:
            response = json.load(source)
    except OSError as error:
        raise CommandError(f"cannot read {job_file}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise CommandError(f"{job_file} is not the JSON of a job response: {error}") from error
    if not isinstance(response, dict):
        raise CommandError(f"{job_file} holds no JSON object")
    try:
        return job_facts(response)
    except FactsError as error:
        raise CommandError(f"{job_file}: {error}") from error


def _tell(policy: Policy, facts: Facts, rule: Rule | None) -> None:
    click.echo(f"{job_words(facts)}\n{shown(facts_words(facts), SHOWN_MAX_CHARACTERS)}")
    for danger in dangers.of(facts, None):
        click.echo(f"  warning: {shown(danger, SHOWN_MAX_CHARACTERS)}")
    for each in policy["rules"]:
        judged = ", ".join(f"{name}: {_WORDS[holds]}" for name, holds in criteria(each, facts).items())
        click.echo(f"  {each['name']}: {judged or 'all jobs'}")
    if rule is None:
        return
    click.echo(f"rule {rule['name']}: {rule_book.wanted_words(rule)}")
    for strict in missed(policy, facts, rule):
        click.echo(f"  rule {strict['name']} asks for more, and the job misses it by {_missed_by(strict, facts)} alone")
    for person in rule_book.people_of(rule):
        why = rule_book.may_approve(person, rule, policy, facts)
        click.echo(f"  {person} {'could approve it' if why is None else f'could not: {shown(why)}'}")


def _missed_by(rule: Rule, facts: Facts) -> str:
    return next(name for name, holds in criteria(rule, facts).items() if holds is False)


def _summary(policy: Policy, facts: Facts, rule: Rule | None, refused: str) -> dict[str, object]:
    people = rule_book.people_of(rule) if rule and not refused else []
    approvers = [person for person in people if rule and rule_book.may_approve(person, rule, policy, facts) is None]
    return {
        "rule": rule["name"] if rule else None,
        "refused": refused or None,
        "asks": rule_book.wanted_words(rule) if rule else None,
        "could_approve": approvers,
        "criteria": {each["name"]: criteria(each, facts) for each in policy["rules"]},
        "facts": {name: value for name, value in facts.items() if name != "triggered_by"},
    }
