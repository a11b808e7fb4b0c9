"""The `gate` command, for people: one module a subcommand."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import TYPE_CHECKING

import click

from audit.log import AuditError
from config.faults import ConfigError
from config.host import reason
from gate import DEFAULT_CONFIG, __version__
from gate.commands.answer import approve, reject
from gate.commands.audit.group import audit
from gate.commands.completion import completion
from gate.commands.config import config as config_group
from gate.commands.fault import EXIT_CODES, INTERRUPTED, UNREAD, CommandError, prefixed
from gate.commands.group import Group
from gate.commands.init import init
from gate.commands.list_show import list_, show
from gate.commands.page import page
from gate.commands.people.group import people
from gate.commands.rules import rules
from gate.commands.statement import statement
from gate.commands.user import user
from gate.errors import GateError

if TYPE_CHECKING:
    from collections.abc import Iterable

# What a write to a descriptor says: all files of the gate's own have names by then, stdout has none.
_UNNAMED = dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF), ", where stdout goes")


class _Gate(Group):
    """The command itself; its help ends with the exit codes of all."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Exit status"):
            formatter.write_dl([(str(code), means) for code, means in EXIT_CODES.items()])


@click.group(cls=_Gate, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="gitlab-runner-gate")
@click.option(
    "--config", metavar="FILE", envvar="GATE_CONFIG", default=DEFAULT_CONFIG, show_default=True, help="gate.yaml"
)
@click.pass_context
def gate(context: click.Context, config: str) -> None:
    """Put a human in front of a CI job: see what waits, and answer."""
    context.obj = config


for command in (
    approve,
    reject,
    statement,
    list_,
    show,
    init,
    rules,
    people,
    page,
    user,
    audit,
    config_group,
    completion,
):
    gate.add_command(command)


def main(more: Iterable[click.Command] = ()) -> None:
    """Run the command line, with `more` subcommands; the exit status is one of `EXIT_CODES`."""
    for command in more:
        gate.add_command(command)
    _want_open_streams()
    stdout = sys.stdout
    try:
        sys.exit(gate.main(prog_name="gate", standalone_mode=False) or 0)
    except (GateError, ConfigError, AuditError) as error:
        click.echo(prefixed(error), err=True)
        sys.exit(error.exit_code if isinstance(error, CommandError) else 1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(INTERRUPTED)
    except SystemExit:
        if sys.stdout is stdout:
            raise
        _drop_output()  # click puts another in its place where a reader has seen enough (`| head`), and exits with 1
        sys.exit(UNREAD)
    except OSError as error:
        _drop_output()
        where = f": {error.filename}" if error.filename else _UNNAMED.get(error.errno or 0, "")
        click.echo(prefixed(f"{reason(error)}{where}"), err=True)
        sys.exit(1)


def _want_open_streams() -> None:
    """Python has None for a stream that is closed.

    Nothing comes from such a stdin; without a stdout it goes no further.
    """
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 - for as long as this process lives
    if sys.stdout is None:  # a checkpoint, say, must not seem to have been printed
        click.echo(prefixed("stdout is closed; open it, if only on /dev/null"), err=True)
        sys.exit(1)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names and comments may be in any script, and stdout (LANG) in one that has not all: no reason to end.
        sys.stdout.reconfigure(errors="backslashreplace")


def _drop_output() -> None:
    """Have what is still buffered for stdout go nowhere, since Python would report it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
