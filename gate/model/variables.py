"""Which of a job's variables the server did not set, and what of them people are shown. Pure.

What is shown of a variable is its name, always, and its value where GitLab marks it public and neither masked nor a
file. A name alone can change what runs (gate/model/code_variables.py), and a value that is not shown can be another one
than last time, so each comes with a mark: a keyed hash, by which values can be compared and not guessed.
"""

from __future__ import annotations

import json

from gate.hashes import keyed_sha256
from gate.model.predefined import USER, always_set, sets_sometimes
from gate.model.words import whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from gate.shapes import Json, Variable

SERVERS = "server's"  # the first of a name that GitLab sets for every job
SOMETIMES = "perhaps the server's"  # the first of a name that GitLab sets for some jobs: an author can, for the others
OVERRIDES = "overrides the server's"
SET = "set"
_MARK_HEX = 16


def kinds(response: Json) -> list[tuple[Json, str]]:
    """Each variable of a job response, in its order, with what it is: SERVERS, SOMETIMES, OVERRIDES or SET."""
    variables, always = _objects(response), always_set(response)
    several = {name for name in USER if sum(each.get("key") == name for each in variables) > 1}
    seen: set[str] = set()
    found = []
    for each in variables:
        name = str(each.get("key"))
        found.append((each, _kind(name, name in always - several, is_first=name not in seen)))
        seen.add(name)
    return found


def _kind(name: str, is_always: bool, *, is_first: bool) -> str:
    if is_first and is_always:
        return SERVERS
    if not (is_always or name in USER or sets_sometimes(name)):
        return SET
    return SOMETIMES if is_first and name not in USER else OVERRIDES


def names_set(response: Json) -> list[str]:
    """The names of all variables that are not surely the server's, each once, in their order.

    With those that the runner fills in from a secrets manager, or with the path of a file that it fills: whose manager
    that is, the job says too (gitlab-runner, common/build.go: resolveSecrets).
    """
    secrets = response.get("secrets")
    filled_in = [whole(name) for name in secrets] if isinstance(secrets, dict) else []
    return list(dict.fromkeys([*(_name(each) for each, kind in kinds(response) if kind != SERVERS), *filled_in]))


def shown_variables(response: Json, stable: list[object], masked: Callable[[str], str], key: bytes) -> list[Variable]:
    """The variables that are not surely the server's, as people are shown them.

    `stable` are the same variables as they count for the digest, in the same order, so that one that differs in what
    GitLab makes for each job is not taken for a changed one. `masked` takes what must stand nowhere out of a text.
    """
    pairs = zip(kinds(response), stable, strict=True)
    found = [_shown(each, kind, _mark(counted, key), masked) for (each, kind), counted in pairs if kind != SERVERS]
    last = {each["name"]: n for n, each in enumerate(found)}
    return [each | {"counts": last[each["name"]] == n} for n, each in enumerate(found)]


def servers_names(response: Json) -> list[str]:
    """The names of the variables that are the server's own, in their order."""
    return [_name(each) for each, kind in kinds(response) if kind == SERVERS]


def _shown(each: Json, kind: str, mark: str, masked: Callable[[str], str]) -> Variable:
    hidden = why_hidden(each)
    value = None if hidden else masked(whole(str(each.get("value", ""))))
    return {"name": _name(each), "kind": kind, "value": value, "hidden": hidden, "mark": mark}


def why_hidden(each: Json) -> str:
    """Why a variable's value is not shown, or "". What is not marked at all is not shown."""
    if each.get("masked") is not False:
        return "masked in GitLab"
    if each.get("file") is not False:
        return "a file"
    if each.get("public") is not True:
        return "not marked public by GitLab"
    return "" if isinstance(each.get("value"), str) else "no text"


def _name(each: Json) -> str:
    return whole(str(each.get("key")))


def _mark(counted: object, key: bytes) -> str:
    text = json.dumps(counted, sort_keys=True, separators=(",", ":")).encode()
    return keyed_sha256(key, b"variable\n" + text)[:_MARK_HEX]


def _objects(response: Json) -> list[Json]:
    found = response.get("variables")
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
