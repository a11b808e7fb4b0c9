"""A request as the page shows it: where it leads, what must not be overlooked, and what this visitor could do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gate.clock import boottime_ms
from gate.flow.decide import decide, record_decided
from gate.flow.status import deadline_ms
from gate.model import rules
from gate.page.auth.visitor import Visitor
from gate.page.history.index import Index
from gate.page.requests import Book, links, rule_words, variables, voters, warnings
from gate.store import layout
from gate.store.files import StateError, write_json_once
from gate.store.request import Request
from tests.support.gate_state import HOUR_MS, facts_of, made, open_request, rule_of
from tests.support.parts import part

if TYPE_CHECKING:
    from collections.abc import Callable

URL = "https://git.example/grp/app"
SHA, OTHER_SHA = facts_of()["sha"], "f" * 40
KEY = "git.example-42-1001"
ALICE, CAROL = Visitor("alice", "alice", "socket"), Visitor("carol", "carol", "socket")
STRANGER = Visitor("mallory", None, "socket")


def facts(**changes: Any) -> Any:
    return facts_of(**{"project_url": URL, **changes})


LINKS: dict[str, tuple[Any, str | None, dict[str, str]]] = {
    "no address known": ({"project_url": None}, OTHER_SHA, {}),
    "of a gate before it was kept": ({"project_url": ""}, OTHER_SHA, {}),
    "all of them": (
        {"ref": "refs/merge-requests/12/head"},
        OTHER_SHA,
        {
            "project": URL,
            "job": f"{URL}/-/jobs/1001",
            "commit": f"{URL}/-/commit/{SHA}",
            "pipeline": f"{URL}/-/pipelines/7",
            "merge_request": f"{URL}/-/merge_requests/12",
            "compare": f"{URL}/-/compare/{OTHER_SHA}...{SHA}",
        },
    ),
}


@pytest.mark.parametrize("case", LINKS)
def test_links_lead_to_gitlab(case: str) -> None:
    changes, last_sha, expected = LINKS[case]
    assert links(facts(**changes), last_sha) == expected


ABSENT: dict[str, tuple[str, Any, str | None]] = {
    "no pipeline": ("pipeline", {"pipeline_id": None}, None),
    "never approved before": ("compare", {}, None),
    "approved before at the same commit": ("compare", {}, SHA),
    "a branch": ("merge_request", {"ref": "main"}, None),
    "a branch that begins so": ("merge_request", {"ref": "refs/merge-requests/12/head/x"}, None),
    "a branch called so": ("merge_request", {"ref": "feature/refs/merge-requests/12/head"}, None),
    "no number": ("merge_request", {"ref": "refs/merge-requests/12x/head"}, None),
    "a number of another script": ("merge_request", {"ref": "refs/merge-requests/\u0661/head"}, None),
    "a train's": ("merge_request", {"ref": "refs/merge-requests/12/train"}, None),
}


@pytest.mark.parametrize("case", ABSENT)
def test_a_link_that_leads_nowhere_is_none(case: str) -> None:
    name, changes, last_sha = ABSENT[case]
    assert name not in links(facts(**changes), last_sha)


PUSHED = {"before_sha": "b" * 40, "default_branch": "main"}
COMPARED: dict[str, tuple[Any, str | None, Any, str]] = {
    "what was approved last": ({}, OTHER_SHA, PUSHED, OTHER_SHA),
    "a push": ({}, None, PUSHED, "b" * 40),
    "a merge request": ({}, None, {"base_sha": "a" * 40, **PUSHED}, "a" * 40),
    "a new branch": ({"ref": "x"}, None, {"before_sha": "0" * 40, "default_branch": "rel/1?x=&y#z"}, "rel%2F1%3Fx%3D%26y%23z"),
}  # fmt: skip


@pytest.mark.parametrize("case", COMPARED)
def test_a_commit_is_compared_from_the_first_request_on(case: str) -> None:
    changes, last_sha, claims, base = COMPARED[case]
    assert links(facts(**changes), last_sha, claims)["compare"] == f"{URL}/-/compare/{base}...{SHA}"


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"before_sha": "0" * 40},
        {"before_sha": SHA},
        {"before_sha": "../../x", "base_sha": "A" * 40},
        {"default_branch": "main"},
        {"default_branch": "x" * 201},
    ],
)
def test_a_claim_that_says_nothing_to_compare_with_makes_no_link(claims: Any) -> None:
    assert "compare" not in links(facts(ref="main"), None, claims)


def test_a_merge_request_is_the_ref_s_before_it_is_a_claim_s() -> None:
    claims: Any = {"merge_request": "12"}
    assert links(facts(ref="refs/merge-requests/3/head"), None, claims)["merge_request"].endswith("/3")
    assert links(facts(ref="main"), None, claims)["merge_request"] == f"{URL}/-/merge_requests/12"
    assert "merge_request" not in links(facts(ref="main"), None, {"merge_request": "12/../../x"})


def test_the_merged_result_is_its_merge_request_s_too() -> None:
    assert links(facts(ref="refs/merge-requests/3/merge"), None)["merge_request"] == f"{URL}/-/merge_requests/3"


WARNINGS: dict[str, tuple[Any, Any | None, Any, str]] = {
    "overridden": (
        {"overridden": ["CI_JOB_NAME", "CI_COMMIT_SHA"]},
        None,
        {},
        "The job's own variables set CI_JOB_NAME and CI_COMMIT_SHA to something else; the gate goes by what GitLab says.",
    ),
    "not checked out": (
        {"checkout": ["GIT_STRATEGY=none"]},
        None,
        {},
        "GIT_STRATEGY=none: what runs may not be what the sha says, it is not checked out.",
    ),
    "several environments": (
        {"environments": ["production", "x"]},
        None,
        {},
        "It claims several environments: production and x.",
    ),
    "odd in a script": (
        {},
        {"steps": [{"script": ["ls\u202e"]}]},
        {},
        "cannot be seen or turn the text around: U+202E.",
    ),
    "odd in an image": ({}, {"image": {"name": "a\u200bb", "entrypoint": ["\0"]}}, {}, "around: U+200B, U+0000."),
    "odd in what is run": ({}, {"run": "\u2066"}, {}, "around: U+2066."),
    "what it will not find": ({}, None, {"needs": ["no git in /bin: x"]}, "No git in /bin: x."),
    "less time": (
        {},
        None,
        {"deadline_shortened": True, "deadline_set_by": "the job's timeout"},
        "There is less time than the rule gives: the job's timeout.",
    ),
}


@pytest.mark.parametrize("case", WARNINGS)
def test_what_must_not_be_overlooked_is_said(case: str) -> None:
    changes, content, opened, told = WARNINGS[case]
    (said,) = warnings(facts(**changes), content, part({"deadline_shortened": False, **opened}), part({}))
    assert told in said


def test_a_job_that_may_become_root_is_warned_of() -> None:
    (said,) = warnings(facts(), None, part({"deadline_shortened": False}), part({"no_new_privileges": False}))
    assert said.startswith("It may become root by sudo (no_new_privileges is off)")


def test_there_is_nothing_to_warn_of_in_an_ordinary_job() -> None:
    content = {
        "too_large": None,
        "steps": [{"script": ["echo näin\n\tja"], "timeout": 7, "allow_failure": True}],
        "run": "",
    }
    assert warnings(facts(), part(content), part({"deadline_shortened": False}), part({})) == []
    assert warnings(facts(), None, part({"deadline_shortened": False}), part({})) == []


RULES: dict[str, tuple[Any, list[str]]] = {
    "plain": (
        {},
        ["Asks for 1 of release-managers (alice, bob).", "One rejection ends it.", "The person who triggered the job cannot approve it."],
    ),
    "several": (
        {"approvals": [{"count": 2, "of": ["ops"], "people": ["a", "b"]}, {"count": 1, "of": ["carol"], "people": ["carol"]}],
         "rejections": 2, "self_approval": True},
        ["Asks for 2 of ops (a, b) and 1 of carol.", "2 rejections end it."],
    ),
    "a comment with one": (
        {"self_approval": True, "comment": {"approve": "optional", "reject": "required"}},
        ["Asks for 1 of release-managers (alice, bob).", "One rejection ends it.", "A comment must come with each rejection."],
    ),
    "a comment with both": (
        {"self_approval": True, "comment": {"approve": "required", "reject": "required"}},
        ["Asks for 1 of release-managers (alice, bob).", "One rejection ends it.", "A comment must come with each approval and each rejection."],
    ),
    "a pattern of no use": (
        {"self_approval": True, "never": {"ref": "ref 'refs/heads/main' can match nothing in GitLab: …: write \"main\""}},
        ["Asks for 1 of release-managers (alice, bob).", "One rejection ends it.",
         "In gate.yaml, its ref 'refs/heads/main' can match nothing in GitLab: …: write \"main\"."],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", RULES)
def test_a_rule_is_said_in_words(case: str) -> None:
    changes, expected = RULES[case]
    assert rule_words(rule_of(**changes)) == expected


def votes_of(*words: str) -> list[dict[str, str]]:
    return [dict(zip(("person", "answer"), word.split(), strict=True)) for word in words]


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        ([], []),
        (["a approve"], ["a approve"]),
        (["a approve", "b reject", "a reject"], ["b reject", "a reject"]),
        (["a approve", "a reject", "a approve"], ["a approve"]),
        (["b approve", "a approve", "b approve", "a reject"], ["b approve", "a reject"]),
    ],
)
def test_a_person_s_last_vote_is_theirs(votes: list[str], expected: list[str]) -> None:
    assert rules.latest(part(votes_of(*votes))) == votes_of(*expected)


@pytest.mark.parametrize(("within_s", "expected_ms"), [(None, 90_000), (60, 70_000), (80, 90_000), (3600, 90_000)])
def test_a_rule_that_was_changed_only_makes_a_deadline_earlier(within_s: int | None, expected_ms: int) -> None:
    opened = {"key": KEY, "facts": {}, "opened_boottime_ms": 10_000, "deadline_boottime_ms": 90_000}
    rule = None if within_s is None else rule_of(decide_within_s=within_s)
    assert deadline_ms(Request("/nowhere", part(opened)), rule) == expected_ms


class Desk:
    """A gate with its index, and the page's book of it."""

    def __init__(self, state: Path) -> None:
        self.policy = made(state)
        self.index = Index(str(state / "index.sqlite"), layout.audit(str(state)))
        self.book = Book(str(state), self.index, lambda: self.policy)

    def open(self, key: str = KEY, **opened: Any) -> Request:
        request = open_request(self.policy, key, **opened)
        request.record("requested", rule="all", config="", why="")
        self.index.catch_up()
        return request

    def vote(self, request: Request, person: str, answer: str) -> None:
        by = {"person": person, "via": "drop", "uid": 1, "vote": f"{person}.{request.key}.{boottime_ms()}"}
        request.record("vote", "by", "decision", by=by, decision=answer, comment="")
        self.index.catch_up()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "state")


