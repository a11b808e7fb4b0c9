"""Options that several commands have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    Command = TypeVar("Command", bound=Callable[..., object])


def json_option(what: str = "One JSON object on stdout.") -> Callable[[Command], Command]:
    """`--json`, whose help says what comes out."""
    return click.option("--json", "as_json", is_flag=True, help=what)
