"""A job that is only described: what was given of it, and what is assumed for the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gate.shapes import Json

SOMEBODY = "somebody-else"
_ASSUMED = {
    "ref": "main",
    "protected": False,
    "job": "deploy",
    "stage": "deploy",
    "environment": "",
    "instance": "gitlab.example.com",
    "user": SOMEBODY,
}


@dataclass(frozen=True)
class Described:
    """A job response as gitlab-runner writes it, and in words each fact that was not given."""

    response: Json
    assumed: list[str]


def described(given: dict[str, str | bool | None], variables: tuple[str, ...]) -> Described:
    """Make a job of what was `given`: `project`, and any of the others; None is not given."""
    known = _ASSUMED | {name: value for name, value in given.items() if value is not None}
    user, text = str(known["user"]), {name: str(value) for name, value in known.items()}
    by = {"user_id": int(user)} if user.isdecimal() and int(user) else {}
    pairs = [("GITLAB_USER_LOGIN", "" if by else user), ("CI_ENVIRONMENT_NAME", text["environment"])]
    pairs += [(name, "") for name in variables]
    response = {
        "id": 1,
        "job_info": {
            "name": text["job"],
            "stage": text["stage"],
            "project_id": 1,
            "project_full_path": text["project"],
            **by,
        },
        "git_info": {
            "repo_url": f"https://{text['instance']}/{text['project']}.git",
            "ref": text["ref"],
            "ref_type": "branch",
            "sha": "0" * 40,
            "protected": known["protected"],
        },
        "variables": [
            {"key": name, "value": value, "public": True} for name, value in pairs if value or name in variables
        ],
    }
    return Described(response, [_words(name) for name in _ASSUMED if given.get(name) is None])


def _words(name: str) -> str:
    value = _ASSUMED[name]
    if name == "user":
        return "triggered by somebody who is no approver (--user)"
    if name == "environment":
        return "no environment (--environment)"
    option = "job-name" if name == "job" else name
    return f"{name} {'no' if value is False else value} (--{option})"
