"""The form of gate.yaml: schema.json, its faults in the operator's words, and its defaults.

jsonschema finds the faults, and says them for programmers ("'x' is not of type 'integer'"); here each is said again for
the operator, at its place in the file. What to write instead stands in the schema beside each pattern, under
`patternErrorMessage`, where editors look for it too.
"""

from __future__ import annotations

import json
import os
import re
from functools import cache

from config.document import meaning
from config.faults import quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    import jsonschema

    from config.document import Document, Path
    from config.faults import Fault

    Part = dict[str, Any]  # of schema.json
    Found = tuple[Fault, Path | None]  # the path of the value that is not usable, if any

SCHEMA_FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "schema.json")

_TYPES = {
    "object": "keys with values",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "boolean": "true or false",
}


@cache
def schema() -> Part:
    """Return schema.json, parsed."""
    with open(SCHEMA_FILE, encoding="utf-8") as file:
        loaded: Part = json.load(file)
    return loaded


def resolved(part: Part) -> Part:
    """Return a part of the schema with its `$ref` followed; keys beside the `$ref` win."""
    if "$ref" not in part:
        return part
    return {**schema()["$defs"][part["$ref"].rpartition("/")[2]], **part}


def check(document: Document) -> tuple[list[Fault], Any]:
    """Return the faults of form, and the document's value without the values that have one (None in lists)."""
    found = [each for error in _validator().iter_errors(document.value) for each in _say(document, error)]
    return [fault for fault, _ in found], _without(document.value, {path for _, path in found if path is not None}, ())


def with_defaults(value: Any, part: Part | None = None) -> Any:
    """Return `value`, which fits the schema, with what it leaves out filled in where the schema has a default."""
    part = resolved(schema() if part is None else part)
    if isinstance(value, list):
        return [with_defaults(item, part.get("items", {})) for item in value]
    if not isinstance(value, dict):
        return value
    known = part.get("properties", {})
    filled = {key: resolved(rest)["default"] for key, rest in known.items() if "default" in resolved(rest)} | value
    others = part.get("additionalProperties") or {}
    in_order = [*[key for key in known if key in filled], *[key for key in filled if key not in known]]
    return {key: with_defaults(filled[key], known.get(key, others)) for key in in_order}


def as_yaml(value: Any) -> str:
    """Return `value` on one line, as it can be written in gate.yaml."""
    import yaml

    written: str = yaml.safe_dump([value], default_flow_style=True, sort_keys=False, width=1_000_000)
    return written.strip()[1:-1]


@cache
def _validator() -> Any:
    import jsonschema
    from jsonschema.validators import extend

    whole = extend(jsonschema.Draft202012Validator, {"pattern": _whole_pattern})  # type: ignore[no-untyped-call]
    return whole(schema())


