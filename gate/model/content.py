"""What a job would run, for people to read first: all that its digest counts, or the name of what is not shown.

Scripts, hooks, steps, image and services stand in it as GitLab sent them; of variables, what gate/model/variables.py
says; of everything else, what gate/model/fields.py says. What is claimed of the commit (gate/model/claims.py) stands
beside it. No token and no credential is in it. The runner puts variables into the names of image and services before it
hands the response on; where one of them is masked in GitLab, or the job's token, `[MASKED]` stands in its place, as in
a job log. Pure.
"""

from __future__ import annotations

import json

from gate.model import fields
from gate.model.claims import claims
from gate.model.digest import stable_variables
from gate.model.variables import servers_names, shown_variables
from gate.model.words import whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from gate.shapes import Beside, Content, Json, Parts

MASK = "[MASKED]"
MASKED_MIN_CHARACTERS = 8  # GitLab masks no shorter value; one would stand in a script by chance
MAX_BYTES = 3 * 1024 * 1024  # as JSON, which a state file holds
_STEP = ("name", "script", "timeout", "when", "allow_failure")
_HOOK = ("name", "script")
_IMAGE = ("name", "entrypoint")
_SERVICE = ("name", "alias", "entrypoint", "command")


def shown_content(response: Json, key: bytes) -> Content:
    """What people are shown of a job response, masked; `key` is for the marks of variables (gate/model/variables.py).

    `too_large` is the number of bytes where there are more than MAX_BYTES, and of the rest only names are left then;
    otherwise None.
    """
    hidden, image = _hidden(response), response.get("image")

    def masked(text: str) -> str:
        return _masked(text, hidden)

    found: Parts = {
        "steps": [_part(step, _STEP, hidden) for step in _objects(response, "steps")],
        "hooks": [_part(hook, _HOOK, hidden) for hook in _objects(response, "hooks")],
        "image": _part(image, _IMAGE, hidden) if isinstance(image, dict) else {},
        "services": [_part(service, _SERVICE, hidden) for service in _objects(response, "services")],
        "run": _run(response.get("run"), hidden),
        "variables": shown_variables(response, stable_variables(response), masked, key),
        "servers": servers_names(response),
        "unknown": fields.unknown(response, masked),
        "rest": fields.rest(response, masked),
    }
    claimed, size = claims(response, masked), len(json.dumps(found, indent=1))
    if size <= MAX_BYTES:
        return {"too_large": None, **found, "claims": claimed}
    return {"too_large": size, **_names_only(found), "claims": claimed}


def image_and_services(response: Json) -> tuple[str | None, list[str]]:
    """The names of the image and of the services that a job asks for, masked."""
    hidden, image = _hidden(response), response.get("image")
    found = [_asked(each, hidden) for each in _objects(response, "services")]
    return _asked(image, hidden) or None if isinstance(image, dict) else None, [name for name in found if name]


def _asked(image: Json, hidden: list[str]) -> str:
    name = image.get("name")
    return _masked(whole(name), hidden) if isinstance(name, str) else ""


def _names_only(found: Parts) -> Parts:
    """What is left of a content that is too large: the names of variables and fields, where these are not too many."""
    why = "too much to be kept"
    bare: Beside = {
        "variables": [each | {"value": None, "hidden": each["hidden"] or why} for each in found["variables"]],
        "servers": found["servers"],
        "unknown": [each | {"text": f"({why})"} for each in found["unknown"]],
        "rest": [each | {"text": f"({why})"} for each in found["rest"]],
    }
    if len(json.dumps(bare, indent=1)) > MAX_BYTES:
        bare = {"variables": [], "servers": [], "unknown": [], "rest": []}
    return {"steps": [], "hooks": [], "image": {}, "services": [], "run": "", **bare}


def _hidden(response: Json) -> list[str]:
    """What stands nowhere, longest first, so that no rest of one value is left by another."""
    masked = [v.get("value") for v in _objects(response, "variables") if v.get("masked") is True]
    credentials = [c.get("password") for c in _objects(response, "credentials")]
    texts = [v for v in [response.get("token"), *masked, *credentials] if isinstance(v, str)]
    found = {spelled for v in texts if len(v) >= MASKED_MIN_CHARACTERS for spelled in _spelled(v)}
    return sorted(found, key=len, reverse=True)


def _spelled(secret: str) -> list[str]:
    """A secret as it is, and as it stands in JSON."""
    return [secret, json.dumps(secret, ensure_ascii=False)[1:-1], json.dumps(secret)[1:-1]]


def _objects(response: Json, name: str) -> list[Json]:
    found = response.get(name)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _part(part: Json, names: tuple[str, ...], hidden: list[str]) -> Any:  # a Step, Hook or Image, by its names
    return {name: _shown(part[name], hidden) for name in names if part.get(name) not in (None, "", [])}


def _shown(value: object, hidden: list[str]) -> object:
    # Not deeper: GitLab has no list in a list; whatever is in one is shown as JSON.
    return [_one(each, hidden) for each in value] if isinstance(value, list) else _one(value, hidden)


def _one(value: object, hidden: list[str]) -> bool | int | str:
    if isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return _masked(whole(value), hidden)
    return fields.as_text(value, lambda text: _masked(text, hidden))


def _run(run: object, hidden: list[str]) -> str:
    """The steps of `run`, whole: text from older runners, from 18.9 on a list, and whatever comes next."""
    if isinstance(run, str):
        return _masked(whole(run), hidden)
    if fields.is_empty(run):
        return ""
    return fields.as_text(run, lambda text: _masked(text, hidden), indent=2)


def _masked(text: str, hidden: list[str]) -> str:
    for secret in hidden:
        text = text.replace(secret, MASK)
    return text
