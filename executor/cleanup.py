"""`cleanup`: after each attempt. Its output never reaches the job log, only the runner's own."""

from __future__ import annotations

import os

from executor import backend
from executor.config_stage import load_policy
from executor.surroundings import STDERR, say
from gate.decide import FINAL_AND_NEGATIVE, end
from gate.files import read_json
from gate.request import load
from gate.sweep import sweep


def cleanup(config_file: str) -> int:
    """Remove the job's tree, end its request where it is over, and sweep what others left; always 0 but for a fault.

    `ended` is written only where a run stage started, or the decision is final and negative: after a failed attempt of
    prepare the request goes on. Where config failed there is no plan, and only the sweep is left to do.
    """
    plan = read_json(os.environ["GATE_PLAN"]) if os.environ.get("GATE_PLAN") else None
    policy = plan["policy"] if plan else load_policy(config_file)[0]
    if plan:
        _end(plan["policy"]["state_dir"], plan["key"], plan["work_dir"])
    for line in sweep(policy, own_key=plan["key"] if plan else ""):
        say(line, STDERR)
    return 0


def _end(state_dir: str, key: str, work_dir: str) -> None:
    request = load(state_dir, key)
    if request is None:
        return
    if request.has("started"):
        backend.remove_work(work_dir)
        end(request, "the job's stages are over")
        return
    decision = request.file("decision.json")
    if decision and decision["decision"] in FINAL_AND_NEGATIVE:
        end(request, decision["decision"])