def test_what_waits_is_listed_as_long_as_it_does_oldest_first(desk: Desk) -> None:
    old = desk.open("git.example-42-7", opened_boottime_ms=boottime_ms() - 50_000)
    desk.open("git.example-42-8", boot_id="another boot")
    new = desk.open()
    assert [each.request.key for each in desk.book.waiting(ALICE)[0]] == [old.key, new.key]
    record_decided(old, decide(old, "canceled", "it was", rule="all", config=""))
    assert [each.request.key for each in desk.book.waiting(ALICE)[0]] == [new.key]  # before the index knows
    desk.index.catch_up()
    assert [each.request.key for each in desk.book.waiting(ALICE)[0]] == [new.key]


COULD: dict[str, tuple[Visitor, Any, tuple[list[str], bool, str]]] = {
    "on the list": (ALICE, {}, (["approve", "reject"], True, "")),
    "not on the list": (CAROL, {}, ([], False, "you are not on the list of rule 'all'")),
    "nobody": (STRANGER, {}, ([], False, "")),
    "who triggered it": (
        ALICE,
        {"names": ["alice"]},
        (["reject"], False, "you triggered this job"),
    ),
    "who triggered it, not on the list": (CAROL, {"names": ["carol"]}, (["reject"], False, "you are not on the list")),
}


