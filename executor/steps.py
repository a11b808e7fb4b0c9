"""The steps of prepare, each run in a process of its own: opening, looking, reminding, expiring, canceling, abandoning.

Each reads what it needs from disk again and returns a plain dict for the waiting process: `state` is waiting, released,
failed (with `exit_code`), over or fault; `lines` are for the job log.

That process may be of another version of the gate, which was there when the job came (docs/how-to/upgrade.md). So the
names of the steps, `in_words` (executor/surroundings.py), and what stands in `context` and in a result, are never taken
away and never mean something else; what is added may be missing.
"""

from __future__ import annotations

import os
import sys
import time

from audit import log
from executor.entry import entry_point
from executor.response import read_response, sha256
from executor.runner_contract import StageError, from_config
from gate.clock import boot_id, boottime_ms
from gate.flow import on_event, related
from gate.flow.announcement import lines_of
from gate.flow.decide import (
    BUILD_FAILURES,
    Interrupted,
    TooLate,
    decide,
    end,
    left_words,
    outcome_words,
    record_decided,
    release,
)
from gate.model import matching, rules
from gate.model.words import duration, shown
from gate.store import heartbeat, layout, reserve
from gate.store.files import StateError, read_json, write_json_once
from gate.store.request import Request, load, log_mark
from gate.upkeep import archive
from gate.votes import drop_file
from gate.votes.ballot import votes_on
from gate.votes.inbox import LOOK_AGAIN_MS, Inbox, carried, droppers, places

INIT_PID = 1  # who gets the children of a process that dies

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from gate.shapes import Decision, KeptPolicy, Opened, Outcome, Plan, Policy, Rule, StepContext, StepResult


def opening(context: StepContext, interrupted: Callable[[], bool]) -> StepResult:
    """Open the request, or resume it; or finish what an earlier attempt decided."""
    plan = _plan()
    response = sha256(read_response())
    if response != plan["response_sha256"]:
        raise StageError("the config stage that ran before was for another job; is config_exec wired?")
    if context["runner_pid"] == INIT_PID != plan["runner_pid"]:
        raise StageError("the runner that started this job is gone")
    request = load(plan["policy"]["state_dir"], plan["key"])
    resumed = request is not None
    rule = rules.named(plan["policy"], plan["rule"])
    if request is None:
        _check_not_archived(plan)
        request = _open(plan, rule, context)
    _check_resumable(request, plan, response)
    if resumed:
        request.make_durable()
    decision = request.file("decision.json")
    why = plan["refused"] or (related.of_rejected(request, rule) if rule else "")
    if why and not decision:
        decision = decide(request, "refused", why, rule=plan["rule"], config=plan["config_sha256"])
    if decision and decision["decision"] == "approved" and request.has("ended.json"):
        raise StageError(
            f"{request.key} was approved and has ended already; run the job again, so that it gets a new number"
        )
    if decision:
        return _settle(request, decision, plan, interrupted)
    if rule is None:
        raise StageError(f"gate.yaml has no rule {plan['rule']!r}")
    layout.make_bell(plan["policy"], request.directory)
    head = request.record("requested", rule=rule["name"], config=plan["config_sha256"], why=rules.wanted_words(rule))
    on_event.opened(request, plan["policy"])
    related.supersede_older(request, rule, plan["config_sha256"])
    lines = lines_of(request, plan, rule, context["config_file"], resumed=resumed)
    deadline_ms = request.opened["deadline_boottime_ms"]
    return _waiting(request, plan, rule, [*lines, _head_line(head)], deadline_ms, "nobody has answered")


