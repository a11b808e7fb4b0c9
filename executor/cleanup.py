"""`cleanup`: after each attempt. Its output never reaches the job log, only the runner's own."""

from __future__ import annotations

import os
from typing import Any

from executor import backend, cgroup, strays
from executor.config_stage import load_policy
from executor.surroundings import STDERR, in_words, say
from gate import layout, notice
from gate.decide import FINAL_AND_NEGATIVE, end, record_decided
from gate.files import StateError, read_json
from gate.request import load
from gate.sweep import sweep


def cleanup(config_file: str) -> int:
    """Remove the job's tree, end its request where it is over, and sweep what others left; always 0.

    A fault is told on stderr, which the runner keeps in its own log. A failing exit code would put a warning about it
    into the job log, whose reader can do nothing about it; what could not be done is done by a later sweep.

    `ended` is written only where a run stage started, or the decision is final and negative: after a failed attempt of
    prepare the request goes on. Where config failed there is no plan, and only the sweep is left to do.
    """
    try:
        for line in _clean(config_file):
            say(line, STDERR)
    except Exception as error:  # noqa: BLE001
        say(in_words(error), STDERR)
    return 0


def _clean(config_file: str) -> list[str]:
    plan = read_json(os.environ["GATE_PLAN"]) if os.environ.get("GATE_PLAN") else None
    policy = plan["policy"] if plan else load_policy(config_file)[0]
    faults = _end(plan["policy"], plan["key"], plan["work_dir"]) if plan else []
    return faults + sweep(policy, own_key=plan["key"] if plan else "") + _sweep_cgroups(policy["state_dir"])


def _end(policy: dict[str, Any], key: str, work_dir: str) -> list[str]:
    request = load(policy["state_dir"], key)
    if request is None:
        return []
    if request.has("started"):
        faults = _remove(work_dir)
        ended = _end_strays(policy["state_dir"], key)
        end(request, f"the job's stages are over{f'; {ended[0]}' if ended else ''}")
        return faults + ended
    decision = request.file("decision.json")
    if decision and decision["decision"] in FINAL_AND_NEGATIVE:
        request.make_durable()  # prepare may have been killed just before this, or that
        record_decided(request, decision)
        notice.decided(request, policy, decision)
        end(request, decision["decision"])
    return []


def _sweep_cgroups(state_dir: str) -> list[str]:
    """End what is in the cgroups of jobs whose trees are gone: their runner was killed."""
    if os.geteuid() != 0:
        return []
    try:
        return cgroup.sweep(state_dir, os.listdir(layout.works(state_dir)))
    except OSError as error:
        return [f"cannot look for cgroups of jobs that are over: {error}"]


def _end_strays(state_dir: str, key: str) -> list[str]:
    try:
        ended = strays.end(state_dir, key)
    except (OSError, StateError) as error:
        return [f"cannot look for processes that jobs left: {error}"]
    return [ended] if ended else []


def _remove(work_dir: str) -> list[str]:
    try:
        backend.remove_work(work_dir)
    except backend.BackendError as error:
        return [str(error)]  # the job is over all the same; a later sweep tries again
    return []
