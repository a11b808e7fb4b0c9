"""What a job is, read from the runner's job response and from nowhere else.

Rules, in this order:

- Typed fields of the response come first: GitLab wrote them and a job's author cannot (runner-contract 5).
- Where an older runner sends no typed field, the *first* occurrence of the predefined variable stands in: the server
  puts its own before the author's. That does not hold for `GITLAB_USER_*` (there, every occurrence counts as the one
  who triggered the job) nor for `CI_ENVIRONMENT_NAME` (absent unless the job has one, so it is only a claim).
- `CUSTOM_ENV_*` is never looked at: the last occurrence wins there, which is the author's.
- Where two things that GitLab says of one fact disagree, that is a doubt, and the job is refused.
- What comes out is an allow-list. No token, no credential and no value of another variable is in it.
"""

from __future__ import annotations

from gate.errors import GateError
from gate.model.content import image_and_services
from gate.model.predefined import is_policy_job
from gate.model.variables import names_set
from gate.model.words import whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    from gate.shapes import FactName, Facts, Json, TriggeredBy

    T = TypeVar("T")

REHEARSAL = "REHEARSAL."  # what the names on disk of a rehearsal's request and cache begin with
DEFAULT_JOB_TIMEOUT_S = 7200  # what the runner takes where GitLab sends none (its common/build.go)
_COMPARED: tuple[tuple[str, FactName], ...] = (
    ("CI_JOB_ID", "job_id"),
    ("CI_JOB_NAME", "name"),
    ("CI_JOB_STAGE", "stage"),
    ("CI_PROJECT_ID", "project_id"),
    ("CI_PROJECT_PATH", "path"),
    ("CI_PIPELINE_ID", "pipeline_id"),
    ("CI_COMMIT_SHA", "sha"),
    ("CI_COMMIT_REF_NAME", "ref"),
    ("CI_ENVIRONMENT_NAME", "environment"),
    ("CI_COMMIT_REF_PROTECTED", "protected"),
    ("CI_RUNNER_ID", "runner"),
)
_TRIGGER_VARIABLES = ("GITLAB_USER_LOGIN", "GITLAB_USER_ID", "GITLAB_USER_EMAIL")
_ID_MAX_DIGITS = 19  # a bigint; and int() of thousands of digits, which an author can write, raises
_QUOTED_MAX_CHARACTERS = 80


class FactsError(GateError):
    """The job response lacks what identifies a job; the message is one line for people."""


def job_facts(response: Json, *, rehearsal: bool = False) -> Facts:
    """The facts of one job, as a JSON object (docs/reference/state.md).

    `rehearsal` is what the command line of config says, which no job can write.

    Raises:
        FactsError: a fact that the job's key needs is missing or of another type.
    """
    info, git = _object(response, "job_info"), _object(response, "git_info")
    variables = _variables(response)
    repo_url = _text(git, "repo_url")
    host, repo_path = _repository(repo_url)
    pipeline_id = _number(info, "pipeline_id") if info.get("pipeline_id") else _id(_first(variables, "CI_PIPELINE_ID"))
    environments = _distinct([v for k, v in variables if k == "CI_ENVIRONMENT_NAME" and v])
    # A policy's pipeline gets none of the server's variables of the pipeline and the runner: the first is the author's.
    server_variables = [] if is_policy_job(response) else variables
    path, doubts = _path(info, repo_path, server_variables)
    facts: Facts = {
        "rehearsal": rehearsal,
        "instance": host,
        "project_id": _number(info, "project_id"),
        "job_id": _number(response, "id"),
        "path": path,
        "project_url": _project_url(repo_url),
        "pipeline_id": pipeline_id,
        "name": _text(info, "name"),
        "stage": _text(info, "stage"),
        "ref": _text(git, "ref"),
        "ref_type": _text(git, "ref_type"),
        "sha": _text(git, "sha"),
        "protected": _protected(git, server_variables),
        "environment": environments[0] if environments else None,
        "environments": environments,
        "runner": _id(_first(server_variables, "CI_RUNNER_ID")),
        "triggered_by": _triggered_by(info, variables),
        "timeout_s": _timeout_s(response),
        "overridden": [],
        "checkout": _checkout(variables),
        "gate_variables": _distinct([k for k, _ in variables if k.upper().startswith("GATE_")]),
    }
    facts["overridden"] = _overridden(facts, variables)
    facts["variables"], facts["doubts"] = names_set(response), doubts
    facts["gate_variables"] = [name for name in facts["variables"] if name.upper().startswith("GATE_")]
    facts["image"], facts["services"] = image_and_services(response)
    return facts


