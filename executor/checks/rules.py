"""What each rule asks for: people who can answer, jobs that there can be, no looser rule for nearly the same jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config import patterns
from config.seating import Entry, shortage
from executor.checks.editor import in_editor
from executor.checks.finding import Finding, fail, ok, warn
from executor.checks.ways import ways_in
from gate.model.code_variables import ALL
from gate.model.looser import looser
from gate.model.rules import people_of, wanted_words
from gate.model.words import listed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from executor.checks.context import Context
    from gate.model.looser import Looser
    from gate.shapes import Rule


def find(context: Context) -> Iterator[Finding]:
    """See the module."""
    editor = in_editor(context.gate_yaml.path)
    for rule in context.policy["rules"]:
        faults = [fail(message, editor) for message in (*_never(rule), *_out_of_reach(rule, context))]
        yield from faults or [ok(f"{rule['name']}: {wanted_words(rule)}")]
        yield from (warn(f"rule {rule['name']!r}: {message}", editor) for message in _odd(rule))
    yield from (warn(_words(each), editor) for each in looser(context.policy))
    yield from (warn(message, editor) for message in _denies_nothing(context.policy["rules"]))


def _denies_nothing(rules: list[Rule]) -> Iterator[str]:
    names = [repr(rule["name"]) for rule in rules if not rule["deny"]]
    if names:
        which = f"rule {names[0]} has" if len(names) == 1 else f"rules {listed(names, 'and')} have"
        yield (
            f"{which} no `variables: {{deny: …}}`: who starts a pipeline may set BASH_ENV, PATH and others that "
            "make a reviewed "
            f"script run something else, and only a warning tells the approvers; `deny: [{ALL}]` refuses such jobs"
        )


def _never(rule: Rule) -> Iterator[str]:
    for why in rule.get("never", {}).values():
        yield f"rule {rule['name']!r}: {why}; until then, jobs that it may be meant for are refused"


def _odd(rule: Rule) -> Iterator[str]:
    for criterion, wanted in rule["match"].items():
        texts = [] if isinstance(wanted, bool) else [each for each in wanted if isinstance(each, str)]
        yield from filter(None, (patterns.odd(criterion, each) for each in texts))


def _out_of_reach(rule: Rule, context: Context) -> Iterator[str]:
    """Yield why so many people as are asked for cannot answer, by whatever way."""
    able = {person for person in people_of(rule) if ways_in(person, context)}
    wanted = [Entry(each["count"], [name for name in each["people"] if name in able]) for each in rule["approvals"]]
    short = shortage(wanted)
    if short is None:
        return
    entries = [rule["approvals"][n] for n in short.entries]
    asked = listed([f"{each['count']} of {listed(each['of'])}" for each in entries], "and")
    unable = [person for person in people_of({"approvals": entries}) if person not in able]
    yield (
        f"rule {rule['name']!r} asks for {asked}, and {listed(unable, 'and')} cannot answer in any way: "
        "give them a Unix user on this host (`unix`), an SSH key (`ssh_keys`) or a way to the page, or ask others"
    )


def _words(pair: Looser) -> str:
    strict, loose = repr(pair.strict["name"]), repr(pair.loose["name"])
    return (
        f"rule {loose} gets the jobs that miss rule {strict} by {listed(pair.criteria)} alone, and asks for less: "
        f"{'; '.join(pair.how)}. "
        f"Their author can choose that: ask as much in {loose}, or give {strict} a run_as of its own"
    )
