"""`gate check`: whether gate.yaml is right."""

from __future__ import annotations

import click

from config.load import load_policy_as_reader
from gate import rules


@click.command()
@click.pass_obj
def check(config: str) -> None:
    """Check gate.yaml: every fault with its line, or what it asks for."""
    policy, digest = load_policy_as_reader(config)
    for warning in policy["warnings"]:
        click.echo(f"warn  {warning}", err=True)
    click.echo(f"ok    {config} (sha256 {digest})")
    for rule in policy["rules"]:
        click.echo(f"      rule {rule['name']}: {rules.wanted_words(rule)}")