def key_of(facts: Facts) -> str:
    """The request's name on disk: `<instance>-<project id>-<job id>`."""
    return f"{project_key_of(facts)}-{facts['job_id']}"


def project_key_of(facts: Facts) -> str:
    """The name on disk of what all jobs of one project share, its cache.

    A rehearsal shares nothing with real jobs: instances are in lower case, so none of them has such a name.
    """
    apart = REHEARSAL if is_rehearsal(facts) else ""
    return f"{apart}{safe_instance(facts['instance'])}-{facts['project_id']}"


def is_rehearsal(facts: Facts) -> bool:
    """Whether `gate rehearse` plays this job; older versions of the gate wrote no such fact."""
    return bool(facts.get("rehearsal"))


def triggerer(facts: Facts) -> str:
    """Who triggered the job, in words: every login that the response names, the true one among them."""
    by = facts["triggered_by"]
    names = by["names"] or by["emails"] or [f"user id {number}" for number in by["ids"]]
    return " / ".join(names) or "somebody unknown"


def _repository(url: str) -> tuple[str, str]:
    """Lower-cased host[:port] and the project's path, out of `git_info.repo_url`."""
    scheme, separator, rest = url.partition("://")
    authority, _, path = rest.partition("/")
    host = authority.rpartition("@")[2].lower()
    if not separator or not scheme or not host:
        raise FactsError(
            "the job response's git_info.repo_url names no host; a gate cannot tell GitLab instances apart"
            " (is it the runner's own trial job? then turn experimental.boot_verify off)"
        )
    return host, path.removesuffix(".git").strip("/")


def _path(info: Json, repo_path: str, server_variables: list[tuple[str, str]]) -> tuple[str, list[str]]:
    """The project's path, the same with every runner, and what GitLab says of it that does not fit together.

    The address for clones begins with GitLab's relative URL, or with the root that an administrator set for clones, so
    the path is its end. Which part of it, `project_full_path` tells; before runner 18.5, the first CI_PROJECT_PATH.
    """
    typed = _text(info, "project_full_path") if info.get("project_full_path") else ""
    said = typed or _first(server_variables, "CI_PROJECT_PATH")
    if not said or f"/{repo_path}".endswith(f"/{said}"):
        return said or repo_path, []
    name = "project_full_path" if typed else "CI_PROJECT_PATH"
    return typed or repo_path, [
        f"its project is {said} by {name} and {repo_path} by the address that it is cloned from"
    ]


def _project_url(repo_url: str) -> str | None:
    """The project's address for people: GitLab's own one for clones, without the job's token.

    None where it has none.
    """
    scheme, _, rest = repo_url.partition("://")
    authority, slash, path = rest.partition("/")
    if scheme not in ("http", "https"):
        return None
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path.removesuffix('/').removesuffix('.git')}"


def safe_instance(instance: str) -> str:
    """A GitLab instance, host[:port], as the names on disk have it."""
    return "".join(c if c.isascii() and (c.isalnum() or c in ".-") else "_" for c in instance)


