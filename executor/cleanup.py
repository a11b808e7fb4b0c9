"""`cleanup`: after each attempt. Its output never reaches the job log, only the runner's own."""

from __future__ import annotations

import os

from executor import forked
from executor.runner_contract import STDERR, in_words, say
from executor.shell import backend, cgroup, strays
from gate.flow.decide import FINAL_AND_NEGATIVE, end, finish
from gate.store import layout
from gate.store.files import StateError, read_json
from gate.store.request import load
from gate.upkeep.sweep import sweep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gate.shapes import Plan, Policy

SWEEP_WITHIN_MS = 15_000
FAULTS_MAX_BYTES = 60_000  # a pipe takes them at once
FOREIGN_FAULTS_MAX = 3


def cleanup(config_file: str) -> int:
    """Remove the job's tree, end its request where it is over, and sweep what others left; always 0.

    A fault goes to stderr, which the runner keeps in its own log. A failing exit code would put a warning about it
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
    plan: Plan | None = read_json(os.environ["GATE_PLAN"]) if os.environ.get("GATE_PLAN") else None
    policy = plan["policy"] if plan else _policy(config_file)
    faults = _end(plan["policy"], plan["key"], plan["work_dir"]) if plan else []
    return faults + _some(_swept(policy, plan["key"] if plan else "")) + _sweep_cgroups(policy["state_dir"])


def _policy(config_file: str) -> Policy:
    from executor.config_stage import load_policy

    return load_policy(config_file)[0]


def _swept(policy: Policy, own_key: str) -> list[str]:
    """The faults of a sweep in a process of its own: what others left may take long, or hang, and the runner waits."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        try:
            forked.let_go()
            os.write(writer, "\n".join(_sweep(policy, own_key)).encode("utf-8", "backslashreplace")[:FAULTS_MAX_BYTES])
        finally:
            os._exit(0)
    os.close(writer)
    content, ended = forked.read_all(reader, child, SWEEP_WITHIN_MS)
    os.close(reader)
    late = [] if ended else ["the sweep of what others left took too long, and was ended; the next one goes on"]
    return content.decode("utf-8", "replace").splitlines() + late


def _sweep(policy: Policy, own_key: str) -> list[str]:
    try:
        return sweep(policy, own_key)
    except Exception as error:  # noqa: BLE001
        return [in_words(error)]


def _some(lines: list[str]) -> list[str]:
    """What is wrong with others' jobs, in few lines: this job's own faults must be found among them."""
    more = len(lines) - FOREIGN_FAULTS_MAX
    return [
        *lines[:FOREIGN_FAULTS_MAX],
        *([f"and {more} more such faults: `gate check` names them"] if more > 0 else []),
    ]


def _end(policy: Policy, key: str, work_dir: str) -> list[str]:
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
        finish(request, policy, decision, decision["decision"])
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
