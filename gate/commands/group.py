"""A group of subcommands, whose help has each summary whole."""

from __future__ import annotations

import click

_WHOLE = 10_000  # characters of a summary


class Group(click.Group):
    """As click's, which cuts each summary to one line with `...`: here a summary takes the lines it needs."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write all subcommands with the first sentence of each one's help."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.get_short_help_str(_WHOLE)) for name, each in found if each])
