"""Requests as the page shows them: what is asked, of whom, how far it is, and what this visitor could do."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

from gate.clock import boottime_ms
from gate.flow.earlier import CHANGED
from gate.flow.status import deadline_ms, progress, waits
from gate.model import dangers, matching, rules
from gate.model.code_variables import what_it_does
from gate.model.variables import OVERRIDES, SOMETIMES
from gate.model.words import NOUNS
from gate.page.standing import places, why_cannot
from gate.page.text import odd_characters
from gate.store.files import StateError
from gate.store.request import Request, load
from gate.votes.from_signed import standing

if TYPE_CHECKING:
    from collections.abc import Callable

    from gate.page.auth.visitor import Visitor
    from gate.page.history.index import Index
    from gate.page.standing import Place
    from gate.shapes import Backend, Beside, Claims, Content, Facts, Opened, Policy, Rule, Vote
    from gate.shapes import Variable as ShownVariable

FOLDED_CHARACTERS = 200  # a longer value is folded, and one of more lines
FOLDED_LINES = 3
# What comes of a file that is JSON, and yet nothing that a gate writes.
_DAMAGED = (StateError, LookupError, TypeError, ValueError, AttributeError)
_NEEDED = {"facts": dict, "digest": str, "rule": str, "response_sha256": str, "opened_boottime_ms": int}
KEY = re.compile(r"[A-Za-z0-9._-]{1,300}-[0-9]+-[0-9]+")
BRANCH_MAX = 200  # characters; a longer one came cut
_NUMBER = re.compile(r"[0-9]{1,12}")
_SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_MERGE_REQUEST = re.compile(r"refs/merge-requests/([0-9]+)/(head|merge)")


@dataclass
class Waiting:
    """One request that waits. `rule` is None where gate.yaml has none for it any more."""

    request: Request
    rule: Rule | None
    votes: list[Vote]
    progress: str
    waited_s: float
    left_s: float
    can: list[str] = field(default_factory=list)
    own: str = ""
    why_not: str = ""
    places: list[Place] = field(default_factory=list)

    @property
    def is_mine(self) -> bool:
        """Whether this visitor's approval is wanted, and not given."""
        return "approve" in self.can and self.own != "approve"


@dataclass(frozen=True)
class Variable:
    """One variable as it is shown; `value` is None where it is not, and `hidden` says why.

    `before` is the value that it had when the same job was last approved, where that is another one, shown and short.
    """

    name: str
    value: str | None
    before: str | None
    hidden: str
    change: str
    does: str
    overrides: bool
    perhaps: bool
    counts: bool

    @property
    def is_quiet(self) -> bool:
        """Whether it is one that GitLab sets for some jobs, as it was before and without a danger."""
        return self.perhaps and not self.change and not self.does

    @property
    def is_long(self) -> bool:
        """Whether its value is folded: the page has it whole, but not all of it at once."""
        return self.value is not None and _is_long(self.value)


@dataclass(frozen=True)
class VariableGroup:
    """Variables under one heading, unfolded or not."""

    title: str
    variables: list[Variable]
    is_open: bool