def _triggered_by(info: Json, variables: list[tuple[str, str]]) -> TriggeredBy:
    names, numbers, emails = ([v for k, v in variables if k == wanted and v] for wanted in _TRIGGER_VARIABLES)
    ids = [number for number in map(_id, numbers) if number is not None]
    # scoped_user_id: the human behind a service account that GitLab runs the job for (composite identity).
    ids = [_number(info, name) for name in ("user_id", "scoped_user_id") if info.get(name)] + ids
    return {"names": _distinct(names), "ids": _distinct(ids), "emails": _distinct(emails)}


def _overridden(facts: Facts, variables: list[tuple[str, str]]) -> list[str]:
    """Predefined variables whose last occurrence, the one a script sees, differs from the fact: [name, …]."""
    last = dict(variables)
    true = {k: _as_variable(facts[fact]) for k, fact in _COMPARED if facts[fact] is not None}
    differing = [k for k in true if k in last and last[k] != true[k]]
    doubled = [k for k in _TRIGGER_VARIABLES if len({v for name, v in variables if name == k}) > 1]
    return differing + doubled


def _as_variable(fact: object) -> str:
    return str(fact).lower() if isinstance(fact, bool) else str(fact)


def _protected(git: Json, variables: list[tuple[str, str]]) -> bool | None:
    """Whether the ref is protected; None where nothing tells."""
    typed = git.get("protected")
    if isinstance(typed, bool):
        return typed
    return {"true": True, "false": False}.get(_first(variables, "CI_COMMIT_REF_PROTECTED"))


def _checkout(variables: list[tuple[str, str]]) -> list[str]:
    """Settings by which what runs may not be what the sha says: the last occurrence is what the runner goes by."""
    last = dict(variables)
    off = {"GIT_STRATEGY": ("none", "empty"), "GIT_CHECKOUT": ("false", "0", "f")}
    # With a `$` in it, it is made of other variables, and may come to any of them.
    found = [(name, last.get(name, ""), values) for name, values in off.items()]
    return [f"{name}={value}" for name, value, values in found if value.lower() in values or "$" in value]


def _variables(response: Json) -> list[tuple[str, str]]:
    found = response.get("variables") or []
    if not isinstance(found, list):
        raise FactsError("the job response's variables are not a list; is this a file that gitlab-runner wrote?")
    pairs = [(v.get("key"), v.get("value")) for v in found if isinstance(v, dict)]
    return [(k, whole(v) if isinstance(v, str) else "") for k, v in pairs if isinstance(k, str)]


def _first(variables: list[tuple[str, str]], wanted: str) -> str:
    """The first occurrence, also where it is empty: the next one may be the author's."""
    return next((value for key, value in variables if key == wanted), "")


def _id(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _ID_MAX_DIGITS else None


def _timeout_s(response: Json) -> int:
    info = response.get("runner_info")
    timeout = info.get("timeout") if isinstance(info, dict) else None
    return timeout if isinstance(timeout, int) and timeout > 0 else DEFAULT_JOB_TIMEOUT_S


def _object(holder: Json, name: str) -> Json:
    value = holder.get(name)
    if not isinstance(value, dict):
        raise FactsError(f"the job response has no object {name!r}; is this a file that gitlab-runner wrote?")
    return value


def _number(holder: Json, name: str) -> int:
    value = holder.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise FactsError(f"the job response's {name!r} is {_quoted(value)}, not a positive number")
    return value


def _text(holder: Json, name: str) -> str:
    value = holder.get(name)
    if not isinstance(value, str):
        raise FactsError(f"the job response's {name!r} is {_quoted(value)}, not text")
    return whole(value)


def _quoted(value: object) -> str:
    """A wrong value, short: what is inside a list or an object is not shown."""
    scalar = value is None or isinstance(value, str | int | float)
    return repr(value)[:_QUOTED_MAX_CHARACTERS] if scalar else f"of type {type(value).__name__}"


def _distinct(values: list[T]) -> list[T]:
    return list(dict.fromkeys(values))
