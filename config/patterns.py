"""Patterns of `match` that nothing in GitLab can ever be: why, and what to write in their place.

Such a pattern means more than it says: its author wanted some jobs to have this rule. So the criterion is unknown, and
not false, for a job that no other pattern of it is for, and the job does not fall through to a looser rule
(gate.model.matching).

What GitLab lets paths, refs and environments be called is in its lib/gitlab/path_regex.rb,
lib/gitlab/git_ref_validator.rb and lib/gitlab/regex.rb; a ref has to be one of git's as well (git-check-ref-format(1)).
A job or a stage can be called anything.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_EXAMPLES = {
    "project": "shop/*",
    "ref": "release/*",
    "job": "deploy**",
    "stage": "deploy",
    "environment": "review/*",
    "instance": "gitlab.example.com",
}
_THINGS = {
    "project": "project's path",
    "ref": "branch or tag",
    "environment": "environment's name",
    "instance": "host's name",
}
_STRANGE = {
    "project": re.compile(r"[^A-Za-z0-9_.\-/*?]"),
    "ref": re.compile(r"[ ~^:\[\\]"),
    "environment": re.compile(r"[^A-Za-z0-9_./{} \-*?]"),  # a `$` there makes the environment unknown
    "instance": re.compile(r"[^A-Za-z0-9_.:\[\]\-*?]"),
}
_REGEX = re.compile(r"/(.+)/[imx]*", re.DOTALL)  # as in .gitlab-ci.yml
_ODD = re.compile(r"\||^\^|\$$|\\[wdsb.]")
_OF_A_REGEX = re.compile(rf"\.[*+]|{_ODD.pattern}")  # `v1.*` may well be meant as it stands
_FULL_REFS = re.compile(r"refs/(?:heads/|tags/|remotes/(?:[^/]*/)?)")
_NO_REF = re.compile(r"^-|\.\.|@\{|\.lock(/|$)|\.$|(^|/)\.")


def never(match: dict[str, Any]) -> dict[str, str]:
    """Return what is wrong with each criterion of a `match` (lists, or true and false) that has a useless pattern."""
    texts = {
        name: [each for each in wanted if isinstance(each, str)]
        for name, wanted in match.items()
        if wanted not in (True, False)
    }
    found = {name: [why for each in patterns if (why := why_never(name, each))] for name, patterns in texts.items()}
    return {name: "; ".join(whys) for name, whys in found.items() if whys}


def why_never(criterion: str, pattern: str) -> str:
    """Return why nothing can be what a pattern says, and what to write; empty where something can."""
    why = _why(criterion, pattern)
    return (
        f"{criterion} {pattern!a} can match nothing in GitLab: {why}: write {_instead(criterion, pattern)}"
        if why
        else ""
    )


def odd(criterion: str, pattern: str) -> str:
    """Return what is said of a pattern that can match, and looks as if something else was meant.

    Empty where it does not.
    """
    if why_never(criterion, pattern):
        return ""
    if _ODD.search(pattern):
        return (
            f"{criterion} {pattern!a} looks like a regular expression, and is taken as it stands: only * ** and "
            "? are special"
        )
    return _one_of_parallel(pattern) if criterion == "job" else ""


def _one_of_parallel(pattern: str) -> str:
    """What is wrong with a pattern that stops at the slash in `deploy 1/3`, as GitLab names jobs of `parallel: 3`."""
    if not pattern.endswith("*") or pattern.endswith("**"):
        return ""
    example = f"{pattern[:-1].rstrip() or 'deploy'} 1/3"
    return (
        f"job {pattern!a} is not for {example!a}, as GitLab calls a job of `parallel: 3`, since * stops at a slash: "
        f'write "{pattern}*" where these are meant, too'
    )


def _why(criterion: str, pattern: str) -> str:
    regex = _REGEX.fullmatch(pattern)
    if regex and (criterion not in ("job", "stage") or _OF_A_REGEX.search(regex[1])):
        return "it is a regular expression as in .gitlab-ci.yml, and here only * ** and ? are special"
    return next(_faults(criterion, pattern), "")


def _faults(criterion: str, pattern: str) -> Iterator[str]:
    if criterion == "instance" and "/" in pattern:
        yield "an instance is a host, with a port where that is unusual"
    if criterion == "project" and "://" in pattern:
        yield "a project is given by its path"
    if criterion == "ref" and _FULL_REFS.match(pattern):
        yield "a job has its branch or tag without refs/…"
    strange = _STRANGE[criterion].search(pattern) if criterion in _STRANGE else None
    if strange:
        yield f"{strange[0]!a} stands in no {_THINGS[criterion]}"
    if criterion in ("project", "ref", "environment") and (pattern[0] == "/" or pattern[-1] == "/"):
        yield f"no {_THINGS[criterion]} begins or ends with a slash"
    if criterion in ("project", "ref") and "//" in pattern:
        yield f"no {_THINGS[criterion]} has two slashes side by side"
    if criterion == "project" and pattern.lower().endswith((".git", ".atom")):
        yield "no project's path ends so"
    if criterion == "project" and "/" not in pattern and "**" not in pattern:
        yield "a project's path has its group before it, and * stops at a slash"
    if criterion == "ref" and _NO_REF.search(pattern):
        yield "git lets no branch or tag be called so"


def _instead(criterion: str, pattern: str) -> str:
    for meant in (_meant(criterion, pattern), [_EXAMPLES[criterion]]):
        if meant and not any(_why(criterion, each) for each in meant):
            break
    shown = [f'"{each}"' for each in meant]
    written = shown[0] if len(shown) == 1 else f"[{', '.join(shown)}]"
    if criterion == "project" and re.fullmatch("[^/*]+", pattern) and meant == [f"{pattern}/*"]:
        return f"{written} for all projects of that group, or the whole path of one"
    return written if meant != [_EXAMPLES[criterion]] else f"a pattern such as {written}, or a list of some"


def _meant(criterion: str, pattern: str) -> list[str]:
    """What the operator may have meant; nothing where that is too hard to say."""
    regex = _REGEX.fullmatch(pattern)
    if regex or _OF_A_REGEX.search(pattern):
        globs = _globs(regex[1] if regex else pattern)
    else:
        globs = [_FULL_REFS.sub("", pattern, count=1) if criterion == "ref" else pattern]
    return [plain for each in globs if (plain := _plain(criterion, each))]


def _globs(regex: str) -> list[str]:
    """A simple regular expression as patterns; nothing where it is not simple."""
    found = []
    for part in regex.split("|"):
        body = part.removeprefix("^").removesuffix("$") + (
            "**" if part.startswith("^") and not part.endswith("$") else ""
        )
        body = re.sub(r"\\d\+?", "*", re.sub(r"\\([/.\-])", r"\1", re.sub(r"(?<!\\)\.[*+]", "**", body)))
        found.append(re.sub(r"\*{3,}", "**", body))
    return [] if any(re.search(r"[()\[\]{}+^$\\]", each) for each in found) else found


def _plain(criterion: str, pattern: str) -> str:
    if criterion == "instance":
        return pattern.partition("://")[2].partition("/")[0] if "://" in pattern else pattern.partition("/")[0]
    if criterion == "project":
        path = pattern.partition("://")[2].partition("/")[2] if "://" in pattern else pattern
        path = re.sub("//+", "/", path.strip("/")).removesuffix(".git")
        return "**" if path == "*" else path if "/" in path or "**" in path else f"{path}/*"
    return re.sub("//+", "/", pattern.strip("/")) if criterion in ("ref", "environment") else pattern
