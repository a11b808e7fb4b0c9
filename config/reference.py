"""The reference page of gate.yaml, made from the schema: `python -m config.reference > docs/reference/gate-yaml.md`."""

from __future__ import annotations

import textwrap

from config.schema import as_yaml, resolved, schema

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.schema import Part

_TYPES = {"object": "keys", "array": "list", "string": "text", "integer": "whole number", "boolean": "true or false"}
_HEAD = """# gate.yaml

<!-- Made from config/schema.json by `python -m config.reference`; change it there. -->

{about}

An editor with a YAML language server completes and checks the file if its first line is
`# yaml-language-server: $schema=` and the path of `config/schema.json`.

`<name>` stands for a name of your choice, `[]` for each entry of a list. **Required** means: required where the part
that it belongs to is given.

## Keys

"""
_FOOT = """
## Values

Durations are one number and its unit: `30s`, `15m`, `4h`, `2d`. YAML reads some plain words as something else: `no` as
false, `1.10` as a number, `4:00` as 240. Where text is wanted, put these in quotes. Anchors, aliases, merge keys, tags
and doubled keys are errors.

The texts under `match` are patterns for the whole of what they look at: `*` is any characters but `/`, `**` any
characters, `?` one character but `/`. So `shop/*` is the projects of the group shop, and `shop/**` those of its
subgroups too. Where a list is given, one entry that matches is enough. A pattern that begins with `*` needs quotes.

## Other errors

All errors are reported at once, each as `file:line:column: what is wrong: what to do`.

- The file is owned by a user other than root or the user that the runner runs as, or others can write it or one of the
  directories above it. (A sticky directory of root's, such as /tmp, is fine.) It is a symbolic link, or over 1 MiB.
- A person called `signed`; a group called like a person, with unknown people or other groups in it.
- Two people with one Unix user, GitLab user name (upper and lower case are the same), GitLab id or SSH key.
- An SSH key of another type, with options before it, a certificate, one that is damaged or cut short, or ssh-rsa under
  2048 bits.
- Two rules of one name. A rule that no job ever gets to, because an earlier one is `match: {}`, or matches by some or
  all of the same criteria and nothing else.
- `of` names no known person, or `count` is more than the different people that it names. The `approvals` of a rule
  cannot all be met, because one person fills only one place of one entry. `rejections` is more than the people of the
  rule.
- `approvers_group` is no group on this host.
- `run_as` is missing in `backend`; or, there or in a rule, is the user that the runner runs as, or a person's, unless
  `allow_same_user: true` is there.
- `run_as` is no user on this host, is in `approvers_group`, is root where the runner is not, or is another user than
  the runner's where the runner is not root.
- Two outcomes with one exit code. `keep.log` is less than `keep.requests`.

A warning and no error: a person whose Unix user is not known on this host, or who has no numeric GitLab id while a rule
asks for them without `self_approval: true`; a rule that matches by `environment` alone, which is the job's own claim.
"""

WIDTH = 120
_WRAPPER = textwrap.TextWrapper(WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def render() -> str:
    """Return the whole page as Markdown."""
    whole = schema()
    rows = "".join(_row(*entry) for entry in _entries("", whole))
    about = textwrap.fill(f"{whole['description']} A complete file with comments: `config/example.yaml`.", WIDTH)
    return _HEAD.replace("{about}", about) + rows + _FOOT


def _entries(prefix: str, part: Part) -> Iterator[tuple[str, Part, bool]]:
    """Yield dotted name, schema, and whether it is required, for every key under `part`, in the schema's order."""
    for key, child in part.get("properties", {}).items():
        yield prefix + key, resolved(child), key in part.get("required", [])
        yield from _entries(f"{prefix}{key}.", resolved(child))
    others = part.get("additionalProperties")
    if others:
        name = f"{prefix}<name>"
        yield name, resolved(others), False
        yield from _entries(f"{name}.", resolved(others))
    if "properties" in part.get("items", {}):
        yield from _entries(f"{prefix.removesuffix('.')}[].", part["items"])


def _row(name: str, part: Part, required: bool) -> str:
    example = f"`{name.rpartition('.')[2]}: {as_yaml(part['examples'][0])}`"
    default = "**Required.** " if required else _default(part)
    text = f"- `{name}` ({_value(part)}): {default}{part['description']} Example: {example}"
    return _WRAPPER.fill(text) + "\n"


def _default(part: Part) -> str:
    if part.get("default", {}) == {}:
        return ""
    return f"Default `{as_yaml(part['default'])}`. "


def _value(part: Part) -> str:
    if "const" in part or "enum" in part:
        return " or ".join(f"`{choice}`" for choice in part.get("enum", [part.get("const")]))
    if part["type"] == "integer":
        return f"{_TYPES['integer']}, {part['minimum']} to {part['maximum']}"
    return " or ".join(_kind(kind, part) for kind in _kinds(part))


def _kind(kind: str, part: Part) -> str:
    if kind != "array":
        return _TYPES[kind]
    return "list of " + " or ".join(_TYPES[name] for name in _kinds(resolved(part["items"])))


def _kinds(part: Part) -> list[str]:
    return [part["type"]] if isinstance(part["type"], str) else list(part["type"])


if __name__ == "__main__":
    print(render(), end="")
