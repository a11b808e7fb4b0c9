"""The fields of a job response that this gate knows, and those in one that it does not know. Pure.

The runner encodes its own structure again, so a field that is not in here comes from a runner that is newer than this
gate (gitlab-runner 19.3.0, common/spec/spec.go: `Job` and what it holds). Such a field could make the job run something
else: it counts for the digest like any other, and people are shown it as it came.
"""

from __future__ import annotations

import json

from gate.model.words import whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gate.shapes import Field, Json

# field -> (what it does, how people are shown it). ELSEWHERE: it has a place of its own on page and in `gate show`.
ELSEWHERE, AS_TEXT, NAMED = "elsewhere", "as text", "named only"
TOP: dict[str, tuple[str, str]] = {
    "id": ("the job's number", ELSEWHERE),
    "token": ("the job's token", NAMED),
    "allow_git_fetch": ("whether an older checkout may be fetched into", AS_TEXT),
    "job_info": ("name, stage, project and who triggered it", ELSEWHERE),
    "git_info": ("what is checked out", AS_TEXT),
    "runner_info": ("the job's timeout", AS_TEXT),
    "inputs": ("the job's inputs, which the runner has put into the scripts", AS_TEXT),
    "variables": ("the job's variables", ELSEWHERE),
    "steps": ("the scripts", ELSEWHERE),
    "image": ("the image that it asks for", ELSEWHERE),
    "services": ("the services that it asks for", ELSEWHERE),
    "artifacts": ("what is uploaded at the end", AS_TEXT),
    "cache": ("what is restored before the script, and kept after it", AS_TEXT),
    "credentials": ("logins for registries", NAMED),
    "dependencies": ("jobs whose artifacts are downloaded before the script", AS_TEXT),
    "features": ("what this GitLab can do", NAMED),
    "secrets": ("what is fetched from a secrets manager", AS_TEXT),
    "hooks": ("scripts before and after the checkout", ELSEWHERE),
    "run": ("steps, instead of scripts", ELSEWHERE),
    "policy_options": ("what a security policy says of it", AS_TEXT),
    "suspend_options": ("whether its environment is suspended or resumed", AS_TEXT),
}
_IMAGE = frozenset(
    {"name", "alias", "command", "entrypoint", "ports", "variables", "pull_policy", "executor_opts"}
)  # fmt: skip
# Objects whose fields are known one by one; of lists, each item.
PARTS: dict[str, frozenset[str]] = {
    "job_info": frozenset(
        {
            "name", "stage", "pipeline_id", "project_id", "project_name", "project_full_path", "namespace_id",
            "root_namespace_id", "organization_id", "instance_id", "instance_uuid", "user_id", "scoped_user_id",
            "time_in_queue_seconds", "project_jobs_running_on_instance_runners_count", "queue_size", "queue_depth",
        }
    ),
    "git_info": frozenset(
        {"repo_url", "repo_object_format", "ref", "sha", "before_sha", "ref_type", "refspecs", "depth", "protected"}
    ),
    "runner_info": frozenset({"uuid", "timeout"}),
    "variables": frozenset({"key", "value", "public", "file", "masked", "raw"}),
    "steps": frozenset({"name", "script", "timeout", "when", "allow_failure"}),
    "hooks": frozenset({"name", "script"}),
    "image": _IMAGE,
    "services": _IMAGE,
    "credentials": frozenset({"type", "url", "username", "password"}),
    "features": frozenset({"trace_sections", "token_mask_prefixes", "failure_reasons", "tracing"}),
    "policy_options": frozenset(
        {
            "execution_policy_job", "policy_name", "policy_variables_override_allowed",
            "policy_variables_override_exceptions",
        }
    ),
    "suspend_options": frozenset({"suspend_on_success", "suspend_on_failure", "environment_key"}),
}  # fmt: skip
_SECRET_PARTS = ("variables", "credentials", "features")  # of whose unknown fields the name alone is shown
_LEFT_OUT = frozenset({"token", "jwt", "auth", "password", "repo_url", "uuid"})  # in whatever object
NOT_SHOWN = "(not shown)"
TOO_DEEP = "(nested too deeply to be shown)"


def unknown(response: Json, masked: Callable[[str], str]) -> list[Field]:
    """What a response has in fields that are not known: `field` is where, `text` its content as JSON, masked."""
    found = [(name, value, False) for name, value in response.items() if name not in TOP]
    for part, known in PARTS.items():
        for place, each in _objects(part, response.get(part)):
            hidden = part in _SECRET_PARTS
            found += [(f"{place}.{name}", value, hidden) for name, value in each.items() if name not in known]
    with_content = [each for each in found if not is_empty(each[1])]
    return [
        {"field": whole(field), "text": NOT_SHOWN if hidden else as_text(value, masked)}
        for field, value, hidden in with_content
    ]


def rest(response: Json, masked: Callable[[str], str]) -> list[Field]:
    """What else the digest counts: `field`, `what` it does, and `text`, where that may be shown."""
    found: list[Field] = []
    for name, (what, how) in TOP.items():
        value = response.get(name)
        if how != ELSEWHERE and not is_empty(value):
            text = as_text(_without(value), masked) if how == AS_TEXT else NOT_SHOWN
            found.append({"field": name, "what": what, "text": text})
    return found


def is_empty(value: object) -> bool:
    """Whether there is nothing in a value: the runner writes what GitLab did not send as its type's zero value."""
    if isinstance(value, dict):
        return all(_is_zero(each) for each in value.values())
    if isinstance(value, list):
        return not value
    return _is_zero(value)


def as_text(value: object, masked: Callable[[str], str], indent: int | None = None) -> str:
    """A value as JSON, with what must stand nowhere masked."""
    try:
        return masked(whole(json.dumps(value, ensure_ascii=False, indent=indent)))
    except RecursionError:
        return TOO_DEEP


def _is_zero(value: object) -> bool:
    return value in (None, "", 0, False) or value in ([], {})


def _objects(part: str, value: object) -> Iterator[tuple[str, Json]]:
    if isinstance(value, dict):
        yield part, value
    for n, each in enumerate(value if isinstance(value, list) else []):
        if isinstance(each, dict):
            yield f"{part}[{n}]", each


def _without(value: object) -> object:
    """A value whose tokens and the like are left out by their names, whatever is in them."""
    try:
        return _kept(value)
    except RecursionError:
        return TOO_DEEP


def _kept(value: object) -> object:
    if isinstance(value, dict):
        return {
            name: NOT_SHOWN if name in _LEFT_OUT and not _is_zero(each) else _kept(each) for name, each in value.items()
        }
    return [_kept(each) for each in value] if isinstance(value, list) else value
