"""Which rule a job gets: the first that matches, and what is unknown never loosens. Pure.

Each criterion of a rule is true, false or unknown:

- A rule with a false criterion does not match; the search goes on.
- A rule with none false and one unknown ends the search: the job is refused there, since the rule might have matched.
- A rule whose criteria are all true is the job's rule. Where no rule is left, the job is refused.
- A criterion with a pattern that nothing in GitLab can be (`ref: "/^main$/"`) is unknown where no other pattern of it
  holds.

The environment stands only in variables, which a job's author can add. Where its occurrences would choose different
rules, the job is refused; no occurrence at all means that the job has no environment, and the criterion is false.

The words that come out quote what a job's author wrote as it is: the code that shows them escapes them
(gate.model.words.shown).
"""

from __future__ import annotations

import re

from gate.model.code_variables import denied
from gate.model.words import listed
from gate.named_tuple import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from gate.shapes import Backend, Criterion, FactName, Facts, Policy, Rule

# criterion -> the fact that it looks at. Project and instance are the same whatever the case of their letters.
FACTS: dict[str, FactName] = {
    "project": "path",
    "ref": "ref",
    "protected": "protected",
    "job": "name",
    "stage": "stage",
    "environment": "environment",
    "instance": "instance",
    "runner": "runner",
}
_CASELESS = ("project", "instance")
_UNKNOWN = (None, "")  # the runner writes a field that GitLab did not send as its type's zero value


class Choice(NamedTuple):
    """A job's rule, or None and why it is refused."""

    rule: Rule | None
    why: str


def choose(policy: Policy, facts: Facts) -> Choice:
    """The rule for a job with these facts."""
    claims = facts["environments"]
    choices = [_first(policy, facts | {"environment": claim}) for claim in claims] or [
        _first(policy, facts | {"environment": None})
    ]
    if all(choice.rule == choices[0].rule for choice in choices):
        return choices[0]
    names = listed(claims, "and")
    return Choice(None, f"its variables claim the environments {names}, for which there are different rules")


def current(policy: Policy, facts: Facts) -> Rule | None:
    """The rule that a job with these facts goes by now: the first that matches, whatever it is called.

    None: none does.
    """
    return choose(policy, facts).rule


def criteria(rule: Rule, facts: Facts) -> dict[str, bool | None]:
    """Each criterion of a rule for a job: true, false, or None where the fact is unknown."""
    never = rule.get("never", {})
    judged = {name: _holds(name, wanted, facts) for name, wanted in rule["match"].items()}
    return {name: None if holds is False and name in never else holds for name, holds in judged.items()}


def barred(backend: Backend, rule: Rule | None, facts: Facts) -> str:
    """Why a job is refused before anybody is asked, whatever rule it has, or ""."""
    return (
        own_names(facts)
        or listed(facts.get("doubts", []), "and")
        or (_denied(rule, facts) if rule else "")
        or _image(backend, facts)
    )


def _denied(rule: Rule, facts: Facts) -> str:
    deny = rule.get("deny", [])  # a policy of an older gate has none
    if not deny:
        return ""
    if "variables" not in facts:
        return (
            f"rule {rule['name']!r} denies variables, and this job was opened by a gate that did not look "
            "at their names"
        )
    names = denied(facts["variables"], deny)
    return f"rule {rule['name']!r} denies jobs that set {listed(names, 'and')}" if names else ""


def _image(backend: Backend, facts: Facts) -> str:
    asked = images_words(facts)
    if not asked or backend.get("image", "warn") != "refuse":
        return ""
    return f"it asks for {asked}, and this gate runs scripts in the host's own shell (backend.image is refuse)"


def images_words(facts: Facts) -> str:
    """The image and the services that a job asks for, in words, or ""."""
    image, services = facts.get("image"), facts.get("services", [])
    parts = [f"the image {image}"] if image else []
    if services:
        parts.append(f"the service{'s' if len(services) > 1 else ''} {listed(services, 'and')}")
    return listed(parts, "and")


def own_names(facts: Facts) -> str:
    """Why a job that sets GATE_* variables is refused, or "": in its script its own would win over the gate's."""
    names = facts["gate_variables"]
    return f"it sets {listed(names, 'and')} itself, and such names are the gate's to set" if names else ""


def glob(pattern: str) -> re.Pattern[str]:
    """A glob as a regular expression: `*` stays within a path segment, `**` does not, `?` is any character but `/`."""
    pieces = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.findall(r"\*\*|\*|\?|[^*?]+", pattern)
    return re.compile("".join(pieces.get(part, re.escape(part)) for part in parts), re.DOTALL)


def _first(policy: Policy, facts: Facts) -> Choice:
    for rule in policy["rules"]:
        judged = criteria(rule, facts)
        if False in judged.values():
            continue
        unknown = [name for name, holds in judged.items() if holds is None]
        if unknown:
            what = listed([rule.get("never", {}).get(name) or _missing(name, facts) for name in unknown], "and")
            return Choice(None, f"rule {rule['name']!r} may be meant for it, but {what}")
        return Choice(rule, "")
    return Choice(None, f"no rule is for it: {facts_words(facts)}")


def facts_words(facts: Facts) -> str:
    """The facts that rules look at, in words."""
    pairs = ((name, facts[fact]) for name, fact in FACTS.items())
    return ", ".join(f"{name} {_value_words(value)}" for name, value in pairs)


def _value_words(value: object) -> str:
    if value in _UNKNOWN:
        return "none or unknown"
    return ("no", "yes")[value] if isinstance(value, bool) else str(value)


def _missing(name: str, facts: Facts) -> str:
    if name == "environment":
        return f"the environment {facts['environment']} is not spelled out"
    what = "whether its ref is protected" if name == "protected" else f"its {name}"
    return f"the job response does not tell {what}"


def _holds(name: str, wanted: Criterion, facts: Facts) -> bool | None:
    value: Any = facts[FACTS[name]]  # text, a number or a truth, as the criterion
    if name == "environment" and value is None:
        return False
    if value in _UNKNOWN or (name == "environment" and "$" in value):  # a variable in it that is not expanded yet
        return None
    if name == "protected":
        return bool(value == wanted)
    if name == "runner":
        return value in wanted
    fold = str.casefold if name in _CASELESS else str
    return any(glob(fold(pattern)).fullmatch(fold(value)) for pattern in wanted)
