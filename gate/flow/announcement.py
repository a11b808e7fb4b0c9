"""What the job log says when a job starts to wait: what is asked, of whom, how to answer, and until when."""

from __future__ import annotations

import math
import os
import shlex

from gate import DEFAULT_CONFIG
from gate.clock import boottime_ms, utc_text
from gate.model import dangers, rules
from gate.model.content_lines import LOG_MAX_CHARACTERS, variable_lines
from gate.model.facts import is_rehearsal, triggerer
from gate.model.words import duration, listed, shown
from gate.store import layout
from gate.store.request import url_of
from gate.votes import signed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gate.shapes import Beside, Facts, Plan, Policy, Rule
    from gate.store.request import Request

SHORT_SHA = 8
WARNING_MAX_CHARACTERS = 2000
SHORT_DIGEST = 16


def lines_of(request: Request, plan: Plan, rule: Rule, config_file: str, *, resumed: bool) -> list[str]:
    """The lines, without the audit head."""
    policy = plan["policy"]
    first = "this job waits for an approval; nothing of it has run yet"
    if resumed:
        first = "this job still waits for the approval that it asked for before; nothing of it has run yet"
    content: Beside = request.content() or {}
    lines = [
        *_rehearsal(request.facts),
        first,
        *(f"warning: {shown(image, WARNING_MAX_CHARACTERS)}" for image in dangers.images(request.facts)),
        f"  job       {job_words(request.facts)}",
        *_environment(request.facts),
        f"  rule      {shown(rule['name'])}: {rules.wanted_words(rule)}",
        *_page(request, policy),
        *_commands(request, policy, config_file),
        f"  or drop   {_drop_words(request)}",
        *signed.lines_for(request, policy, rule),
        f"  until     {_until(request)}",
        f"  digest    {request.opened['digest'][:SHORT_DIGEST]} (of all that this job would run)",
        *(f"  {line}" for line in variable_lines(content, LOG_MAX_CHARACTERS)),
    ]
    return lines + [f"warning: {warning}" for warning in [*_dangers(request, content), *_warnings(request, plan, rule)]]


def _dangers(request: Request, content: Beside) -> list[str]:
    """All but that of the image, which is said first."""
    facts = request.facts
    found = [*dangers.variables(facts), *dangers.unknown(content), *dangers.claims(facts)]
    return [shown(each, WARNING_MAX_CHARACTERS) for each in found]


def job_words(facts: Facts) -> str:
    """One job, in one line: `deploy #1001 (stage deploy) of shop/app, main at 01234567, triggered by dev`."""
    ref = f"{shown(facts['ref'])} at {shown(facts['sha'][:SHORT_SHA])}"
    kind = "rehearsal of " if is_rehearsal(facts) else ""
    return (
        f"{kind}{shown(facts['name'])} #{facts['job_id']} (stage {shown(facts['stage'])}) of "
        f"{shown(facts['path'])}, {ref},"
        f" triggered by {shown(triggerer(facts))}"
    )


def _rehearsal(facts: Facts) -> list[str]:
    return (
        ["this is a rehearsal: `gate rehearse` plays the runner, and GitLab knows nothing of it"]
        if is_rehearsal(facts)
        else []
    )


def _environment(facts: Facts) -> list[str]:
    claims = listed([shown(claim) for claim in facts["environments"]], "and")
    return [f"  claims    environment {claims} (the job says so; GitLab was not asked)"] if claims else []


def _page(request: Request, policy: Policy) -> list[str]:
    url = url_of(policy, request.key)
    return [f"  page      {url}"] if url else []


def _commands(request: Request, policy: Policy, config_file: str) -> list[str]:
    gate = "gate" if config_file == DEFAULT_CONFIG else f"gate --config {shlex.quote(config_file)}"
    job = request.facts["job_id"]
    return [
        f"  approve   {gate} approve {job}   (on {policy['site']})",
        f'  reject    {gate} reject {job} -m "why"',
    ]


def _drop_words(request: Request) -> str:
    path = os.path.join(layout.drops(request.state_dir), "<you>", str(request.facts["job_id"]))
    return f"a file {path}.approve or .reject with your comment in it, or just ok; an empty approval does not count"


def _until(request: Request) -> str:
    opened, deadline_ms = request.opened, request.opened["deadline_boottime_ms"]
    # From the wall time of the opening, so that every attempt names the same moment.
    until_s = opened["opened_wall_s"] + (deadline_ms - opened["opened_boottime_ms"]) / 1000
    left_s = math.ceil((deadline_ms - boottime_ms()) / 1000)
    return f"{utc_text(until_s)}, in {duration(left_s)}, set by {opened['deadline_set_by']}"


def _asides(policy: Policy) -> list[str]:
    """What is off for want of something on this host, but for the users of other rules' jobs."""
    return [aside["message"] for aside in policy.get("asides", []) if aside["of"] != "rules"]


def _warnings(request: Request, plan: Plan, rule: Rule) -> list[str]:
    policy, facts = plan["policy"], request.facts
    found = [
        *plan["drop_warnings"],
        *_asides(policy),
        *dangers.host(plan.get("needs", []), rules.backend_of(policy, rule)),
    ]  # a plan of an older version has no needs
    if request.opened["deadline_shortened"]:
        found.append(
            f"that is less than the {duration(rule['decide_within_s'])} that rule {rule['name']!r} gives to decide"
        )
    if policy["backend"]["allow_same_user"]:
        found.append(
            "allow_same_user is on: jobs run as the gate's own user and could approve themselves; for trying out only"
        )
    barred = [rules.may_approve(person, rule, policy, facts) for person in rules.people_of(rule)]
    return found + [why for why in barred if why]
