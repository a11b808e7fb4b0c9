"""`config`: read gate.yaml and the job response, check the host, and write down this attempt's plan.

This is the one stage that parses. What prepare, run and cleanup need is in `jobs/<key>/plan.<n>.json`, and job_env
names it: a job cannot set those names (its own variables all begin with CUSTOM_ENV_), and only the gate's uid writes
there.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys

from audit import copies
from config.faults import ConfigError
from executor.response import read_response, sha256
from executor.runner_contract import StageError
from executor.shell import backend, needs
from gate import __version__
from gate.flow import detached, earlier
from gate.model.content import shown_content
from gate.model.digest import content_digest
from gate.model.facts import is_rehearsal, job_facts, key_of
from gate.model.matching import Choice, barred, choose
from gate.model.rules import backend_of
from gate.store import beneath, compiled, layout
from gate.store.files import make_directory, write_json_once
from gate.store.request import keyed_hash
from gate.upkeep import archive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from config.compiled import Compiled
    from gate.shapes import Backend, Chosen, Facts, Json, KeptContent, Plan, Planned, Policy

MAX_ATTEMPTS = 1000
SWEEP_NICE = 19  # jobs that are answered meanwhile go first


def config(config_file: str, *, rehearsal: bool = False) -> int:
    """Print what the runner wants to know about this driver and this job (custom executor's config_exec, JSON).

    `rehearsal`: it is `gate rehearse` that asks, and not a runner. Only its command line says so, never the job.

    Raises:
        StageError: gate.yaml or the host has a fault, the runner is too old, or the job was here long ago.
        AuditError: where copies of the audit log go cannot be written down beside it.
    """
    if "BUILD_EXIT_CODE_FILE" not in os.environ:
        raise StageError("gitlab-runner 17.9.0 or newer is needed: this one sets no BUILD_EXIT_CODE_FILE")
    response = read_response()
    parsed = _parsed(response)
    policy, digest, fresh = _load(config_file)
    facts = job_facts(parsed, rehearsal=rehearsal)
    choice = choose(policy, facts)
    job_backend = backend_of(policy, choice.rule)
    drop_warnings = _prepare_host(policy, job_backend)
    _keep(policy, fresh)
    copies.keep_in_step(layout.audit(policy["state_dir"]), policy["audit"]["copy_to"])
    key = key_of(facts)
    if archive.is_archived(policy["state_dir"], key):
        raise StageError(archive.refusal(key))
    job_dir = layout.make_job(policy, key)
    chosen = _plan(policy, choice, facts)
    plan: Planned = {
        **chosen,
        "refused": chosen["refused"] or needs.refusal(parsed, job_backend, facts["runner"]),
        "config_file": config_file,
        "config_sha256": digest,
        "response_sha256": sha256(response),
        "digest": _digest(parsed, layout.secret(policy["state_dir"])),
        "drop_warnings": drop_warnings,
        "needs": needs.warnings(parsed, job_backend),
        "token_hash": keyed_hash(policy["state_dir"], str(parsed.get("token", ""))),
    }
    content = shown_content(parsed, layout.secret(policy["state_dir"]))
    compared = earlier.compared(policy["state_dir"], key, facts, plan["rule"], content["variables"])
    own: KeptContent = {**content, **compared, "v": 1, "key": key, "response_sha256": plan["response_sha256"]}
    write_json_once(job_dir, "content.json", own)
    plan_file = _write_plan(job_dir, plan)
    print(json.dumps(_answer(policy, plan, plan_file, job_dir)))
    sys.stdout.flush()
    # Its faults concern other jobs: cleanup, whose output is the operator's, tells them. And no job waits for it.
    with contextlib.suppress(OSError):
        detached.detach(lambda: _sweep(policy, key))
    return 0


def _sweep(policy: Policy, own_key: str) -> None:
    from gate.upkeep.sweep import sweep

    os.nice(SWEEP_NICE)
    sweep(policy, own_key=own_key)


def print_policy(config_file: str) -> int:
    """Print the policy that gate.yaml comes to, for a waiting job that has seen the file change.

    A new approver's drop directory is made on the way, so that they can answer this very job by drop.
    """
    policy, digest, fresh = _load(config_file)
    _keep(policy, fresh)
    layout.make_drops(policy)
    print(json.dumps({"policy": policy, "sha256": digest}))
    sys.stdout.flush()
    return 0


def load_policy(config_file: str) -> tuple[Policy, str]:
    """As config.load.load_policy, with all its faults in one line.

    Raises:
        StageError: gate.yaml has faults.
    """
    return _load(config_file)[:2]


def _load(config_file: str) -> tuple[Policy, str, Compiled | None]:
    from config.compiled import code_digest

    code = code_digest()  # of what is imported next
    from config.load import load_for_stage

    try:
        return load_for_stage(config_file, code)
    except ConfigError as error:
        first, *others = str(error).splitlines()
        more = f" (and {len(others)} more: gate --config {config_file} check)" if others else ""
        raise StageError(f"{first}{more}") from error


def _keep(policy: Policy, fresh: Compiled | None) -> None:
    """Keep what gate.yaml comes to, for the next stage; in a place that is the gate's alone, or not at all."""
    from config.compiled import is_private

    if fresh is None:
        return
    with contextlib.suppress(OSError):
        if is_private(layout.compiled(policy["state_dir"]), os.geteuid()):
            compiled.keep(policy["state_dir"], fresh.key, fresh.content())


def _parsed(response: bytes) -> Json:
    try:
        parsed = json.loads(response)
    except (ValueError, RecursionError) as error:
        raise StageError(f"JOB_RESPONSE_FILE is not the JSON that gitlab-runner writes: {error}") from error
    if not isinstance(parsed, dict):
        raise StageError("JOB_RESPONSE_FILE holds no JSON object")
    return parsed


def _digest(parsed: Json, key: bytes) -> str:
    try:
        return content_digest(parsed, key)
    except RecursionError as error:
        raise StageError("the job response is nested too deeply to be judged: make its `run` steps simpler") from error


def _prepare_host(policy: Policy, job_backend: Backend) -> list[str]:
    from config.host import check_state_dir

    if not os.path.lexists(policy["state_dir"]):
        make_directory(policy["state_dir"], 0o755)
    problems = check_state_dir(policy["state_dir"], os.geteuid())
    cannot = backend.check(job_backend)
    problems += [problem for problem in (cannot, beneath.missing()) if problem]
    if problems:
        raise StageError("; ".join(problems))
    return layout.make(policy)


def _plan(policy: Policy, choice: Choice, facts: Facts) -> Chosen:
    return {
        "v": 1,
        "key": key_of(facts),
        "policy": policy,
        "facts": facts,
        "rule": choice.rule["name"] if choice.rule else "",
        "refused": choice.why or barred(backend_of(policy, choice.rule), choice.rule, facts),
        "runner_pid": os.getppid(),
        "work_dir": layout.work(policy["state_dir"], key_of(facts)),
        "cache_dir": layout.cache_dir(policy, backend_of(policy, choice.rule), facts),
    }


def _write_plan(job_dir: str, plan: Planned) -> str:
    for attempt in range(1, MAX_ATTEMPTS):
        name = f"plan.{attempt}.json"
        whole: Plan = {**plan, "attempt": attempt}
        if write_json_once(job_dir, name, whole):
            return os.path.join(job_dir, name)
    raise StageError(
        f"{job_dir} holds {MAX_ATTEMPTS} plans: this job is tried again and again, look into the runner's log"
    )


def _marks(facts: Facts) -> dict[str, str]:
    """What a rehearsal looks for, so that it goes on with nothing that would be recorded as a real job."""
    return {"GATE_REHEARSAL": "1"} if is_rehearsal(facts) else {}


def _answer(policy: Policy, plan: Planned, plan_file: str, job_dir: str) -> dict[str, object]:
    return {
        "driver": {"name": "gitlab-runner-gate", "version": f"v{__version__}"},
        "hostname": policy["site"],
        "builds_dir": os.path.join(plan["work_dir"], "builds"),
        "cache_dir": plan["cache_dir"],
        "builds_dir_is_shared": False,
        "shell": "bash",  # scripts for "sh" have $'…' in them, which dash does not know
        "job_env": {"GATE_PLAN": plan_file, "GATE_JOB_DIR": job_dir} | _marks(plan["facts"]),
    }
