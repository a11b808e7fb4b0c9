"""`gate init`: from nothing to a gate on this host, and the runner's block to paste."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import click

from gate.commands.fault import CommandError
from gate.commands.options import json_option
from gate.setup import output, prompts
from gate.setup.answers import AnswerError, Answers, fitting
from gate.setup.apply import MakingError, make
from gate.setup.plan import PlanError, plan

if TYPE_CHECKING:
    from gate.setup.plan import Plan

STATE_DIR = "/var/lib/gitlab-runner-gate"


@click.command()
@click.option("--site", metavar="NAME", help="Name shown in links and in the audit log.  [default: the host's name]")
@click.option(
    "--approvers", metavar="USERS", help="Who may approve: Unix users, as alice,bob; with GitLab's user id: alice=4711."
)
@click.option(
    "--run-as", metavar="USER", help=f"The user that jobs run as, made if missing; else {prompts.DEFAULT_RUN_AS}."
)
@click.option("--page/--no-page", default=None, help="Set up the approval page.  [default: --page]")
@click.option("--state-dir", metavar="DIR", help=f"Where all state is kept; else {STATE_DIR}.")
@click.option("--allow-same-user", is_flag=True, help="For trying out: jobs run as the gate's own user. Needs no root.")
@click.option("--dry-run", is_flag=True, help="Change nothing; print the commands, for `sh -e`.")
@json_option("What was made, the runner's block and the key, as JSON.")
@click.pass_obj
def init(
    config: str,
    site: str | None,
    approvers: str | None,
    run_as: str | None,
    page: bool | None,
    state_dir: str | None,
    allow_same_user: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Set this host up: users, directories, a key, and a gate.yaml to start from.

    Asks, in a terminal, for what no option says. Overwrites nothing; what is there already, and right, stays.
    """
    path = os.path.abspath(config)
    if os.path.lexists(path):
        raise CommandError(
            f"{path} is there already, and stays: `gate check` looks at it, `gate config runner` prints the runner's "
            "block, and --config names another"
        )
    if allow_same_user and run_as is not None:
        raise CommandError("--run-as and --allow-same-user exclude each other: leave one out")
    try:
        runner = prompts.runner(allow_same_user=allow_same_user, dry_run=dry_run)
        own = os.path.join(os.path.dirname(path), "state")
        answers = Answers(
            config=path,
            state_dir=_state_dir(state_dir, STATE_DIR if runner.uid == 0 else own),
            site=prompts.site(site),
            approvers=prompts.approvers(approvers),
            run_as=None if allow_same_user else prompts.run_as(run_as),
            page=prompts.page(page),
            runner=runner,
        )
        planned = plan(answers)
        if dry_run:
            click.echo(
                json.dumps(output.as_data(planned, None), indent=2) if as_json else "\n".join(output.script(planned))
            )
        else:
            _make(planned, as_json=as_json)
    except (AnswerError, PlanError, MakingError) as error:
        raise CommandError(str(error)) from error


def _state_dir(given: str | None, default: str) -> str:
    try:
        return fitting("state_dir", default if given is None else given).rstrip("/")
    except AnswerError as error:
        raise AnswerError(f"--state-dir: {error}") from error


def _make(planned: Plan, *, as_json: bool) -> None:
    def tell(state: str, name: str) -> None:
        if not as_json:
            click.echo(f"{state:7}{name}")

    missing = set(planned.missing)
    for thing in planned.things:
        if thing not in missing:
            tell("there", thing.name)
    policy, verifier = make(planned, lambda name: tell("made", name))
    for warning in [*policy["warnings"], *output.cautions(planned)]:
        click.echo(f"warn   {warning}", err=True)
    if as_json:
        click.echo(json.dumps(output.as_data(planned, verifier), indent=2))
    else:
        click.echo("\n".join(["", *output.next_steps(planned, verifier)]))
