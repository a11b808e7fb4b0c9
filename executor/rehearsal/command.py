"""`gate rehearse`: the command around executor.rehearsal.session."""

from __future__ import annotations

import sys

import click

from executor.rehearsal.session import RehearsalError, run
from executor.rehearsal.version import NEWEST_KNOWN
from gate.commands.fault import CommandError

STDOUT, STDERR = 1, 2


@click.command()
@click.option("--job", "job_file", metavar="FILE", help="A job response (JSON); without it, a sample deployment.")
@click.option("--runner-config", metavar="FILE", help="A runner's config.toml; without it, this installation.")
@click.option(
    "--runner", "runner_name", metavar="NAME", help="Which [[runners]] of that file. [default: its first custom one]"
)
@click.option(
    "--runner-version",
    metavar="VERSION",
    help=f"Which gitlab-runner to play; without it the one on PATH or in GITLAB_RUNNER, or {NEWEST_KNOWN}.",
)
@click.option(
    "--set", "settings", metavar="KEY=VALUE", multiple=True, help="A variable, as a pipeline's author may set it."
)
@click.option(
    "--timeout", type=click.IntRange(min=1), metavar="SECONDS", help="The job's timeout, instead of the job's own."
)
@click.option("--report", metavar="FILE", help="Write the outcome there, as JSON.")
@click.option("--json", "as_json", is_flag=True, help="The outcome as JSON on stdout, and the job log on stderr.")
@click.pass_obj
def rehearse(
    config: str,
    job_file: str | None,
    runner_config: str | None,
    runner_name: str | None,
    runner_version: str | None,
    settings: tuple[str, ...],
    timeout: int | None,
    report: str | None,
    as_json: bool,
) -> None:
    """Play gitlab-runner for one job and show its log; Ctrl-C cancels it. The exit status is the job's."""
    try:
        log = STDERR if as_json else STDOUT
        report = report or ("/dev/stdout" if as_json else None)
        status = run(job_file, runner_config, config, list(settings), timeout, report, runner_name, log, runner_version)
    except RehearsalError as error:
        raise CommandError(str(error)) from error
    sys.exit(status)
