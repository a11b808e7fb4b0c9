"""A command about jobs: what fails has its own exit code, and is JSON where JSON was asked for."""

from __future__ import annotations

import json
from typing import Any

import click

from audit.log import AuditError
from config.faults import ConfigError
from gate.commands.fault import BrokenGateError, CommandError, as_data
from gate.errors import GateError


class JobCommand(click.Command):
    """With `--json`, an error is an object on stdout too; what the gate itself fails at is a BrokenGateError."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run it.

        Raises:
            CommandError: it failed.
        """
        try:
            return super().invoke(ctx)
        except (GateError, ConfigError, AuditError) as error:
            known = error_of(error)
            if ctx.params.get("as_json"):
                click.echo(json.dumps({"error": as_data(known)}, indent=2))
            raise known from error


def error_of(error: Exception) -> CommandError:
    """The error of the command line that another one comes to."""
    return error if isinstance(error, CommandError) else BrokenGateError(str(error))
