"""The `gate` command, for people: one module a subcommand."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from audit.log import AuditError
from config.faults import ConfigError
from config.host import reason
from gate import DEFAULT_CONFIG, __version__
from gate.commands.answer import approve, reject
from gate.commands.audit import audit
from gate.commands.completion import completion
from gate.commands.config import config as config_group
from gate.commands.fault import CommandError
from gate.commands.init import init
from gate.commands.look import list_, show
from gate.commands.page import page
from gate.commands.rules import rules
from gate.commands.statement import statement
from gate.commands.user import user
from gate.files import StateError

if TYPE_CHECKING:
    from collections.abc import Iterable

INTERRUPTED = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="gitlab-runner-gate")
@click.option(
    "--config", metavar="FILE", envvar="GATE_CONFIG", default=DEFAULT_CONFIG, show_default=True, help="gate.yaml"
)
@click.pass_context
def gate(context: click.Context, config: str) -> None:
    """Put a human in front of a CI job: see what waits, and answer."""
    context.obj = config


for command in (approve, reject, statement, list_, show, init, rules, page, user, audit, config_group, completion):
    gate.add_command(command)


def main(more: Iterable[click.Command] = ()) -> None:
    """Run the command line, with `more` subcommands; exits with 1 for a fault that is told in one line, 2 for misuse."""
    for command in more:
        gate.add_command(command)
    try:
        sys.exit(gate.main(prog_name="gate", standalone_mode=False) or 0)
    except (CommandError, ConfigError, StateError, AuditError) as error:
        click.echo(f"gate: {error}", err=True)
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(INTERRUPTED)
    except SystemExit as ended:
        # click makes this of a reader that has seen enough (`| head`).
        if isinstance(ended.__context__, BrokenPipeError):
            _drop_the_rest()
        raise
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        click.echo(f"gate: {reason(error)}{where}", err=True)
        _drop_the_rest()
        sys.exit(1)


def _drop_the_rest() -> None:
    """What is still buffered for stdout would be tried once more at the end, and told as a fault of Python's."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
