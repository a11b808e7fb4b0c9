"""Deciding and releasing, in the one order that holds.

decision.json (linked in, so the first wins) -> `decided` in the log -> `released` in the log, fsynced -> release.json.

Every step can be done again: after a crash between two of them, the next process finishes, with no record twice.
"""

from __future__ import annotations

import time

from gate.clock import boottime_ms
from gate.errors import GateError
from gate.flow import on_event
from gate.model.words import duration
from gate.store import layout
from gate.store.files import StateError, write_json_once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from audit.log import Head
    from gate.shapes import Backend, Decision, KeptVote, Outcome, Plan, Policy, Told
    from gate.store.request import Request

FINAL_AND_NEGATIVE = ("rejected", "refused", "expired", "superseded", "canceled", "abandoned")
DECISIONS = ("approved", *FINAL_AND_NEGATIVE)
BUILD_FAILURES = ("rejected", "refused", "expired", "superseded")


class NotReleased(GateError):  # noqa: N818
    """An approved job that is not let through after all; the message says why."""


class TooLate(NotReleased):
    """The job has too little of its own timeout left to be let through."""


class Interrupted(NotReleased):
    """The runner ended the wait between the decision and the release; the next attempt finishes it."""


def decide(
    request: Request,
    decision: Outcome,
    why: str,
    *,
    rule: str,
    config: str,
    votes: list[KeptVote] | None = None,
    backend: Backend | None = None,
) -> Decision:
    """Write the decision, unless there is one; returns the one that stands.

    Args:
        request: what is decided.
        decision: one of the outcomes in architecture "Words".
        why: in words.
        rule: the rule's name, "" where there is none.
        config: gate.yaml's SHA-256.
        votes: those that made it so, the one that tipped it last.
        backend: how the job is to run, where it is approved.

    Raises:
        StateError: it could not be written or read back.
    """
    vote = votes[-1] if votes else None
    by = {"person": vote["person"], "via": vote["via"], "uid": vote["uid"]} if vote else None
    write_json_once(
        request.directory,
        "decision.json",
        {
            "v": 1,
            "key": request.key,
            "decision": decision,
            "why": why,
            "by": by,
            "comment": vote["comment"] if vote else "",
            "votes": [[counted["person"], counted["comment"]] for counted in votes or []],
            "backend": backend,
            "rule": rule,
            "config": config,
            "wall_s": time.time(),
            "boottime_ms": boottime_ms(),
        },
    )
    standing = request.file("decision.json")
    if standing is None:
        raise StateError(f"{request.directory}/decision.json has gone; look who removed it")
    return standing


def record_decided(request: Request, decision: Decision) -> Head:
    """The `decided` record of a decision.

    Raises:
        AuditError: it is not durably in the log.
    """
    by = {"by": decision["by"]} if decision["by"] else {}
    fields = {name: decision[name] for name in ("decision", "comment", "why", "rule", "config")}
    return request.record("decided", **fields, **by)


def release(request: Request, decision: Decision, plan: Plan, interrupted: Callable[[], bool]) -> Head:
    """Let an approved job through: its records first, durably, then release.json.

    Raises:
        NotReleased: the wait has ended, or too little of the job's timeout is left.
        AuditError, StateError: something could not be made durable; nothing is released.
    """
    already = request.file("release.json")
    if already is None:
        request.check_log()
    decided = record_decided(request, decision)
    if already is None and interrupted():
        raise Interrupted("approved, but the runner ended the wait before the job was let through")
    left_ms = request.opened["start_by_boottime_ms"] - boottime_ms()
    if already is None and left_ms < 0:
        raise TooLate("approved, but too little of the job's timeout is left to run it; run the job again")
    backend = decision["backend"]
    assert backend is not None  # noqa: S101  who approves, says how it is to run
    same_user = {"same_user": True} if backend["allow_same_user"] else {}
    head = request.record("released", rule=decision["rule"], **same_user)
    content = {
        "v": 1,
        "key": request.key,
        "response_sha256": request.opened["response_sha256"],
        "backend": backend,
        "environment": _told_to_the_job(decision, decided),
        "work_dir": plan["work_dir"],
        "cache_dir": layout.cache_dir(plan["policy"], backend, request.facts),
        "boot_id": request.opened["boot_id"],
        "released_boottime_ms": boottime_ms(),
        "head": [head.seq, head.sha256],
    }
    write_json_once(request.directory, "release.json", content)
    return head


def _told_to_the_job(decision: Decision, decided: Head) -> dict[str, str]:
    """What the job's script finds in its environment: who approved it, what they said, and the record of that."""
    return {
        "GATE_APPROVED_BY": ",".join(person for person, _comment in decision["votes"]),
        "GATE_COMMENT": "\n".join(f"{person}: {comment}" for person, comment in decision["votes"] if comment),
        "GATE_DECISION_ID": f"{decided.seq}:{decided.sha256}",
    }


def finish(request: Request, policy: Policy, decision: Decision, why: str) -> None:
    """End a request by its decision, once durable, recorded and notified: prepare may have been killed before each.

    Raises:
        AuditError, StateError: something could not be made durable; done again by the next sweep.
    """
    request.make_durable()
    record_decided(request, decision)
    on_event.decided(request, policy, decision)
    end(request, why)


def end(request: Request, why: str) -> None:
    """Record the end of a request and mark it, once.

    Raises:
        AuditError, StateError: it could not be made durable; done again by the next sweep.
    """
    if request.has("ended.json"):
        return
    request.record("ended", why=why)
    content = {"v": 1, "key": request.key, "why": why, "wall_s": time.time()}
    write_json_once(request.directory, "ended.json", content)


def outcome_words(decision: Told) -> str:
    """A decision in one line, not escaped: `rejected by alice: "not today"`, `approved: 1 of 1 from ops: bob`."""
    word, why = decision["decision"], decision["why"]
    return (why if why.startswith(word) else f"{word}: {why}") + (
        f': "{decision["comment"]}"' if decision["by"] and decision["comment"] else ""
    )


def left_words(request: Request) -> str:
    """How long an approved job may still run, by the job's own timeout."""
    spent_ms = boottime_ms() - request.opened["opened_boottime_ms"]
    left_s = request.facts["timeout_s"] - spent_ms / 1000
    return f"{duration(left_s)} of its {duration(request.facts['timeout_s'])} are left for it to run"
