"""What a job would run, as lines of text: for `gate show`, and its variables for the job log.

Pure; all text by others is escaped.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

from gate.model.code_variables import ODD, what_it_does
from gate.model.variables import OVERRIDES, SOMETIMES
from gate.model.words import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from gate.shapes import Beside, Content, Since, Variable

LOG_MAX_CHARACTERS = 200  # of one value or name in the job log; page and `gate show` have it whole
LOG_MAX_NAMES = 100  # of one kind there: the runner keeps 4 MiB of a log, in which what follows has to be, too
WHOLE = 1 << 62  # for `shown`: nothing is cut
OF_AN_OLDER_GATE = "not kept: this job came to an older version of the gate; look into GitLab"


def lines_of(content: Content | None) -> list[str]:
    """All that is kept of what a job would run, whole."""
    if content is None:
        return ["what it runs is not kept here: read it in GitLab"]
    if content["too_large"]:
        head = [f"what it runs is {content['too_large']} bytes, too much to be kept here: read it in GitLab"]
        return [*head, *variable_lines(content, WHOLE), *_beside(content)]
    return [*_scripts(content), *_images(content), *variable_lines(content, WHOLE), *_beside(content)]


def variable_lines(content: Beside, limit: int) -> list[str]:
    """The variables that the server did not surely set, a line each.

    Values are cut to `limit` characters, and say so.
    """
    found = content.get("variables")
    if found is None:
        return [f"variables: {OF_AN_OLDER_GATE}"]
    since = content.get("since")
    told = [each for each in found if not _is_quiet(each)]
    room = len(told) if limit == WHOLE else LOG_MAX_NAMES
    first = {
        id(each) for each in sorted(told, key=_is_ordinary)[:room]
    }  # what is left out is ordinary, while there is such
    lines = [f"variable  {_assigned(each, limit)}{_remarks(each, since)}" for each in told if id(each) in first]
    lines += _more("variable", len(told) - room)
    if since:
        when = f"was set when #{since['job_id']} was approved"
        gone = content["gone"] if limit == WHOLE else content["gone"][:LOG_MAX_NAMES]
        lines += [f"gone      {_name(name, limit)} {when}" for name in gone]
        lines += _more("gone", len(content["gone"]) - len(gone))
    return lines + _perhaps([each for each in found if _is_quiet(each)], limit)


def _more(what: str, number: int) -> list[str]:
    return [f"{what:9} … and {number} more: see the page or gate show"] if number > 0 else []


def _is_ordinary(each: Variable) -> bool:
    """Whether a variable neither has changed nor carries code."""
    return not each["change"] and not what_it_does(each["name"])


def _is_quiet(each: Variable) -> bool:
    """Whether it is one that GitLab sets for some jobs, as it was before and without a danger."""
    return each["kind"] == SOMETIMES and _is_ordinary(each)


def _perhaps(variables: list[Variable], limit: int) -> list[str]:
    if limit == WHOLE:
        why = "(GitLab sets it for some jobs, and an author can for others)"
        return [f"perhaps   {_assigned(each, limit)}  {why}" for each in variables]
    names = ", ".join([_name(each["name"], limit) for each in variables[:LOG_MAX_NAMES]])
    names += f" … and {len(variables) - LOG_MAX_NAMES} more" if len(variables) > LOG_MAX_NAMES else ""
    return [f"perhaps   {names}  (GitLab sets these for some jobs, and an author can for others)"] if names else []


def _assigned(each: Variable, limit: int) -> str:
    name = _name(each["name"], limit)
    if each["value"] is None:
        return f"{name} (value not shown: {each['hidden']})"
    value = each["value"]
    more = f"… ({len(value) - limit} more characters: see the page or gate show)" if len(value) > limit else ""
    quoted = shown(value[:limit], WHOLE).replace('"', '\\"')  # so that no value can pass for a remark behind it
    return f'{name}="{quoted}"{more}'


def _name(name: str, limit: int) -> str:
    """A name; in quotes where no shell has one of that form, so that none can pass for a name with its value."""
    harmless = shown(name, limit)
    return '"' + harmless.replace('"', '\\"') + '"' if fnmatchcase(name, ODD) else harmless


def _remarks(each: Variable, since: Since | None) -> str:
    remarks = [
        f"{each['change']} since #{since['job_id']} was approved" if each["change"] and since else "",
        {OVERRIDES: OVERRIDES, SOMETIMES: "GitLab's own, or an author's"}.get(each["kind"], ""),
        "" if each["counts"] else "set again below, and that counts",
        f"such variables {does}" if (does := what_it_does(each["name"])) else "",
    ]
    said = "; ".join(remark for remark in remarks if remark)
    return f"  ({said})" if said else ""


def _scripts(content: Content) -> Iterator[str]:
    for hook in content["hooks"]:
        yield f"hook {shown(hook.get('name', ''))}:"
        yield from _commands(hook.get("script"))
    for step in content["steps"]:
        yield f"{shown(step.get('name', ''))}:"
        yield from _commands(step.get("script"))
    if content["run"]:
        yield "steps (run):"
        yield from _commands([content["run"]])


def _commands(script: object) -> Iterator[str]:
    for command in script if isinstance(script, list) else [script or ""]:
        for line in str(command).split("\n"):
            yield f"    {shown(line, WHOLE)}"


def _images(content: Content) -> Iterator[str]:
    named = [("image", content["image"])] if content["image"] else []
    for what, each in [*named, *(("service", service) for service in content["services"])]:
        settings = [f"{name} {shown(value, WHOLE)}" for name, value in each.items() if name != "name"]
        yield f"{what} {', '.join([shown(each.get('name', ''), WHOLE), *settings])} (not used)"


def _beside(content: Beside) -> Iterator[str]:
    for each in content.get("unknown", []):
        yield f"unknown field {shown(each['field'], WHOLE)}: {shown(each['text'], WHOLE)}"
    for each in content.get("rest", []):
        yield f"{shown(each['field'])} ({each['what']}): {shown(each['text'], WHOLE)}"
    names = content.get("servers", [])
    if names:
        yield f"GitLab's own variables, whose values are not shown: {', '.join(shown(name, WHOLE) for name in names)}"
