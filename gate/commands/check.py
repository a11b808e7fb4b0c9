"""`gate check`: whether gate.yaml is right."""

from __future__ import annotations

import json

import click

from config.load import load_policy_as_reader
from gate import rules


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_obj
def check(config: str, as_json: bool) -> None:
    """Check gate.yaml: every fault with its line, or what it asks for."""
    policy, digest = load_policy_as_reader(config)
    if as_json:
        asked = {rule["name"]: rules.wanted_words(rule) for rule in policy["rules"]}
        click.echo(
            json.dumps({"file": config, "sha256": digest, "warnings": policy["warnings"], "rules": asked}, indent=2)
        )
        return
    for warning in policy["warnings"]:
        click.echo(f"warn  {warning}", err=True)
    click.echo(f"ok    {config} (sha256 {digest})")
    for rule in policy["rules"]:
        click.echo(f"      rule {rule['name']}: {rules.wanted_words(rule)}")
