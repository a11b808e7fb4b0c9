"""What a job's variables say of its commit, tag and merge request: for people to read, and for nothing else. Pure.

GitLab sets these variables for most jobs, and an author can for the others, so that all of them are claims: nothing is
decided by them. The first of a name is taken, which is GitLab's own where it set one (gate/model/facts.py). Source of the names:
GitLab's doc/ci/variables/predefined_variables.md.
"""

from __future__ import annotations

from gate.model.variables import why_hidden
from gate.model.words import whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from gate.shapes import Claims, Json

LINE_MAX_CHARACTERS = 200
MESSAGE_MAX_CHARACTERS = 2000
_LINES = {
    "title": "CI_COMMIT_TITLE",
    "author": "CI_COMMIT_AUTHOR",
    "tag": "CI_COMMIT_TAG",
    "merge_request": "CI_MERGE_REQUEST_IID",
    "merge_request_title": "CI_MERGE_REQUEST_TITLE",
    "base_sha": "CI_MERGE_REQUEST_DIFF_BASE_SHA",
    "default_branch": "CI_DEFAULT_BRANCH",
}
_MESSAGE = "CI_COMMIT_MESSAGE"


def claims(response: Json, masked: Callable[[str], str]) -> Claims:
    """What is claimed, by name; what is not claimed, or not shown to people, is left out.

    `message` is there where it says more than `title`; `before_sha` is what the ref was before a push, which GitLab itself
    says. Each is cut to what people read. `masked` takes what must stand nowhere out of a text.
    """
    variables = _first_of_each(response)
    found = {name: variables.get(variable, "") for name, variable in _LINES.items()}
    found["before_sha"] = _before_sha(response)
    said: Claims = {name: _cut(masked(text), LINE_MAX_CHARACTERS) for name, text in found.items() if text}  # type: ignore[assignment]
    message = variables.get(_MESSAGE, "")
    if message.strip() != found["title"].strip():
        said["message"] = _cut(masked(message), MESSAGE_MAX_CHARACTERS)
    return said


def _first_of_each(response: Json) -> dict[str, str]:
    """The values that people may see, of the first variable of each name."""
    listed = response.get("variables")
    objects = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    first = {str(each.get("key")): each for each in reversed(objects)}
    return {name: whole(str(each["value"])) for name, each in first.items() if not why_hidden(each)}


def _before_sha(response: Json) -> str:
    git = response.get("git_info")
    before = git.get("before_sha") if isinstance(git, dict) else None
    return whole(before) if isinstance(before, str) else ""


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"
