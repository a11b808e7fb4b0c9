"""Each person whom a rule asks: that they have a way to answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from executor.checks.editor import in_editor
from executor.checks.finding import Finding, ok, warn
from executor.checks.ways import ways_in, why_none
from gate.model.rules import people_of
from gate.model.words import listed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from executor.checks.context import Context


def find(context: Context) -> Iterator[Finding]:
    """See the module. Where a rule cannot be met at all without them, the check of the rules fails."""
    asked: dict[str, list[str]] = {}
    for rule in context.policy["rules"]:
        for person in people_of(rule):
            asked.setdefault(person, []).append(repr(rule["name"]))
    mute = [person for person in asked if not ways_in(person, context)]
    for person in mute:
        rules = (
            f"rule {asked[person][0]} asks" if len(asked[person]) == 1 else f"rules {listed(asked[person], 'and')} ask"
        )
        yield warn(
            f"{rules} {person}, who cannot answer: {why_none(person, context)}", in_editor(context.gate_yaml.path)
        )
    if not mute:
        yield ok(f"all {len(asked)} people whom rules ask have a way to answer")