class Book:
    """The requests on disk; what is read once is kept, since it never changes."""

    def __init__(self, state_dir: str, index: Index, policy: Callable[[], Policy]) -> None:
        """`policy` returns gate.yaml's policy as it is at that moment."""
        self._state_dir, self._index, self._policy = state_dir, index, policy
        self._loaded: dict[str, Request] = {}
        self._shown: dict[str, bool] = {}

    def request(self, key: str) -> Request | None:
        """The request of that key; None where there is none, or none any more.

        Raises:
            StateError: it is there and cannot be read.
        """
        if key not in self._loaded or not self._loaded[key].has("request.json"):
            found = _load(self._state_dir, key) if KEY.fullmatch(key) else None
            if found is None:
                return None
            self._loaded[key] = found
        return self._loaded[key]

    def content(self, request: Request) -> Content | None:
        """What the job would run (gate/model/content.py).

        None where that is not known, cannot be read, or is of another job.
        """
        try:
            return request.content()
        except StateError:
            return None

    def earlier(self, content: Content | None) -> Content | None:
        """What the job that this one was compared with has run; None where there was none, or its files are gone."""
        since = content.get("since") if content else None
        try:
            request = self.request(since["key"]) if since else None
        except StateError:
            return None
        found = self.content(request) if request else None
        return found if is_whole(found) else None

    def is_shown(self, request: Request) -> bool:
        """Whether people can read here all that the job would run."""
        if request.key not in self._shown:
            self._shown[request.key] = is_whole(self.content(request))
        return self._shown[request.key]

    def waiting(self, visitor: Visitor) -> tuple[list[Waiting], list[tuple[str, str]]]:
        """All that waits, oldest first.

        And those that cannot be read: (key, why), which keep none of the others back.
        """
        keys, faults = self._index.open_keys(), list[tuple[str, str]]()
        self._loaded = {key: request for key, request in self._loaded.items() if key in set(keys)}
        self._shown = {key: shown for key, shown in self._shown.items() if key in set(keys)}
        found = []
        for key in keys:
            try:
                request = self.request(key)
                if request and waits(request):
                    found.append(self.one(request, visitor))
            except _DAMAGED as error:
                faults.append((key, fault_words(key, error)))
        return sorted(found, key=lambda each: each.request.opened["opened_boottime_ms"]), faults

    def one(self, request: Request, visitor: Visitor) -> Waiting:
        """One request that waits, as this visitor may see it."""
        policy, now_ms = self._policy(), boottime_ms()
        rule = matching.current(policy, request.facts)
        votes = standing(self._index.votes(request.key), policy)
        waiting = Waiting(
            request=request,
            rule=rule,
            votes=[vote for vote in rules.latest(votes) if rule and _counts(vote, rule, policy, request)],
            progress=progress(request, rule, policy, votes)
            if rule
            else "no rule is for it any more: it will be refused",
            waited_s=(now_ms - request.opened["opened_boottime_ms"]) / 1000,
            left_s=max((deadline_ms(request, rule) - now_ms) / 1000, 0),
        )
        if rule:
            waiting.places = places(rule, policy, request.facts, waiting.votes)
        if rule and visitor.person:
            may = {"approve": rules.may_approve, "reject": rules.may_reject}
            can = {answer: why(visitor.person, rule, policy, request.facts) is None for answer, why in may.items()}
            waiting.can = [answer for answer, is_able in can.items() if is_able]
            waiting.why_not = why_cannot(visitor.person, rule, policy, request.facts, to=visitor.person)
            own = [vote["answer"] for vote in waiting.votes if vote["person"] == visitor.person]
            waiting.own = own[0] if own else ""
        return waiting


def is_whole(content: Content | None) -> bool:
    """Whether this is all of what a job would run: what is not kept, or is too large, cannot be read here.

    An older version of the gate kept no variables.
    """
    return content is not None and not content.get("too_large") and "variables" in content


def _load(state_dir: str, key: str) -> Request | None:
    try:
        found = load(state_dir, key)
    except _DAMAGED as error:
        raise StateError(fault_words(key, error)) from error
    if found and not all(isinstance(found.opened.get(name), kind) for name, kind in _NEEDED.items()):
        raise StateError(fault_words(key, LookupError()))
    return found


def fault_words(key: str, error: Exception) -> str:
    """Why a request cannot be read, for people."""
    return str(error) if isinstance(error, StateError) else f"the files of {key} are not as a gate writes them"


def _counts(vote: Vote, rule: Rule, policy: Policy, request: Request) -> bool:
    """Whether a vote counts by gate.yaml as it is now: its person may have been taken off the list since."""
    answer, comment = vote["answer"], vote["comment"]
    return rules.may_answer(vote["person"], answer, comment, rule, policy, request.facts) is None


def links(facts: Facts, last_sha: str | None, claims: Claims | None = None) -> dict[str, str]:
    """Addresses in GitLab: project, job, pipeline, commit, merge_request, compare; those that are known."""
    claimed: Claims = claims or {}
    url = facts.get("project_url")
    if not url:
        return {}
    found = {"project": url, "job": f"{url}/-/jobs/{facts['job_id']}", "commit": f"{url}/-/commit/{facts['sha']}"}
    if facts["pipeline_id"]:
        found["pipeline"] = f"{url}/-/pipelines/{facts['pipeline_id']}"
    merge_request = _MERGE_REQUEST.fullmatch(facts["ref"])
    number = merge_request[1] if merge_request else claimed.get("merge_request", "")
    if _NUMBER.fullmatch(number):
        found["merge_request"] = f"{url}/-/merge_requests/{number}"
    base = compared_with(facts, last_sha, claimed)
    if base:
        found["compare"] = f"{url}/-/compare/{quote(base[0], safe='')}...{facts['sha']}"
    return found


def compared_with(facts: Facts, last_sha: str | None, claims: Claims) -> tuple[str, str] | None:
    """The commit or branch that a job's commit is compared with, and what that is in words.

    None where there is none.
    """
    branch = claims.get("default_branch", "")
    bases = [
        (last_sha or "", "what was approved last"),
        (_sha(claims.get("base_sha")), "what its merge request goes into"),
        (_sha(claims.get("before_sha")), "what was there before this push"),
        (branch if branch != facts["ref"] and len(branch) <= BRANCH_MAX else "", f"the branch {branch}"),
    ]
    if last_sha == facts["sha"]:
        return None
    return next(((base, words) for base, words in bases if base and base != facts["sha"]), None)


