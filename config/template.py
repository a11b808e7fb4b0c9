"""A gate.yaml for people to go on with: values, and beside them what the schema says of each key, set or not."""

from __future__ import annotations

import textwrap

from config.schema import as_yaml, resolved, schema

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from config.document import Yaml
    from config.schema import Part

_WIDTH = 120
_HEAD = """\
# gate.yaml: who may approve which jobs, and how approved jobs run. Only its operator changes it.
# After a change: `gate check`. Which rule a job would get: `gate rules test`.
# The schema, for editors: `gate config schema`.
# A line such as `#key: value` is a key that is not set, with an example.
"""


def written(value: Yaml, notes: Mapping[str, str]) -> str:
    """Return `value` as a commented gate.yaml; `notes` are what is to be said of rules, by their names.

    The first rule shows what else a rule can have. Whatever YAML could take for something else stands in quotes.
    """
    lines = [_HEAD]
    for key, part in schema()["properties"].items():
        lines += _comment(resolved(part)["description"], "")
        lines += [*(_section(key, value[key], notes) if key in value else [f"#{_line(key, _example(part))}"]), ""]
    return "\n".join(lines)


def _section(key: str, value: Any, notes: Mapping[str, str]) -> Iterator[str]:
    if key in ("people", "groups"):
        yield f"{key}:"
        yield from (f"  {_line(name, each)}" for name, each in value.items())
    elif key == "rules":
        yield f"{key}:"
        for number, rule in enumerate(value):
            yield from [""] if number else []
            yield from _rule(rule, notes[rule["name"]], is_first=number == 0)
    else:
        yield _line(key, value)


def _rule(rule: Yaml, note: str, *, is_first: bool) -> Iterator[str]:
    yield from _comment(note, "  ")
    start = "  - "
    for key, part in schema()["properties"]["rules"]["items"]["properties"].items():
        if is_first and key != "name":
            yield from _comment(resolved(part)["description"], "    ")
        if key in rule:
            yield start + _line(key, rule[key])
            start = "    "
        elif is_first:
            yield f"    #{_line(key, _example(part))}"


def _example(part: Part) -> Any:
    return resolved(part)["examples"][0]


def _line(key: str, value: Any) -> str:
    return f"{as_yaml(key)}: {as_yaml(value)}"


def _comment(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")
