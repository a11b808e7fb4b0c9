"""docs/reference/json-output.md, made of gate/commands/output.schema.json; `make docs` renews it."""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA = Path(__file__).parents[2] / "gate" / "commands" / "output.schema.json"
WIDTH = 120
_HEAD = """\
# JSON output

<!-- Made from gate/commands/output.schema.json by `make docs`; change it there. -->

{about}

The same as a [JSON Schema](https://json-schema.org/): `gate/commands/output.schema.json`, which an installation has in
its venv's `share/gitlab-runner-gate/`. `gate list --watch --json` prints one array a line. The exit codes:
[command-line.md](command-line.md#gate).

    gate list --json | jq -r '.[] | select(.state == "waiting") | .key'
    gate approve 1234 --json | jq -r '.outcome // .error.kind'
"""
_TITLES = {
    "list": "gate list",
    "show": "gate show",
    "answers": "gate approve, gate reject",
    "answer": "One answer",
    "failed": "An answer that failed",
    "failure": "An error",
    "error": "The error itself",
    "request": "A request",
    "unreadable": "A request that cannot be read",
    "vote": "A vote",
    "missing": "What is missing",
}
_KINDS = {"string": "text", "integer": "whole number", "boolean": "true or false", "array": "list", "object": "object"}


def schema() -> dict[str, Any]:
    """The schema, parsed."""
    loaded: dict[str, Any] = json.loads(SCHEMA.read_text(encoding="utf-8"))
    return loaded


def page() -> str:
    """The whole page."""
    whole = schema()
    parts = [_HEAD.replace("{about}", _filled(whole["description"]))]
    for name, title in _TITLES.items():
        part = whole["$defs"][name]
        rows = "".join(f"{row}\n" for row in _rows("", part, {} if name != "show" else whole["$defs"]["request"]))
        more = "All keys of [a request](#a-request), and:\n\n" if name == "show" else ""
        parts.append(f"## {title}\n\n{_filled(part['description'])}\n" + (f"\n{more}{rows}" if rows else ""))
    return "\n".join(parts)


def _rows(prefix: str, part: dict[str, Any], known: dict[str, Any]) -> Iterator[str]:
    for key, each in part.get("properties", {}).items():
        if key in known.get("properties", {}):
            continue
        yield _filled(f"- `{prefix}{key}` ({_kind(each)}): {each['description']}", indent="  ")
        for inner in each.get("anyOf", []):
            yield from _rows(f"{prefix}{key}.", inner, {})


def _kind(part: dict[str, Any]) -> str:
    if "$ref" in part:
        return _link(part["$ref"])
    if "anyOf" in part:
        return " or ".join(dict.fromkeys(_kind(each) for each in part["anyOf"]))
    choices = [part["const"]] if "const" in part else part.get("enum", [])
    if choices:
        return ", ".join("null" if each is None else f"`{each}`" for each in choices)
    kinds = [part["type"]] if isinstance(part["type"], str) else part["type"]
    return " or ".join(_plain(kind, part) for kind in kinds)


def _plain(kind: str, part: dict[str, Any]) -> str:
    if kind == "array":
        return f"list of {_kind(part['items'])}"
    return "time" if part.get("format") == "date-time" and kind == "string" else _KINDS.get(kind, kind)


def _link(target: str) -> str:
    title = _TITLES[target.rpartition("/")[2]]
    return f"[{title.lower()}](#{title.lower().replace(' ', '-')})"


def _filled(text: str, indent: str = "") -> str:
    return textwrap.fill(text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


if __name__ == "__main__":
    sys.stdout.write(page())
