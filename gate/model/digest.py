"""The content digest of a job: a retry of the same work has the same one, any other work has another. Pure.

Everything in the job response counts but what GitLab and the runner make again each time the same job is made:

- `id`, `token`, `credentials`, the tokens of `dependencies`, queue figures, `runner_info.uuid`, the ids of
  `features.tracing`, and which one `suspend_options.environment_key` is.
- The job's token wherever it stands in a text, as in `git_info.repo_url` and `CI_REGISTRY_PASSWORD`.
- Of the server's own variables, which are the first of their name, this job's number, address, time, attempt and trace:
  where one has the form that GitLab gives it (gate/model/volatile.py). An author's own variable of such a name stands
  after it, and counts like any other; so does one whose GitLab is too old to set it.
- The job's number in front of a `role_session_name` (runner 18.2 and later fill it in for AWS).
- In an ID token that names this very job: its times, its own id, its job and runner, and its signature. Those are in
  masked variables, which cannot be written in YAML; any other text of that form counts as it stands.

The form has a version, which counts, too: digests of requests that an older version of the gate has opened equal none.
"""

from __future__ import annotations

import json
import re

from gate.hashes import keyed_sha256
from gate.model import volatile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gate.shapes import Json

VERSION = 2
_VOLATILE = {
    "": ("id", "token", "credentials"),
    "job_info": (
        "time_in_queue_seconds",
        "project_jobs_running_on_instance_runners_count",
        "queue_size",
        "queue_depth",
    ),
    "runner_info": ("uuid",),
}
_JWT_VOLATILE = ("iat", "nbf", "exp", "jti", "job_id", "runner_id", "runner_environment")
_JWT = re.compile(r"eyJ[A-Za-z0-9_-]+\.eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_TOKEN_MIN_CHARACTERS = 8  # anything shorter could stand in a text by chance


def content_digest(response: Json, key: bytes) -> str:
    """HMAC-SHA256 (hex) over the canonical content of a job response.

    Keyed, so that no value can be guessed from it.
    """
    counted = {"version": VERSION, "response": _content(response)}
    canonical = json.dumps(counted, sort_keys=True, separators=(",", ":")).encode()
    return keyed_sha256(key, canonical)


def stable_variables(response: Json) -> list[object]:
    """The variables of a job response (its objects), in their order, as they count for the digest."""
    found = response.get("variables")
    variables = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
    stand_ins = _stand_ins(response)
    return [_stable(each, stand_ins) for each in volatile.stable_list(variables, response)]


def _content(response: Json) -> object:
    content = {name: value for name, value in response.items() if name not in _VOLATILE[""]}
    for part in ("job_info", "runner_info"):
        held = content.get(part)
        if isinstance(held, dict):
            content[part] = {name: value for name, value in held.items() if name not in _VOLATILE[part]}
    dependencies, variables = content.get("dependencies"), content.get("variables")
    if isinstance(dependencies, list):
        content["dependencies"] = [_without_token(dependency) for dependency in dependencies]
    if isinstance(variables, list):
        content["variables"] = volatile.stable_list(variables, response)
    for name, stable in _PARTS.items():
        held = content.get(name)
        if isinstance(held, dict):
            content[name] = stable(held, response)
    return _stable(content, _stand_ins(response))


def _without_token(dependency: object) -> object:
    if not isinstance(dependency, dict):
        return dependency
    return {name: value for name, value in dependency.items() if name != "token"}


_PARTS = {"features": volatile.features, "suspend_options": volatile.suspend_options, "secrets": volatile.secrets}


def _stand_ins(response: Json) -> dict[str, str]:
    """What stands in for each text that is new with each job, wherever it occurs (`secrets` hold ID tokens, too)."""
    token, variables = response.get("token"), response.get("variables")
    found = {}
    if isinstance(token, str) and len(token) >= _TOKEN_MIN_CHARACTERS:
        found[token] = "\0job token\0"
    for variable in variables if isinstance(variables, list) else []:
        if not isinstance(variable, dict) or variable.get("masked") is not True or variable.get("public") is not False:
            continue
        value = variable.get("value")
        if isinstance(value, str) and _JWT.fullmatch(value):
            found[value] = _stable_jwt(value, response.get("id"))
    return found


def _stable(value: object, stand_ins: dict[str, str]) -> object:
    if isinstance(value, dict):
        return {name: _stable(inner, stand_ins) for name, inner in value.items()}
    if isinstance(value, list):
        return [_stable(inner, stand_ins) for inner in value]
    if isinstance(value, str):
        for text, stand_in in stand_ins.items():
            value = value.replace(text, stand_in)
    return value


def _stable_jwt(token: str, job_id: object) -> str:
    """An ID token without what changes; any other text of that form stays as it is."""
    import base64

    header, claims, _signature = token.split(".")
    try:
        named = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    except (ValueError, RecursionError):
        return token
    if not isinstance(named, dict) or named.get("job_id") != str(job_id):
        return token
    kept = {name: value for name, value in named.items() if name not in _JWT_VOLATILE}
    return f"\0id token\0{header}.{json.dumps(kept, sort_keys=True)}"
