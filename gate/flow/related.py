"""Requests that touch one another: the repeat of a rejected job, and the newer job that makes an older one needless."""

from __future__ import annotations

import os
import time

from gate.clock import boottime_ms
from gate.flow.decide import decide
from gate.model.words import duration
from gate.store import bell, layout
from gate.store.files import StateError
from gate.store.request import Request, keys, load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from gate.shapes import Decision, Rule


def of_rejected(request: Request, rule: Rule) -> str:
    """Why a job is refused because the same work was rejected a short while ago, or "".

    GitLab's `retry:` makes a new job of a rejected one by itself, and people would be asked again.
    """
    window_s = rule["after_rejection_s"]
    for other in _decided_within(request, window_s):
        decision = _decision(other)
        if (
            not decision
            or decision.get("decision") != "rejected"
            or other.opened.get("digest") != request.opened["digest"]
        ):
            continue
        ago_s = _age_s(other, decision)
        if 0 <= ago_s < window_s:
            return (
                f"the same job was {decision['why']} {duration(ago_s)} ago, as #{other.facts['job_id']};"
                f" it can be asked for again in {duration(window_s - ago_s)}"
            )
    return ""


def supersede_older(request: Request, rule: Rule, config: str) -> None:
    """Where the rule says so, decide older requests of the same project, job name and ref: superseded.

    The waiting process of the other sees its decision.json and ends; the first decision wins, as always.
    """
    if not rule["supersede"]:
        return
    for key in _keys_of_project(request):
        other = None if _is_over(request.state_dir, key) else _other(request, key)
        if other and _same_job(request, other) and _is_older(other, request):
            why = f"superseded by job #{request.facts['job_id']}, a newer one of the same name and ref"
            decide(other, "superseded", why, rule=other.opened["rule"], config=config)
            bell.ring(other.directory)


def _decided_within(request: Request, window_s: int) -> Iterator[Request]:
    """Other requests whose decision may be younger than that; told by the file's time, so that few are opened."""
    for key in _keys_of_project(request):
        try:
            decided_s = os.lstat(os.path.join(layout.job(request.state_dir, key), "decision.json")).st_mtime
        except OSError:  # not decided, or no request at all
            continue
        other = _other(request, key) if time.time() - decided_s < window_s else None
        if other:
            yield other


def _keys_of_project(request: Request) -> list[str]:
    """The keys of the same instance and project; a digest counts both in."""
    project = request.key.rpartition("-")[0]
    return [key for key in keys(request.state_dir) if key.rpartition("-")[0] == project]


def _is_over(state_dir: str, key: str) -> bool:
    """Told by the names alone, so that few are opened."""
    directory = layout.job(state_dir, key)
    return any(os.path.lexists(os.path.join(directory, name)) for name in ("decision.json", "ended.json"))


def _decision(other: Request) -> Decision | None:
    try:
        return other.file("decision.json")
    except StateError:
        return None


def _age_s(other: Request, decision: Decision) -> float:
    """How long ago it was decided: by the clock that cannot be set, where that has not stopped meanwhile."""
    if other.of_this_boot:
        return (boottime_ms() - decision["boottime_ms"]) / 1000
    return time.time() - decision["wall_s"]


def _other(request: Request, key: str) -> Request | None:
    """Another request; None for one that cannot be read, which is no reason to hold up this one."""
    if key == request.key:
        return None
    try:
        return load(request.state_dir, key)
    except StateError:
        return None


def _same_job(one: Request, other: Request) -> bool:
    return all(one.facts[name] == other.facts[name] for name in ("instance", "project_id", "name", "ref", "ref_type"))


def _is_older(one: Request, other: Request) -> bool:
    """By the time of asking; of two in the same millisecond, the smaller number is the older one."""
    asked = [(each.opened["opened_boottime_ms"], each.facts["job_id"]) for each in (one, other)]
    return one.of_this_boot and asked[0] < asked[1]
