"""What in a job response is new with each job, of GitLab's or the runner's making, recognised by its form. Pure.

Each function returns what is to count for the digest instead (gate/model/digest.py). Where a value has not the form
that GitLab or the runner gives it, it counts as it stands. Sources: GitLab, app/models/ci/build.rb and
doc/ci/variables/predefined_variables.md (19.3); gitlab-runner 19.3.0, common/spec/spec.go.
"""

from __future__ import annotations

import re

from gate.model.predefined import always_set, server_version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gate.shapes import Json

_TRACING = ("trace_id", "span_parent_id")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)")
_ATTEMPT = re.compile(r"[0-9]{1,6}")
_TRACESTATE = re.compile(r"gitlab=pipeline:[0-9]+;job:[0-9]+")
_TRACEPARENT = re.compile(r"(00-[0-9a-f]{32}-)[0-9a-f]{16}(-[0-9a-f]{2})")
_TRACE_SINCE = (18, 9)  # GitLab's documentation has it since then; when it came is not written
_SESSION_MAX_CHARACTERS = 64  # of AWS; the runner cuts what it fills in (AWSServer.expandVariables)


def features(found: Json, _response: Json) -> Json:
    """Without the ids of the trace that this job is a part of; where traces are sent to counts."""
    tracing = found.get("tracing")
    if not isinstance(tracing, dict):
        return found
    return found | {"tracing": {name: value for name, value in tracing.items() if name not in _TRACING}}


def suspend_options(options: Json, _response: Json) -> Json:
    """That an environment is resumed counts; the key, which is new with each job, does not."""
    key = options.get("environment_key")
    return options | {"environment_key": "\0key\0"} if isinstance(key, str) and key else options


def secrets(found: Json, response: Json) -> Json:
    """With the names of AWS sessions without this job's number."""
    return {name: _secret(secret, response) for name, secret in found.items()}


def _secret(secret: object, response: Json) -> object:
    if not isinstance(secret, dict):
        return secret
    aws = secret.get("aws_secrets_manager")
    if not isinstance(aws, dict):
        return secret
    aws = _session(aws, response)
    server = aws.get("server")
    if isinstance(server, dict):
        aws = aws | {"server": _session(server, response)}
    return secret | {"aws_secrets_manager": aws}


def _session(holder: Json, response: Json) -> Json:
    """The name of an AWS session, without this job's number where it begins with it, as the runner's own one does."""
    name, number = holder.get("role_session_name"), f"{response.get('id')}-"
    if not isinstance(name, str) or not name.startswith(number):
        return holder
    rest = name.removeprefix(number)
    info = response.get("job_info")
    own = f"{info.get('project_id') if isinstance(info, dict) else None}-{_first(response, 'CI_SERVER_HOST')}"
    # Cut to AWS's limit it is shorter or longer with another number, so the whole stands in for it.
    is_cut = len(name) == _SESSION_MAX_CHARACTERS and own.startswith(rest)
    return holder | {"role_session_name": f"\0job\0{own if is_cut else rest}"}


def stable_list(variables: Sequence[object], response: Json) -> list[object]:
    """A job's variables, in their order, without what is new with each job in the first of each name."""
    seen: set[str] = set()
    found = []
    for each in variables:
        name = each.get("key") if isinstance(each, dict) else None
        is_first = isinstance(name, str) and name not in seen
        if isinstance(name, str):
            seen.add(name)
        found.append(_variable(each, response) if is_first and isinstance(each, dict) else each)
    return found


def _variable(variable: Json, response: Json) -> Json:
    """The first variable of its name, without what is new with each job, where it has GitLab's form."""
    form, value = _FORMS.get(str(variable["key"])), variable.get("value")
    kept = form(value, response) if form and isinstance(value, str) else None
    return variable if kept is None else variable | {"value": kept}


# Each returns what is to count instead of the value, or None where it counts as it stands.
def _number(value: str, response: Json) -> str | None:
    return "\0job\0" if value == str(response.get("id")) else None


def _address(value: str, response: Json) -> str | None:
    end = f"/-/jobs/{response.get('id')}"
    return f"{value.removesuffix(end)}\0job\0" if value.endswith(end) else None


def _time(value: str, _response: Json) -> str | None:
    return "\0time\0" if _TIME.fullmatch(value) else None


def _time_slug(value: str, response: Json) -> str | None:
    """GitLab makes it of CI_JOB_STARTED_AT (lib/gitlab/utils.rb: slugify)."""
    started = _first(response, "CI_JOB_STARTED_AT")
    slug = re.sub(r"[^a-z0-9]", "-", started.lower()).strip("-")
    return "\0time slug\0" if _TIME.fullmatch(started) and value == slug else None


def _attempt(value: str, response: Json) -> str | None:
    is_servers = "CI_JOB_RETRY_COUNT" in always_set(response)
    return "\0attempt\0" if is_servers and _ATTEMPT.fullmatch(value) else None


def _trace_state(value: str, response: Json) -> str | None:
    found = _TRACESTATE.fullmatch(value)
    number = f"job:{response.get('id')}"
    return f"{value.removesuffix(number)}\0job\0" if found and value.endswith(f";{number}") else None


def _trace_parent(value: str, response: Json) -> str | None:
    """Its second number is made of the job's; GitLab sends it together with CI_TRACESTATE, which names the job."""
    found = _TRACEPARENT.fullmatch(value)
    is_servers = server_version(response) >= _TRACE_SINCE and "CI_SERVER_VERSION" in always_set(response)
    together = _trace_state(_first(response, "CI_TRACESTATE"), response) is not None
    return f"{found[1]}\0span\0{found[2]}" if found and is_servers and together else None


_FORMS: dict[str, Callable[[str, Json], str | None]] = {
    "CI_JOB_ID": _number,
    "CI_BUILD_ID": _number,
    "CI_JOB_URL": _address,
    "CI_JOB_STARTED_AT": _time,
    "CI_JOB_STARTED_AT_SLUG": _time_slug,
    "CI_JOB_RETRY_COUNT": _attempt,
    "CI_TRACESTATE": _trace_state,
    "CI_TRACEPARENT": _trace_parent,
}


def _first(response: Json, name: str) -> str:
    """The value of the first variable of that name, or ""."""
    found = response.get("variables")
    variables = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
    value = next((each.get("value") for each in variables if each.get("key") == name), "")
    return value if isinstance(value, str) else ""
