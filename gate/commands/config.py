"""`gate config`: gate.yaml's schema for editors, and the file with its defaults filled in."""

from __future__ import annotations

import json
from typing import Any

import click
import yaml

from config.load import load_policy_as_reader
from config.parser import parse
from config.schema import schema as schema_of
from config.schema import with_defaults
from gate.commands.group import Group
from gate.commands.options import json_option


@click.group(cls=Group)
def config() -> None:
    """gate.yaml: its schema, its defaults, the runner's part."""


@config.command()
def schema() -> None:
    """Print the JSON Schema of gate.yaml, for editors."""
    click.echo(json.dumps(schema_of(), indent=2))


@config.command()
@json_option("JSON instead of YAML.")
@click.pass_obj
def show(config: str, as_json: bool) -> None:
    """Print gate.yaml with the defaults of all that it leaves out."""
    load_policy_as_reader(config)  # all its faults, where it has any
    with open(config, "rb") as source:
        value: Any = with_defaults(parse(source.read(), config).value)
    if as_json:
        click.echo(json.dumps(value, indent=2))
    else:
        click.echo(yaml.safe_dump(value, sort_keys=False, allow_unicode=True), nl=False)
