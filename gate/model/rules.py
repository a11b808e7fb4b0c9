"""The decision, as pure functions: no I/O, no clock, no environment.

Rules, enforced in this order by `weigh`:

- Only votes of people whom the rule lets answer count, by gate.yaml as it is now; each person's latest vote is theirs.
- Enough rejections decide, before any approval. The person who triggered the job may reject it, too.
- Past the deadline the request is expired; an approval that is weighed late does not count.
- An approval counts unless its person triggered the job and the rule does not allow that.
- A rule has as many places as the sum of its counts, and one person fills one: the place where they help most. When all
  places are filled, the job is approved. Anything else leaves the request open.
"""

from __future__ import annotations

from gate.model.seating import fill
from gate.model.words import NOUNS, duration, listed
from gate.named_tuple import Generic, NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from gate.shapes import Answer, AnyVote, Asking, Backend, Entry, Facts, HowToRun, Policy, Rule, Vote, Weighed
else:
    AnyVote = None

PREPARE_MARGIN_S = 15  # what prepare keeps of its own timeout, to decide, write and exit before the runner ends it
MIN_PREPARE_TIMEOUT_S = PREPARE_MARGIN_S + 1
RESERVE_MAX_S = 600


class Verdict(NamedTuple, Generic[AnyVote]):
    """What the votes come to: state is open, approved, rejected or expired; `counted` are the votes that made it so."""

    state: Weighed
    why: str
    counted: list[AnyVote]


class Deadline(NamedTuple):
    """When a request expires, what sets that, and the last moment to let a job through (ms since boot)."""

    at_ms: int
    set_by: str
    start_by_ms: int
    shortened: bool


def weigh(
    rule: Rule,
    policy: Policy,
    facts: Facts,
    votes: list[AnyVote],
    now_ms: int,
    deadline_ms: int,
) -> Verdict[AnyVote]:
    """Weigh `votes` (oldest first) on a request, at `now_ms` of the clock that `deadline_ms` is on."""
    counting = those_that_count(rule, policy, facts, votes)
    rejections = [vote for vote in counting if vote["answer"] == "reject"]
    if len(rejections) >= rule["rejections"]:
        return Verdict("rejected", f"rejected by {_names(rejections)}", rejections)
    approvals = [vote for vote in counting if vote["answer"] == "approve"]
    filled = fill(rule["approvals"], [vote["person"] for vote in approvals])
    why = _progress(rule, filled, rejections)
    if now_ms >= deadline_ms:
        return Verdict("expired", f"{why} when the time was up", [])
    if all(len(people) == entry["count"] for entry, people in zip(rule["approvals"], filled, strict=True)):
        placed = [person for people in filled for person in people]
        counted = [vote for vote in approvals if vote["person"] in placed]
        return Verdict("approved", why, counted)
    return Verdict("open", why, [])


def those_that_count(rule: Rule, policy: Policy, facts: Facts, votes: list[AnyVote]) -> list[AnyVote]:
    """Each person's latest vote, oldest first, of those that the rule lets answer so."""
    return [
        vote
        for vote in latest(votes)
        if may_answer(vote["person"], vote["answer"], vote["comment"], rule, policy, facts) is None
    ]


def may_answer(person: str, answer: Answer, comment: str, rule: Rule, policy: Policy, facts: Facts) -> str | None:
    """Why an answer of `person` would not count, or None where it would."""
    why = may_approve(person, rule, policy, facts) if answer == "approve" else may_reject(person, rule, policy, facts)
    if why is None and rule["comment"][answer] == "required" and not comment:
        return f"rule {rule['name']!r} wants a comment with each {NOUNS[answer]}"
    return why


def may_approve(person: str, rule: Rule, policy: Policy, facts: Facts) -> str | None:
    """Why an approval of `person` would not count, or None where it would."""
    if person not in people_of(rule):
        return f"{person} is not on the list of rule {rule['name']!r}"
    if not rule["self_approval"] and triggered(person, policy, facts):
        return f"{person} triggered this job, and rule {rule['name']!r} allows no self-approval"
    if not rule["self_approval"] and not _triggerer_known(person, policy, facts):
        return f"the job response does not tell whether {person} triggered this job; add their GitLab id to gate.yaml"
    return None


def may_reject(person: str, rule: Rule, policy: Policy, facts: Facts) -> str | None:
    """Why a rejection of `person` would not count, or None where it would."""
    if person in people_of(rule) or (person in policy["people"] and triggered(person, policy, facts)):
        return None
    return f"{person} is not on the list of rule {rule['name']!r}"


