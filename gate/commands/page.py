"""`gate page`: serve the approval page."""

from __future__ import annotations

import click

from gate.commands.fault import CommandError


@click.command()
@click.pass_obj
def page(config: str) -> None:
    """Serve the approval page, as its own user.

    `page` in gate.yaml names that user, and where the page listens. A systemd unit does it; see docs/how-to/page.md.
    """
    # 30 MiB, which no other command needs.
    from gate.page.app import WrongUserError, run
    from gate.page.doors import DoorError

    try:
        run(config)
    except (WrongUserError, DoorError) as error:
        raise CommandError(str(error)) from error