def _sha(text: str | None) -> str:
    return text if text and _SHA.fullmatch(text) and text.strip("0") else ""


def warnings(facts: Facts, content: Content | None, opened: Opened, job_backend: Backend) -> list[str]:
    """What somebody who is to approve must not overlook; `job_backend` is how jobs of its rule run."""
    of_the_host = dangers.host(opened.get("needs", []), job_backend)
    found = [sentence(each) for each in [*dangers.of(facts, content), *of_the_host]]
    odd = odd_characters("".join(_texts({name: part for name, part in (content or {}).items() if name != "claims"})))
    if odd:
        found.append(f"What it runs has characters that cannot be seen or turn the text around: {', '.join(odd)}.")
    if opened["deadline_shortened"]:
        found.append(f"There is less time than the rule gives: {opened['deadline_set_by']}.")
    return found


def sentence(phrase: str) -> str:
    """A phrase as a sentence of its own."""
    return f"{phrase[:1].upper()}{phrase[1:]}."


def told_variables(content: Content | None, earlier: Content | None = None) -> dict[str, object]:
    """A job's variables, and what they were compared with, as the templates take them.

    `earlier` is that job's content.
    """
    about: Beside = content or {}
    return {"variables": variables(about, earlier), "since": about.get("since"), "gone": about.get("gone", [])}


def variables(content: Beside | None, earlier: Beside | None = None) -> list[VariableGroup]:
    """A job's variables for people: those that somebody else than GitLab set, and those that may be GitLab's own.

    Where they were compared with an earlier job's, those that are as they were, and do nothing by their name, are
    folded.
    """
    before = {each["name"]: each["value"] for each in (earlier or {}).get("variables") or []}
    found = [_variable(each, before) for each in (content.get("variables") if content else None) or []]
    own, is_compared = [each for each in found if not each.is_quiet], bool(content and content.get("since"))

    def is_as_before(each: Variable) -> bool:
        return is_compared and not each.change and not each.does

    whose = "by the job, its pipeline, project or group"
    groups = [
        VariableGroup(f"Set {whose}", [each for each in own if not is_as_before(each)], is_open=True),
        VariableGroup(f"Unchanged, set {whose}", [each for each in own if is_as_before(each)], is_open=False),
        VariableGroup(
            "GitLab sets these for some jobs, and an author can for others",
            [each for each in found if each.is_quiet],
            is_open=False,
        ),
    ]
    return [group for group in groups if group.variables]


def _before(each: ShownVariable, before: dict[str, str | None]) -> str | None:
    """The value that a changed variable had, where both are shown, and short enough to stand beside each other."""
    old, new = before.get(each["name"]), each["value"]
    if each["change"] != CHANGED or not each["counts"] or old is None or new is None or old == new:
        return None
    return None if _is_long(old) or _is_long(new) else old


def _is_long(value: str) -> bool:
    return len(value) > FOLDED_CHARACTERS or value.count("\n") > FOLDED_LINES


def _variable(each: ShownVariable, before: dict[str, str | None]) -> Variable:
    does = what_it_does(each["name"])
    return Variable(
        name=each["name"],
        value=each["value"],
        before=_before(each, before),
        hidden=each["hidden"],
        change=each["change"],
        does=does,
        overrides=each["kind"] == OVERRIDES,
        perhaps=each["kind"] == SOMETIMES,
        counts=each["counts"],
    )


def _texts(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for each in value.values() for text in _texts(each)]
    if isinstance(value, list):
        return [text for each in value for text in _texts(each)]
    return [value] if isinstance(value, str) else []


def rule_words(rule: Rule) -> list[str]:
    """A rule in words, a sentence each."""
    said = [f"Asks for {rules.wanted_words(rule)}."]
    noes = rule["rejections"]
    said.append("One rejection ends it." if noes == 1 else f"{noes} rejections end it.")
    if not rule["self_approval"]:
        said.append("The person who triggered the job cannot approve it.")
    wanted = [NOUNS[answer] for answer, need in rule["comment"].items() if need == "required"]
    if wanted:
        said.append(f"A comment must come with each {' and each '.join(wanted)}.")
    said += [f"In gate.yaml, its {why}." for why in rule.get("never", {}).values()]
    return said


def voters(waiting: Waiting, policy: Policy) -> list[tuple[str, str]]:
    """Everybody on the rule, and how they stand: what they said, that they may, or why not."""
    if waiting.rule is None:
        return []
    said = {vote["person"]: {"approve": "approved", "reject": "rejected"}[vote["answer"]] for vote in waiting.votes}
    found = []
    for person in rules.people_of(waiting.rule):
        why = why_cannot(person, waiting.rule, policy, waiting.request.facts)
        found.append((person, said.get(person) or (f"cannot approve: {why}" if why else "can decide")))
    return found