def _whole_pattern(_validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[jsonschema.ValidationError]:
    # Python's $ matches before a trailing newline too, which the schema's authors and editors do not expect.
    import jsonschema

    if isinstance(instance, str) and not re.fullmatch(pattern, instance):
        yield jsonschema.ValidationError("does not fit the pattern")


def _without(value: Any, unusable: set[Path], path: Path) -> Any:
    if path in unusable:
        return None
    if isinstance(value, list):
        return [_without(item, unusable, (*path, i)) for i, item in enumerate(value)]
    if isinstance(value, dict):
        rest = {key: (*path, key) for key in value if (*path, key) not in unusable}
        return {key: _without(value[key], unusable, place) for key, place in rest.items()}
    return value


def _say(document: Document, error: Any) -> Iterator[Found]:
    path: Path = tuple(error.absolute_path)
    if "propertyNames" in error.absolute_schema_path:
        wanted = f"the name {quoted(error.instance)} does not fit: {error.schema['patternErrorMessage']}"
        yield document.key_fault((*path, error.instance), wanted), None
    elif error.validator == "additionalProperties":
        yield from _unknown_keys(document, path, error)
    elif error.validator == "required":
        yield from _missing_keys(document, path, error)
    elif error.validator in ("minItems", "minProperties"):
        yield document.fault(path, f"{_name(path)} is empty: write {_example(path, error.schema)}"), None
    else:
        yield document.fault(path, _VALUE_MESSAGES[error.validator](document, path, error)), path


def _unknown_keys(document: Document, path: Path, error: Any) -> Iterator[Found]:
    known = list(error.schema["properties"])
    for key in error.instance:
        if key not in known:
            yield document.key_fault((*path, key), _unknown_key(key, known)), (*path, key)


def _unknown_key(key: str, known: list[str]) -> str:
    from difflib import get_close_matches

    nearest = get_close_matches(key.lower(), known, 1)
    if nearest:
        return f"unknown key {quoted(key)}: did you mean {nearest[0]!r}?"
    rest = f"the keys possible here are {', '.join(known)}" if known else "no key is possible here, write {}"
    return f"unknown key {quoted(key)}: remove it; {rest}"


def _missing_keys(document: Document, path: Path, error: Any) -> Iterator[Found]:
    """Yield the missing key that `error` is about, unless an unknown one beside it is clearly that, misspelt."""
    from difflib import get_close_matches

    known = error.schema["properties"]
    key = next(key for key in error.validator_value if error.message.startswith(repr(key)))
    unknown = [name for name in error.instance if name not in known]
    if any(get_close_matches(name.lower(), list(known), 1) == [key] for name in unknown):
        return
    yield document.fault(path, f"{key!r} is missing: add {_example((key,), resolved(known[key]))}"), None


def _type(document: Document, path: Path, error: Any) -> str:
    wanted = [error.validator_value] if isinstance(error.validator_value, str) else error.validator_value
    words = " or ".join(_TYPES[name] for name in wanted)
    value, text = error.instance, document.texts.get(path)
    if value is None:
        return f"{_name(path)} has no value: write {_example(path, error.schema)}, or remove the key"
    if text is None or isinstance(value, str):
        got = (
            f"the text {quoted(text)}" if text is not None else _TYPES["array" if isinstance(value, list) else "object"]
        )
        return f"{_name(path)} must be {words}, and is {got}: write {_example(path, error.schema)}"
    if "string" not in wanted:
        return f"{_name(path)} must be {words}, and is {quoted(text)}: write {_example(path, error.schema)}"
    if re.fullmatch(error.schema.get("pattern", ".*"), text):
        return f"{quoted(text)} means {meaning(value)} to YAML, and {words} is wanted here: put it in quotes"
    return f"{quoted(text)} does not fit: {error.schema['patternErrorMessage']}"


def _pattern(_document: Document, _path: Path, error: Any) -> str:
    return f"{quoted(error.instance)} does not fit: {error.schema['patternErrorMessage']}"


def _choice(document: Document, path: Path, error: Any) -> str:
    choices = error.schema.get("enum", [error.schema.get("const")])
    written = document.texts.get(path)
    got = f"cannot be {quoted(written)}" if written else "has no plain value"
    bare = " without quotes" if written in [str(choice) for choice in choices] else ""
    return f"{_name(path)} {got}: write {' or '.join(map(str, choices))}{bare}"


def _range(_document: Document, path: Path, error: Any) -> str:
    low, high = error.schema["minimum"], error.schema["maximum"]
    return f"{_name(path)} cannot be {error.instance}: write a whole number from {low} to {high}"


def _name(path: Path) -> str:
    if not path:
        return "the file"
    return repr(path[-1]) if isinstance(path[-1], str) else "an entry of " + _name(path[:-1])


def _example(path: Path, part: Part) -> str:
    """Return what the operator could write, from the schema's examples where it has one."""
    if "examples" not in part:
        wanted = part["type"]
        return " or ".join(_TYPES[name] for name in ([wanted] if isinstance(wanted, str) else wanted))
    key = f"{path[-1]}: " if path and isinstance(path[-1], str) else ""
    return f"for instance {key}{as_yaml(part['examples'][0])}"


_VALUE_MESSAGES: dict[str, Callable[[Document, Path, Any], str]] = {
    "type": _type,
    "pattern": _pattern,
    "enum": _choice,
    "const": _choice,
    "minimum": _range,
    "maximum": _range,
}
