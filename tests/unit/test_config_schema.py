"""schema.json itself: every key is described, and every example and default in it is right."""

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from config.schema import resolved, schema


def parts(name: str, part: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield name, part
    children = dict(part.get("properties", {}))
    children |= {key: part[key] for key in ("additionalProperties", "items") if part.get(key)}
    for key, child in children.items():
        yield from parts(f"{name}.{key}", resolved(child))


PARTS = dict(parts("gate", schema()))
KEYS = [name for name, part in PARTS.items() if not name.endswith("items") and name != "gate"]


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("name", KEYS)
def test_every_key_is_described_and_its_examples_fit(name: str) -> None:
    part = PARTS[name]
    assert part["title"]
    assert part["description"].endswith(".")
    checker = jsonschema.Draft202012Validator({**part, "$defs": schema()["$defs"]})
    for value in [*part["examples"], *([part["default"]] if "default" in part else [])]:
        checker.validate(value)


@pytest.mark.parametrize("name", [name for name, part in PARTS.items() if "pattern" in part])
def test_every_pattern_says_what_to_write(name: str) -> None:
    assert PARTS[name]["patternErrorMessage"].startswith("write ")


@pytest.mark.parametrize("name", [name for name, part in PARTS.items() if part.get("type") == "object"])
def test_no_mapping_is_open(name: str) -> None:
    assert PARTS[name]["additionalProperties"] is not True
