"""The decision, as pure functions: no I/O, no clock, no environment.

Rules, enforced in this order by `weigh`:

- Only votes of people on the rule's list count, by gate.yaml as it is now; each person's latest vote is theirs.
- A rejection of anybody on the list decides, also of the one who triggered the job.
- Past the deadline the request is expired; an approval that is weighed late does not count.
- An approval counts unless its person triggered the job and the rule does not allow that.
- Enough approvals decide. Anything else leaves the request open.
"""

from __future__ import annotations

from gate.words import duration, listed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NamedTuple

    class Verdict(NamedTuple):
        """What the votes come to: state is open, approved, rejected or expired."""

        state: str
        why: str
        by: dict[str, Any] | None

    class Deadline(NamedTuple):
        """When a request expires, what sets that, and the last moment to let a job through (ms since boot)."""

        at_ms: int
        set_by: str
        start_by_ms: int
        shortened: bool
else:
    from collections import namedtuple

    Verdict = namedtuple("Verdict", "state why by")  # noqa: PYI024
    Deadline = namedtuple("Deadline", "at_ms set_by start_by_ms shortened")  # noqa: PYI024

PREPARE_MARGIN_S = 15  # what prepare keeps of its own timeout, to decide, write and exit before the runner ends it
MIN_PREPARE_TIMEOUT_S = PREPARE_MARGIN_S + 1
RESERVE_MAX_S = 600


def weigh(rule: dict[str, Any], policy: dict[str, Any], facts: dict[str, Any], votes: list[dict[str, Any]],
          now_ms: int, deadline_ms: int) -> Verdict:  # fmt: skip
    """Weigh `votes` (oldest first) on a request, at `now_ms` of the clock that `deadline_ms` is on."""
    wanted = rule["approvals"][0]
    latest = {vote["person"]: vote for vote in votes if vote["person"] in wanted["people"]}
    for person, vote in latest.items():
        if vote["answer"] == "reject":
            return Verdict("rejected", f"rejected by {person}", vote)
    if now_ms >= deadline_ms:
        return Verdict("expired", f"{_progress(rule, policy, facts, latest)} when the time was up", None)
    counted = _counted(rule, policy, facts, latest)
    why = _progress(rule, policy, facts, latest)
    if len(counted) >= wanted["count"]:
        return Verdict("approved", why, counted[wanted["count"] - 1])
    return Verdict("open", why, None)


def may_approve(person: str, rule: dict[str, Any], policy: dict[str, Any], facts: dict[str, Any]) -> str | None:
    """Why an approval of `person` would not count, or None where it would."""
    if person not in rule["approvals"][0]["people"]:
        return f"{person} is not on the list of rule {rule['name']!r}"
    if not rule["self_approval"] and not _triggerer_known(person, policy, facts):
        return f"the job response does not tell whether {person} triggered this job; add their GitLab id to gate.yaml"
    if not rule["self_approval"] and triggered(person, policy, facts):
        return f"{person} triggered this job, and rule {rule['name']!r} allows no self-approval"
    return None


def may_reject(person: str, rule: dict[str, Any]) -> str | None:
    """Why a rejection of `person` would not count, or None where it would."""
    if person not in rule["approvals"][0]["people"]:
        return f"{person} is not on the list of rule {rule['name']!r}"
    return None


def triggered(person: str, policy: dict[str, Any], facts: dict[str, Any]) -> bool:
    """Whether `person` matches any occurrence, true or forged, of the user who triggered the job.

    The true one cannot be removed by the job's author, only added to (DESIGN rule 6); case is folded.
    """
    known = policy["people"].get(person)
    if known is None:
        return True
    by = facts["triggered_by"]
    names = {name.casefold() for name in [*by["names"], *(email.partition("@")[0] for email in by["emails"])]}
    own = {name.casefold() for name in [person, known["unix"] or person, *known["gitlab_names"]]}
    return bool(names & own or set(by["ids"]) & set(known["gitlab_ids"]))


def _triggerer_known(person: str, policy: dict[str, Any], facts: dict[str, Any]) -> bool:
    """What is unknown never loosens (DESIGN rule 12): there must be a login, or an id on both sides, to compare."""
    by, known = facts["triggered_by"], policy["people"].get(person)
    return bool(by["names"] or (by["ids"] and known and known["gitlab_ids"]))


def pick_rule(policy: dict[str, Any]) -> dict[str, Any] | None:
    """The rule for a job: the first that matches. For now `match: {}`, all jobs, is the only form."""
    return next(iter(policy["rules"]), None)


def deadline(rule: dict[str, Any], opened_ms: int, prepare_timeout_s: int, job_timeout_s: int) -> Deadline:
    """One effective deadline out of three clocks: the rule's, the prepare stage's, and the job's own."""
    reserve_s = reserve(rule, job_timeout_s)
    limits = (
        (rule["decide_within_s"], f"decide_within of rule {rule['name']!r}"),
        (prepare_timeout_s - PREPARE_MARGIN_S, f"--prepare-timeout {prepare_timeout_s} less {PREPARE_MARGIN_S}s"),
        (
            job_timeout_s - reserve_s,
            f"the job's timeout of {duration(job_timeout_s)} less {duration(reserve_s)} to run in",
        ),
    )
    within_s, set_by = min(limits, key=lambda limit: limit[0])
    start_by_ms = opened_ms + (job_timeout_s - reserve_s) * 1000
    return Deadline(opened_ms + max(within_s, 0) * 1000, set_by, start_by_ms, within_s < rule["decide_within_s"])


def reserve(rule: dict[str, Any], job_timeout_s: int) -> int:
    """Seconds of the job's timeout kept for running: the rule's, else the lesser of 10 min and half the timeout."""
    if rule["reserve_s"] is not None:
        return int(rule["reserve_s"])
    return int(min(RESERVE_MAX_S, job_timeout_s // 2))


def wanted_words(rule: dict[str, Any]) -> str:
    """What a rule asks for: `1 of release-managers (alice, bob)`."""
    wanted = rule["approvals"][0]
    people = f" ({', '.join(wanted['people'])})" if wanted["people"] != wanted["of"] else ""
    return f"{wanted['count']} of {listed(wanted['of'])}{people}"


def _counted(rule: dict[str, Any], policy: dict[str, Any], facts: dict[str, Any],
             latest: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:  # fmt: skip
    return [vote for person, vote in latest.items() if may_approve(person, rule, policy, facts) is None]


def _progress(rule: dict[str, Any], policy: dict[str, Any], facts: dict[str, Any],
              latest: dict[str, dict[str, Any]]) -> str:  # fmt: skip
    wanted = rule["approvals"][0]
    people = [vote["person"] for vote in _counted(rule, policy, facts, latest)]
    names = f": {', '.join(people)}" if people else ""
    source = "" if people and wanted["of"] == wanted["people"] else f" from {listed(wanted['of'])}"
    return f"{len(people)} of {wanted['count']}{source}{names}"