@pytest.mark.parametrize("case", COULD)
def test_a_visitor_is_told_what_they_can_do(desk: Desk, case: str) -> None:
    visitor, by, expected = COULD[case]
    request = desk.open(facts=facts_of(triggered_by={"names": ["dev"], "ids": [5], "emails": []} | by))
    waiting = desk.book.one(request, visitor)
    assert (waiting.can, waiting.is_mine) == expected[:2]
    assert waiting.why_not.startswith(expected[2])
    assert waiting.progress == "0 of 1 from release-managers"


def test_what_a_visitor_said_is_theirs_and_counted(desk: Desk) -> None:
    desk.policy["rules"][0]["approvals"][0]["count"] = 2
    request = desk.open()
    desk.vote(request, "alice", "reject")
    desk.vote(request, "alice", "approve")
    waiting = desk.book.one(request, ALICE)
    assert (waiting.own, waiting.is_mine, waiting.progress) == ("approve", False, "1 of 2 from release-managers: alice")
    assert voters(waiting, desk.policy) == [("alice", "approved"), ("bob", "can decide")]


def test_everybody_on_the_rule_is_listed_with_why_not(desk: Desk) -> None:
    request = desk.open(facts=facts_of(triggered_by={"names": ["bob"], "ids": [], "emails": []}))
    (alice, bob) = voters(desk.book.one(request, ALICE), desk.policy)
    assert (alice, bob[0]) == (("alice", "can decide"), "bob")
    assert bob[1] == "cannot approve: triggered this job"


