"""`gate audit …`: is the log whole, and what does it say."""

from __future__ import annotations

import click

from gate.commands.audit.key import checkpoint, key
from gate.commands.audit.records import export, show, tail
from gate.commands.audit.verify import verify
from gate.commands.group import Group


@click.group(cls=Group)
def audit() -> None:
    """The audit log: is it whole, and what does it say."""


for command in (verify, show, tail, export, checkpoint, key):
    audit.add_command(command)
