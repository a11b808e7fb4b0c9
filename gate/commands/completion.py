"""`gate completion`: what a shell needs to complete this command."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem, get_completion_class

from config.load import ConfigError, load_policy_as_reader
from gate.commands.fault import CommandError
from gate.commands.target import waiting_requests
from gate.flow.announcement import job_words

if TYPE_CHECKING:
    from gate.store.request import Request

SHELLS = ("bash", "zsh", "fish")
_VARIABLE = "_GATE_COMPLETE"  # which click reads


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the lines that complete `gate` in SHELL.

    For instance, once: `gate completion bash > /etc/bash_completion.d/gate`.
    """
    found = get_completion_class(shell)
    if found is None:
        raise CommandError(f"click has no completion for {shell}: update it")
    root = context.find_root()
    click.echo(found(root.command, {}, "gate", _VARIABLE).source())


def waiting_jobs(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """What waits, for an argument JOB; nothing where that is unknown."""
    config = context.find_root().params.get("config")
    if not isinstance(config, str):
        return []
    try:
        policy, _digest = load_policy_as_reader(config)
        found, _faults = waiting_requests(policy["state_dir"])
    except (ConfigError, OSError):
        return []  # a completion that fails says nothing
    return [
        CompletionItem(name, help=job_words(request.facts))
        for name, request in _names(found)
        if name.startswith(incomplete)
    ]


def _names(found: list[Request]) -> list[tuple[str, Request]]:
    """Each by its number, where that is enough; otherwise by its key."""
    numbers = [str(request.facts["job_id"]) for request in found]
    return [
        (number if numbers.count(number) == 1 else each.key, each) for number, each in zip(numbers, found, strict=True)
    ]