def test_a_request_whose_rule_has_gone_says_so_and_can_be_decided_by_nobody(desk: Desk) -> None:
    request = desk.open()
    desk.policy["rules"][0]["match"] = {"ref": ["another"]}
    waiting = desk.book.one(request, ALICE)
    assert (waiting.rule, waiting.can, voters(waiting, desk.policy)) == (None, [], [])
    assert waiting.progress == "no rule is for it any more: it will be refused"


def test_times_are_told_by_the_clock_that_cannot_be_set(desk: Desk) -> None:
    now_ms = boottime_ms()
    request = desk.open(opened_boottime_ms=now_ms - 60_000, opened_wall_s=0, deadline_boottime_ms=now_ms + HOUR_MS)
    waiting = desk.book.one(request, ALICE)
    assert 60 <= waiting.waited_s < 75
    assert 525 < waiting.left_s <= 540  # the rule's 600 s, less the minute
    late = desk.open("git.example-42-8", deadline_boottime_ms=now_ms - 1)
    assert desk.book.one(late, ALICE).left_s == 0


@pytest.mark.parametrize(
    "key", ["", ".", "..", "../jobs/" + KEY, f"{KEY}/", f"{KEY}\0", "x-1", "é-1-2", f"{'x' * 301}-1-2", "-1-2"]
)
def test_what_is_no_key_leads_to_no_request(desk: Desk, key: str) -> None:
    desk.open()
    assert desk.book.request(key) is None


def test_a_request_that_cannot_be_read_is_a_fault_and_one_that_is_not_there_is_none(desk: Desk) -> None:
    assert desk.book.request(KEY) is None
    request = desk.open()
    assert (desk.book.request(KEY) or request).opened == request.opened
    other = desk.open("git.example-42-8")
    with open(f"{other.directory}/request.json", "w", encoding="utf-8") as target:
        target.write("{")
    with pytest.raises(StateError):
        desk.book.request(other.key)


BROKEN: dict[str, Callable[[Path], Any]] = {
    "no JSON": lambda directory: (directory / "request.json").write_text("{"),
    "empty": lambda directory: (directory / "request.json").write_text(""),
    "no object": lambda directory: (directory / "request.json").write_text("[]"),
    "of a later gate": lambda directory: rewrite(directory, v=2),
    "of another request": lambda directory: rewrite(directory, key="git.example-42-9"),
    "without facts": lambda directory: rewrite(directory, facts=None),
    "without times": lambda directory: rewrite(directory, opened_boottime_ms="soon"),
    "with other facts": lambda directory: rewrite(directory, facts={}),
    "a directory": lambda directory: gone(directory).mkdir(),
    "a link to itself": lambda directory: gone(directory).symlink_to("request.json"),
    "a broken decision": lambda directory: (directory / "decision.json").symlink_to("decision.json"),
}