def looking(context: StepContext, interrupted: Callable[[], bool]) -> StepResult:
    """Take in what has been answered, weigh it, and decide if that decides."""
    plan = _plan()
    request = _request(plan)
    decision = request.file("decision.json")
    if decision:
        request.make_durable()
        return _settle(request, decision, plan, interrupted)
    late = boottime_ms() >= context["deadline_ms"]
    try:
        policy, config = current_policy(plan, context["config_file"])
    except StageError as error:
        if not late:
            raise
        decision = decide(
            request, "expired", f"the time was up, and {error}", rule=plan["rule"], config=plan["config_sha256"]
        )
        return _settle(request, decision, plan, interrupted)
    if config != plan["config_sha256"]:
        layout.make_job(policy, request.key)  # it may have a page now, or another group that may read
        layout.make_bell(policy, request.directory)
    rule, no_rule = matching.choose(policy, request.facts)
    why = matching.barred(rules.backend_of(policy, rule), rule, request.facts)
    if rule is None:
        why = f"gate.yaml has changed, and {no_rule}"
    if rule is None or why:
        decision = decide(request, "refused", why, rule=request.opened["rule"], config=config)
        return _settle(request, decision, plan, interrupted)
    inbox = Inbox(request, policy, rule, context.get("at", lambda _source: None))
    inbox.ballot.recorded.update(context.get("recorded", ()))
    inbox.ballot.overdue.update(context.get("overdue", ()))
    inbox.hung.update(context.get("hung", ()))
    votes = inbox.collect()
    deadline_ms = min(context["deadline_ms"], request.opened["opened_boottime_ms"] + rule["decide_within_s"] * 1000)
    verdict = rules.weigh(rule, policy, request.facts, votes, boottime_ms(), deadline_ms)
    lines = inbox.lines + _changed_lines(plan, config, rule)
    if deadline_ms < context["deadline_ms"]:
        lines.append(f"the deadline has become earlier: in {duration((deadline_ms - boottime_ms()) / 1000)}")
    if verdict.state == "open" or interrupted():
        waiting_on = _waiting(request, plan | {"policy": policy}, rule, lines, deadline_ms, verdict.why)
        return waiting_on | {
            "again_ms": LOOK_AGAIN_MS if inbox.again else 0,
            "later": sorted(inbox.ballot.later),
            "recorded": sorted(inbox.ballot.recorded),
        }
    if verdict.state == "approved":
        request.check_log()
    decision = decide(
        request,
        verdict.state,
        verdict.why,
        rule=rule["name"],
        config=config,
        votes=verdict.counted,
        backend=rules.backend_of(policy, rule),
    )
    return _settle(request, decision, plan | {"policy": policy}, interrupted, lines)


def reminding(context: StepContext, _interrupted: Callable[[], bool]) -> StepResult:
    """Tell on_event that the job still waits; `remind_ms` is when to do so again."""
    plan = _plan()
    try:
        policy, _config = current_policy(plan, context["config_file"])
    except StageError:
        policy = plan["policy"]  # the next look says what is wrong with gate.yaml
    remind_ms = on_event.remind(_request(plan), policy, context["deadline_ms"], context["progress"])
    return {"state": "waiting", "lines": [], "remind_ms": remind_ms}


def expiring(context: StepContext, _interrupted: Callable[[], bool]) -> StepResult:
    """The time is up, and a look failed, or hung: decide by the votes that were counted, and look nowhere."""
    return _at_any_cost(lambda: _expire(context["why"]))


def canceling(_context: StepContext, _interrupted: Callable[[], bool]) -> StepResult:
    """The runner has ended the wait: by a cancel, a timeout or its own end, it does not say which."""
    why = "the runner ended the wait (a cancel, a timeout, or the runner's own end)"
    return _at_any_cost(lambda: _give_up("canceled", why))


def abandoning(_context: StepContext, _interrupted: Callable[[], bool]) -> StepResult:
    """The runner that started us is gone, and will not run this job."""
    why = "the runner that held this job is gone"
    result = _at_any_cost(lambda: _give_up("abandoned", why))
    end(_request(_plan()), why)
    return result


def _at_any_cost(work: Callable[[], StepResult]) -> StepResult:
    """Do what ends a wait; again, with the reserve freed, where it cannot be written."""
    try:
        return work()
    except (StateError, log.AuditError, OSError):
        if not reserve.free(_plan()["policy"]["state_dir"]):
            raise
        return work()


