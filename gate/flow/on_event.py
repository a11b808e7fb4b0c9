"""The notices that `on_event` gets of a request: it waits, it still waits, it is decided (docs/how-to/notices.md).

- A notice holds what an allow-list names: the fields below, and nothing else of the job, the plan or the environment.
- Each is sent once, in whatever attempt: `notice.<name>` is linked in beside the request before the command is started.
  A crash in between loses a notice; none is sent twice.
- Sending never raises. A notice that cannot be sent leaves a `notice-failed` record, or nothing where that fails, too.
"""

from __future__ import annotations

import time
from contextlib import suppress

from gate.clock import boottime_ms, utc_iso
from gate.model import matching, rules
from gate.model.words import shown
from gate.store.files import write_once
from gate.store.request import fit, is_open, record_of, url_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gate.shapes import About, Decision, Policy, Rule
    from gate.store.request import Request

MESSAGE_VERSION = 1


def opened(request: Request, policy: Policy) -> None:
    """Tell that a request waits."""
    _tell(request, policy, "opened", "opened", {})


def decided(request: Request, policy: Policy, decision: Decision, why: str | None = None) -> None:
    """Notify of a decision that is in the audit log; `why` where it came to something else than the decision says."""
    _tell(request, policy, "decided", "decided", {"decision": decision, "why": why})


def remind(request: Request, policy: Policy, deadline_ms: int, progress: str) -> int:
    """Tell that a request still waits, if that is due and it does.

    Returns the boottime of the next reminder, 0 for none.
    """
    rule, now_ms = _rule(request, policy), boottime_ms()
    if rule is None:
        return 0
    number, next_ms = reminders(rule, request.opened["opened_boottime_ms"], deadline_ms, now_ms)
    if number and now_ms < deadline_ms and is_open(request):
        about: About = {"deadline_ms": deadline_ms, "progress": progress, "reminder": number}
        _tell(request, policy, f"reminder.{number}", "reminder", about)
    return next_ms


def remind_at_ms(request: Request, policy: Policy, deadline_ms: int) -> int:
    """When to remind next, as boottime; not later than now where one is due that was never sent; 0 for never."""
    rule, now_ms = _rule(request, policy), boottime_ms()
    if rule is None or not policy.get("on_event"):
        return 0
    number, next_ms = reminders(rule, request.opened["opened_boottime_ms"], deadline_ms, now_ms)
    return now_ms if number and not request.has(f"notice.reminder.{number}") else next_ms


def reminders(rule: Rule, opened_ms: int, deadline_ms: int, now_ms: int) -> tuple[int, int]:
    """(number of the latest reminder whose time has come, boottime of the next one), 0 where there is none. Pure."""
    every_s = rule.get("remind_every_s")
    if every_s == 0:
        return 0, 0
    if every_s is None:
        half_ms = (opened_ms + deadline_ms) // 2
        return (1, 0) if now_ms >= half_ms else (0, half_ms)
    number = (now_ms - opened_ms) // (every_s * 1000)
    next_ms = opened_ms + (number + 1) * every_s * 1000
    return number, next_ms if next_ms < deadline_ms else 0


def _rule(request: Request, policy: Policy) -> Rule | None:
    return matching.current(policy, request.facts) if request.opened["rule"] else None  # refused at once: it has none


def _tell(request: Request, policy: Policy, name: str, event: str, about: About) -> None:
    command = policy.get("on_event")
    if not command:
        return
    try:
        if request.has(f"notice.{name}"):
            return
        from gate.flow import detached

        content = message(request, policy, event, about)
        detached.detach(lambda: _deliver(request, name, command, content))
    except Exception as error:  # noqa: BLE001  neither a wait nor a decision ends by a notice
        _record_failure(request, name, command, _fault(error))


def _deliver(request: Request, name: str, command: list[str], content: bytes) -> None:
    """The courier's work. The marker is made here, so that no decision waits for the disk on its account."""
    from gate.flow import detached

    try:
        if not write_once(request.directory, f"notice.{name}", b""):
            return
        why = detached.run(command, content)
    except Exception as error:  # noqa: BLE001  the notice is the last that could report it
        why = _fault(error)
    if why:
        _record_failure(request, name, command, why)


def _record_failure(request: Request, name: str, command: list[str], why: str) -> None:
    with suppress(Exception):
        request.record("notice-failed", "notice", notice=name, command=fit(command[0]), why=why)


def _fault(error: Exception) -> str:
    return f"cannot be told: {shown(getattr(error, 'strerror', None) or error)}"


def message(request: Request, policy: Policy, event: str, about: About) -> bytes:
    """One line of ASCII JSON, what the command reads on its stdin."""
    import json

    rule = _rule(request, policy)
    fields = {
        "v": MESSAGE_VERSION,
        "event": event,
        "site": policy["site"],
        "request": request.key,
        "url": url_of(policy, request.key),
        "rehearsal": bool(request.facts.get("rehearsal")),
        "job": record_of(request.facts),
        "rule": rule["name"] if rule else request.opened["rule"],
        "asks": rules.wanted_words(rule) if rule else "",
        "digest": request.opened["digest"],
    }
    fields |= _times(request, about)
    fields |= {key: about[key] for key in ("progress", "reminder") if key in about}
    if "decision" in about:
        fields |= _outcome(about["decision"], about["why"])
    return json.dumps(fields, sort_keys=True).encode("ascii") + b"\n"


def _times(request: Request, about: About) -> dict[str, object]:
    """In wall time, for people; what has passed by the clock that cannot be set, unless that has started again."""
    opened_ms, opened_s = request.opened["opened_boottime_ms"], request.opened["opened_wall_s"]
    within_s = (about.get("deadline_ms", request.opened["deadline_boottime_ms"]) - opened_ms) / 1000
    now_ms, now_s = boottime_ms(), time.time()
    if "decision" in about:
        now_ms, now_s = about["decision"]["boottime_ms"], about["decision"]["wall_s"]
    waited_s = (now_ms - opened_ms) / 1000 if request.of_this_boot else now_s - opened_s
    return {
        "opened": utc_iso(opened_s),
        "until": utc_iso(opened_s + within_s),
        "waited_s": max(int(waited_s), 0),
        "left_s": max(int(within_s - waited_s), 0),
    }


def _outcome(decision: Decision, why: str | None) -> dict[str, object]:
    by = decision["by"]
    return {
        "decision": decision["decision"],
        "why": why or decision["why"],
        "by": {"person": by["person"], "via": by["via"]} if by else None,
        "comment": decision["comment"],
        "votes": [{"person": person, "comment": comment} for person, comment in decision["votes"]],
    }