def triggered(person: str, policy: Policy, facts: Facts) -> bool:
    """Whether `person` matches any occurrence, true or forged, of the user who triggered the job.

    The true one cannot be removed by the job's author, only added to (architecture, invariant 6); case is folded.
    """
    known = policy["people"].get(person)
    if known is None:
        return True
    by = facts["triggered_by"]
    names = {name.casefold() for name in [*by["names"], *(email.partition("@")[0] for email in by["emails"])]}
    own = {name.casefold() for name in [person, known["unix"] or person, *known["gitlab_names"]]}
    return bool(names & own or set(by["ids"]) & set(known["gitlab_ids"]))


def people_of(rule: Asking) -> list[str]:
    """Everybody on any of a rule's lists, once."""
    return list(dict.fromkeys(person for entry in rule["approvals"] for person in entry["people"]))


def concerned(rule: Rule, policy: Policy, facts: Facts) -> list[str]:
    """Whose answers can count: everybody on any of a rule's lists, and who triggered the job.

    No others are looked at.
    """
    listed_people = people_of(rule)
    return [person for person in policy["people"] if person in listed_people or triggered(person, policy, facts)]


def named(policy: Policy, name: str) -> Rule | None:
    """The rule of that name, or None."""
    return next((rule for rule in policy["rules"] if rule["name"] == name), None)


def backend_of(policy: Policy, rule: Rule | None) -> Backend:
    """How a job of that rule runs: as the backend says, but for the user, home and limits that the rule names.

    The backend's home, and the keys in it, are its own user's: a rule with another user does not get them.
    """
    own: HowToRun = rule or {}
    user, home = own.get("run_as"), own.get("named_home")
    shared = None if user else policy["backend"].get("named_home")
    limits = policy["backend"].get("limits", {}) | own.get("limits", {})
    backend: Backend = {**policy["backend"], **user} if user else policy["backend"]
    return {**backend, "named_home": home or shared, "limits": limits}


def deadline(rule: Rule, opened_ms: int, prepare_timeout_s: int, job_timeout_s: int) -> Deadline:
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


def reserve(rule: Rule, job_timeout_s: int) -> int:
    """Seconds of the job's timeout kept for running: the rule's, or the lesser of 10 min and half the timeout."""
    if rule["reserve_s"] is not None:
        return int(rule["reserve_s"])
    return int(min(RESERVE_MAX_S, job_timeout_s // 2))


def wanted_words(rule: Rule) -> str:
    """What a rule asks for: `1 of release-managers (alice, bob) and 1 of carol`."""
    return listed([_entry_words(entry) for entry in rule["approvals"]], "and")


def _entry_words(entry: Entry) -> str:
    people = f" ({', '.join(entry['people'])})" if entry["people"] != entry["of"] else ""
    return f"{entry['count']} of {listed(entry['of'])}{people}"


def latest(votes: list[AnyVote]) -> list[AnyVote]:
    """Each person's latest vote, oldest first."""
    return [vote for n, vote in enumerate(votes) if vote["person"] not in {later["person"] for later in votes[n + 1 :]}]


def _triggerer_known(person: str, policy: Policy, facts: Facts) -> bool:
    """What is unknown never loosens (architecture, invariant 14): comparing takes a login, or an id on both sides."""
    by, known = facts["triggered_by"], policy["people"].get(person)
    return bool(by["names"] or (by["ids"] and known and known["gitlab_ids"]))


def _progress(rule: Rule, filled: list[list[str]], rejections: Sequence[Vote]) -> str:
    """How far the approvals go: `1 of 2 from release-managers: alice; 0 of 1 from security`."""
    parts = [_entry_progress(entry, people) for entry, people in zip(rule["approvals"], filled, strict=True)]
    if rejections:
        parts.append(f"{len(rejections)} of {rule['rejections']} rejections: {_names(rejections)}")
    return "; ".join(parts)


def _entry_progress(entry: Entry, people: list[str]) -> str:
    names = f": {', '.join(people)}" if people else ""
    source = "" if people and entry["of"] == entry["people"] else f" from {listed(entry['of'])}"
    return f"{len(people)} of {entry['count']}{source}{names}"


def _names(votes: Sequence[Vote]) -> str:
    return listed([vote["person"] for vote in votes], "and")
