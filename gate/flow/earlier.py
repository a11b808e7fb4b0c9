"""What of a job's variables is new, changed or gone since the same job was last approved.

The same job: of the same project, name and rule. Its variables were kept with its request (content.json), with a keyed
hash of each value, so that values that are never shown can be compared.
"""

from __future__ import annotations

import os

from gate.store import layout
from gate.store.files import StateError, read_json
from gate.store.request import keys, load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from gate.shapes import Compared, Facts, KeptContent, Variable
    from gate.store.request import Request

LOOKED_AT_MAX = 500  # decided requests of one project, newest first, so that this takes no time that anybody notices
NEW, CHANGED, SAME = "new", "changed", ""


def compared(state_dir: str, key: str, facts: Facts, rule: str, variables: list[Variable]) -> Compared:
    """`variables`, each with its `change`; `gone`, the names that are not set any more; `since`, the job compared with.

    `since` is None where the job was not approved before, or where that is not kept any more: nothing is marked then.
    """
    last = _last_approved(state_dir, key, facts, rule)
    before = _variables(last) if last else None
    if last is None or before is None:
        return {"variables": [each | {"change": SAME} for each in variables], "gone": [], "since": None}
    marks, marks_before = _marks(variables), _marks(before)
    changes = {name: _change(own, marks_before.get(name)) for name, own in marks.items()}
    return {
        "variables": [each | {"change": changes[each["name"]]} for each in variables],
        "gone": [name for name in marks_before if name not in marks],
        "since": {"key": last.key, "job_id": last.facts["job_id"]},
    }


def _change(own: list[str], before: list[str] | None) -> str:
    if before is None:
        return NEW
    return SAME if own == before else CHANGED


def _marks(variables: list[Variable]) -> dict[str, list[str]]:
    """The marks of each name, in their order: one can be set more than once."""
    found: dict[str, list[str]] = {}
    for each in variables:
        found.setdefault(each["name"], []).append(each["mark"])
    return found


def _variables(request: Request) -> list[Variable] | None:
    """The variables that were kept with a request; None where an older gate kept none, or too much was there."""
    try:
        content: KeptContent | None = read_json(os.path.join(request.directory, "content.json"))
    except StateError:
        return None
    return None if content is None or content.get("too_large") else content.get("variables")


def _last_approved(state_dir: str, key: str, facts: Facts, rule: str) -> Request | None:
    for other in _decided(state_dir, key):
        is_same = other.facts["name"] == facts["name"] and other.opened["rule"] == rule
        if is_same and _is_approved(other):
            return other
    return None


def _is_approved(request: Request) -> bool:
    try:
        decision = request.file("decision.json")
    except StateError:
        return False
    return decision is not None and decision.get("decision") == "approved"


def _decided(state_dir: str, key: str) -> Iterator[Request]:
    """The decided requests of the same project, newest first; one that cannot be read is passed over."""
    project = key.rpartition("-")[0]
    decided = []
    for other in keys(state_dir):
        if other != key and other.rpartition("-")[0] == project:
            try:
                decided.append(
                    (os.lstat(os.path.join(layout.job(state_dir, other), "decision.json")).st_mtime_ns, other)
                )
            except OSError:  # not decided
                continue
    for _time_ns, other in sorted(decided, reverse=True)[:LOOKED_AT_MAX]:
        try:
            found = load(state_dir, other)
        except StateError:
            continue
        if found:
            yield found
