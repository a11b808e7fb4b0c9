"""What a job would run, for people to read before they answer: an allow-list of the job response. Pure.

Scripts, hooks, image and services stand in it as GitLab sent them, and nothing else of the response: no variable's value,
no token, no credential. The runner puts variables into the names of image and services before it hands the response on;
where one of them is masked in GitLab, or the job's token, `[MASKED]` stands in its place, as in a job log.
"""

from __future__ import annotations

import json

from gate.words import whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MASK = "[MASKED]"
MASKED_MIN_CHARACTERS = 8  # GitLab masks no shorter value; one would stand in a script by chance
MAX_BYTES = 3 * 1024 * 1024  # as JSON, which a state file holds
_STEP = ("name", "script", "timeout", "when", "allow_failure")
_HOOK = ("name", "script")
_IMAGE = ("name", "entrypoint")
_SERVICE = ("name", "alias", "entrypoint", "command")


def shown_content(response: dict[str, Any]) -> dict[str, Any]:
    """`steps`, `hooks`, `image`, `services` and `run` of a job response, masked.

    `too_large` is the number of bytes where there are more than MAX_BYTES, and the rest is empty then; else None.
    """
    hidden = _hidden(response)
    found: dict[str, Any] = {
        "steps": [_part(step, _STEP, hidden) for step in _objects(response, "steps")],
        "hooks": [_part(hook, _HOOK, hidden) for hook in _objects(response, "hooks")],
        "image": _part(response["image"], _IMAGE, hidden) if isinstance(response.get("image"), dict) else {},
        "services": [_part(service, _SERVICE, hidden) for service in _objects(response, "services")],
        "run": _shown(response.get("run") or "", hidden),
    }
    size = len(json.dumps(found, indent=1))
    if size <= MAX_BYTES:
        return {"too_large": None, **found}
    return {"too_large": size, "steps": [], "hooks": [], "image": {}, "services": [], "run": ""}


def _hidden(response: dict[str, Any]) -> list[str]:
    """What stands nowhere, longest first, so that no rest of one value is left by another."""
    masked = [v.get("value") for v in _objects(response, "variables") if v.get("masked") is True]
    credentials = [c.get("password") for c in _objects(response, "credentials")]
    found = {v for v in [response.get("token"), *masked, *credentials] if isinstance(v, str)}
    return sorted((v for v in found if len(v) >= MASKED_MIN_CHARACTERS), key=len, reverse=True)


def _objects(response: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = response.get(name)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _part(part: dict[str, Any], names: tuple[str, ...], hidden: list[str]) -> dict[str, Any]:
    return {name: _shown(part[name], hidden) for name in names if part.get(name) not in (None, "", [])}


def _shown(value: Any, hidden: list[str]) -> Any:
    # Not deeper: GitLab has no list in a list, and one without end would break what reads it.
    return [_one(each, hidden) for each in value] if isinstance(value, list) else _one(value, hidden)


def _one(value: Any, hidden: list[str]) -> bool | int | str:
    if isinstance(value, bool | int):
        return value
    text = whole(value) if isinstance(value, str) else "(neither text nor a number)"
    for secret in hidden:
        text = text.replace(secret, MASK)
    return text