def gone(directory: Path) -> Path:
    path = directory / "request.json"
    path.unlink()
    return path


def rewrite(directory: Path, **changes: Any) -> None:
    path = directory / "request.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


@pytest.mark.parametrize("how", BROKEN)
def test_one_that_cannot_be_read_keeps_no_other_back_and_is_named(desk: Desk, how: str) -> None:
    broken, sound = desk.open("git.example-42-8"), desk.open()
    BROKEN[how](Path(broken.directory))
    found, faults = desk.book.waiting(ALICE)
    assert [each.request.key for each in found] == [sound.key]
    if how != "a broken decision":  # one that is there, whatever it is, has been decided
        ((key, why),) = faults
        assert key == broken.key
        assert broken.key in why


@pytest.mark.parametrize("text", ["{", "[]", ""])
def test_content_that_cannot_be_read_is_not_shown_and_stops_nobody(desk: Desk, text: str) -> None:
    request = desk.open()
    Path(request.directory, "content.json").write_text(text, encoding="utf-8")
    assert desk.book.content(request) is None
    assert not desk.book.is_shown(request)


@pytest.mark.parametrize(("sha256", "known"), [("0" * 64, True), ("1" * 64, False), (None, False)])
def test_content_is_shown_only_where_it_is_this_job_s(desk: Desk, sha256: str | None, known: bool) -> None:
    request = desk.open()
    if sha256:
        write_json_once(request.directory, "content.json", {"response_sha256": sha256, "steps": []})
    assert (desk.book.content(request) is not None) is known


def each_of(name: str, value: str | None = "x", **changes: Any) -> Any:
    shown = {"hidden": "" if value is not None else "masked in GitLab", "kind": "set", "change": "", "counts": True}
    return {"name": name, "value": value, "mark": "m", **shown, **changes}


def test_variables_are_grouped_by_whether_they_may_be_gitlabs_own() -> None:
    found = variables(
        {
            "variables": [
                each_of("TARGET", change="changed"),
                each_of("CI_COMMIT_BRANCH", kind="perhaps the server's"),
                each_of("CI_ENVIRONMENT_NAME", kind="perhaps the server's", change="new"),
                each_of("CI_JOB_NAME", kind="overrides the server's"),
                each_of("BASH_ENV", None),
            ]
        }
    )
    assert [[each.name for each in group.variables] for group in found] == [
        ["TARGET", "CI_ENVIRONMENT_NAME", "CI_JOB_NAME", "BASH_ENV"],
        ["CI_COMMIT_BRANCH"],
    ]
    assert [group.is_open for group in found] == [True, False]
    assert found[0].variables[3].does == "change what the shell itself runs"
    assert found[0].variables[2].overrides


@pytest.mark.parametrize(
    ("value", "is_long"),
    [("x" * 200, False), ("x" * 201, True), ("a\nb\nc\nd", False), ("a\nb\nc\nd\ne", True), ("", False), (None, False)],
)
def test_a_long_value_is_folded(value: str | None, is_long: bool) -> None:
    assert variables({"variables": [each_of("A", value)]})[0].variables[0].is_long is is_long


@pytest.mark.parametrize("content", [None, {}, {"variables": []}, {"variables": None}])
def test_no_variables_make_no_group(content: Any | None) -> None:
    assert variables(content) == []


def test_what_carries_code_an_image_and_unknown_fields_are_warned_of() -> None:
    changes = {"variables": ["BASH_ENV"], "image": "alpine:3", "services": []}
    content = {"unknown": [{"field": "sandbox", "text": "1"}]}
    found = warnings(facts(**changes), part(content), part({"deadline_shortened": False}), part({}))
    assert found == [
        "It asks for the image alpine:3, not used here: its script runs on the host, in the host's own shell.",
        "It sets BASH_ENV: such variables change what the shell itself runs.",
        "It has a field that this version of the gate does not know: sandbox; what it does is not known here.",
    ]