def _expire(why: str) -> StepResult:
    plan = _plan()
    request, policy = _request(plan), plan["policy"]
    decision = request.file("decision.json")
    rule = rules.named(policy, request.opened["rule"])
    if decision is None and rule is not None:
        # Past every deadline, so that no approval counts: only enough rejections do.
        verdict = rules.weigh(rule, policy, request.facts, votes_on(request), 1, 0)
        words = verdict.why if verdict.state == "rejected" else f"{verdict.why}; the last look failed: {why}"
        decision = decide(
            request,
            "rejected" if verdict.state == "rejected" else "expired",
            words,
            rule=plan["rule"],
            config=plan["config_sha256"],
            votes=verdict.counted,
        )
    if decision is None:
        raise StateError(f"gate.yaml had no rule {plan['rule']!r} when this job came")
    return _settle(request, decision, plan, interrupted=lambda: False)


def current_policy(plan: Plan, config_file: str) -> tuple[Policy, str]:
    """The policy of gate.yaml as it is now, and the file's SHA-256.

    A changed file is read and checked by the config package in a process of its own; what comes out is kept beside the
    request, so that it is done once for each content.

    Raises:
        StageError: gate.yaml cannot be read, or has faults.
    """
    try:
        with open(config_file, "rb") as source:
            digest = sha256(source.read())
    except OSError as error:
        raise StageError(f"cannot read {config_file}: {error.strerror}") from error
    if digest == plan["config_sha256"]:
        return plan["policy"], digest
    directory = layout.job(plan["policy"]["state_dir"], plan["key"])
    name = f"policy.{digest}.json"
    kept: KeptPolicy | None = read_json(os.path.join(directory, name))
    if kept is None:
        kept = _compile(config_file)
        write_json_once(directory, f"policy.{kept['sha256']}.json", kept)
    return kept["policy"], kept["sha256"]


def _compile(config_file: str) -> KeptPolicy:
    import json
    import subprocess

    command = [sys.executable, "-I", entry_point(), "--config", config_file, "policy"]
    done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        why = done.stderr.decode("utf-8", "replace").strip().removeprefix("gate: ")
        raise StageError(why or f"{config_file} could not be checked")
    made: KeptPolicy = json.loads(done.stdout)
    return made


def _plan() -> Plan:
    plan: Plan | None = read_json(from_config("GATE_PLAN"))
    if plan is None:
        raise StateError(f"{from_config('GATE_PLAN')} has gone; look who removed it")
    return plan


def _request(plan: Plan) -> Request:
    request = load(plan["policy"]["state_dir"], plan["key"])
    if request is None:
        raise StateError(f"the request {plan['key']} has gone from {layout.jobs(plan['policy']['state_dir'])}")
    return request


def _open(plan: Plan, rule: Rule | None, context: StepContext) -> Request:
    policy, facts, key = plan["policy"], plan["facts"], plan["key"]
    opened_ms = boottime_ms()
    deadline = rules.Deadline(opened_ms, "its refusal", opened_ms, False)
    if rule:
        deadline = rules.deadline(rule, opened_ms, context["prepare_timeout_s"], facts["timeout_s"])
    opened: Opened = {
        "v": 1,
        "key": key,
        "facts": facts,
        "response_sha256": plan["response_sha256"],
        "token_hash": plan["token_hash"],
        "boot_id": boot_id(),
        "opened_boottime_ms": opened_ms,
        "opened_wall_s": time.time(),
        "deadline_boottime_ms": deadline.at_ms,
        "deadline_set_by": deadline.set_by,
        "deadline_shortened": deadline.shortened,
        "start_by_boottime_ms": deadline.start_by_ms,
        "rule": plan["rule"],
        "digest": plan["digest"],
        "needs": plan.get("needs", []),
        **log_mark(policy["state_dir"]),
    }
    directory = layout.job(policy["state_dir"], key)
    write_json_once(directory, "request.json", opened)
    return _request(plan)


def _check_not_archived(plan: Plan) -> None:
    """Asked after the request was looked for: its name is in the archive before its directory goes."""
    if archive.is_archived(plan["policy"]["state_dir"], plan["key"]):
        raise StageError(archive.refusal(plan["key"]))


def _check_resumable(request: Request, plan: Plan, response: str) -> None:
    if request.opened["token_hash"] != plan["token_hash"] or request.opened["response_sha256"] != response:
        raise StageError(
            f"{request.key} was another job here before, with another token or content (a restored GitLab?): refused;"
            " run the job again, so that it gets a new number"
        )
    if not request.of_this_boot:
        raise StageError(f"{request.key} was opened before this host restarted: run the job again")
    if heartbeat.is_waiting(request.directory):
        raise StageError(
            f"{request.key} is held by another process already: two runners with one job, or one that hangs"
        )


def _waiting(request: Request, plan: Plan, rule: Rule, lines: list[str], deadline_ms: int,
             progress: str) -> StepResult:  # fmt: skip
    policy, root, votes = plan["policy"], layout.drops(request.state_dir), layout.votes(request.directory)
    own = [votes, request.directory, os.path.dirname(plan["config_file"])]
    drops = [os.path.join(root, person) for person in droppers(policy, rule, request.facts)]
    signed = [layout.signed_drops(request.state_dir)] if policy["approvers_gid"] is not None else []
    return {
        "state": "waiting",
        "lines": lines,
        "job_dir": request.directory,
        "attempt": plan["attempt"],
        "deadline_ms": deadline_ms,
        "progress": progress,
        "again_ms": 0,
        "remind_ms": on_event.remind_at_ms(request, policy, deadline_ms),
        "root": root,
        "places": places(request, policy, rule),
        "carried": carried(request, policy, rule),
        "votes": votes,
        # What follows is for a waiting process of an older version alone.
        "own_directories": own,
        "drops": drops,
        "signed": signed,
        "watch": [*drops, *signed, *own],
        "names": frozenset(drop_file.names_of(request.facts["job_id"], request.key)),
    }


def _settle(request: Request, decision: Decision, plan: Plan, interrupted: Callable[[], bool],
            lines: list[str] | None = None) -> StepResult:  # fmt: skip
    """Finish a decision, no matter who made it: record it, release or fail the job, and then notify."""
    result = _finish(request, decision, plan, interrupted, lines or [])
    on_event.decided(request, plan["policy"], decision, result.get("why"))
    return result


def _finish(request: Request, decision: Decision, plan: Plan, interrupted: Callable[[], bool],
            said: list[str]) -> StepResult:  # fmt: skip
    word, codes = decision["decision"], plan["policy"]["exit_codes"]
    if word == "approved":
        return _let_through(request, decision, plan, interrupted, said)
    head = record_decided(request, decision)
    result: StepResult = {"state": "over", "lines": [*said, shown_outcome(decision), _head_line(head)]}
    if word in BUILD_FAILURES:
        return result | {"state": "failed", "exit_code": codes[word]}
    return result


def _let_through(request: Request, decision: Decision, plan: Plan, interrupted: Callable[[], bool],
                 said: list[str]) -> StepResult:  # fmt: skip
    try:
        head = release(request, decision, plan, interrupted)
    except TooLate as error:
        why, code = str(error), plan["policy"]["exit_codes"]["expired"]
        end(request, why)
        return {"state": "failed", "exit_code": code, "lines": [*said, why], "why": why}
    except Interrupted as error:
        return {"state": "over", "lines": [*said, str(error)]}
    lines = [shown_outcome(decision), f"the job goes on; {left_words(request)}", _head_line(head)]
    return {
        "state": "released",
        "lines": [*said, *lines],
        "release": os.path.join(request.directory, "release.json"),
    }


def _give_up(word: Outcome, why: str) -> StepResult:
    """Decide that the job does not wait any more.

    Where it was approved before, that stands, and is not released from here.
    """
    plan = _plan()
    request = _request(plan)
    decision = decide(request, word, why, rule=plan["rule"], config=plan["config_sha256"])
    return _settle(request, decision, plan, interrupted=lambda: True)


def _changed_lines(plan: Plan, config: str, rule: Rule) -> list[str]:
    if config == plan["config_sha256"]:
        return []
    renamed = "" if rule["name"] == plan["rule"] else f"rule {rule['name']!r}: "
    return [f"gate.yaml has changed; what counts now: {renamed}{rules.wanted_words(rule)}"]


def shown_outcome(decision: Decision) -> str:
    """A decision for the job log."""
    return shown(outcome_words(decision), 1500)


def _head_line(head: log.Head) -> str:
    return f"audit head seq={head.seq} sha256={head.sha256}"
