"""Which rule a job gets: first match wins, and what is unknown or claimed never loosens (issue 4, threats T1)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.model.facts import job_facts
from gate.model.matching import barred, choose, criteria, facts_words, glob, own_names
from tests.support.effort import examples
from tests.support.gate_state import facts_of, rule_of
from tests.support.parts import part
from tests.unit.test_facts import FORGED, FORGED_USER, VERSIONS, response_of, variables_of


def book(*rules: tuple[str, Any]) -> Any:
    """A policy with these rules, (name, match)."""
    return {"rules": [rule_of(name=name, match=match) for name, match in rules]}


def test_what_no_job_can_be_does_not_fall_through_to_a_looser_rule() -> None:
    policy = book(("strict", {"ref": ["/^main$/", "v*"], "stage": ["deploy"]}), ("loose", {}))
    policy["rules"][0]["never"] = {"ref": "ref '/^main$/' can match nothing in GitLab: …"}
    refused = choose(policy, facts_of(ref="main", stage="deploy"))
    assert refused.rule is None
    assert refused.why == "rule 'strict' may be meant for it, but ref '/^main$/' can match nothing in GitLab: …"
    assert chosen(policy, ref="v1", stage="deploy") == "strict"
    assert chosen(policy, ref="main", stage="test") == "loose"


def chosen(policy: Any, **facts: Any) -> str | None:
    rule = choose(policy, facts_of(**facts)).rule
    return rule["name"] if rule else None


def claims(*environments: str) -> Any:
    """The facts of a job whose variables claim these environments."""
    return {"environments": list(environments), "environment": environments[0] if environments else None}


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("shop/app", "shop/app", True),
        ("shop/app", "shop/app2", False),
        ("shop/app", "my/shop/app", False),
        ("shop/*", "shop/app", True),
        ("shop/*", "shop/sub/app", False),
        ("shop/*", "shop/", True),
        ("shop/**", "shop/sub/app", True),
        ("shop/**", "shopping", False),
        ("**/app", "a/b/app", True),
        ("**/app", "app", False),
        ("**", "", True),
        ("*", "a/b", False),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        ("a?c", "ac", False),
        ("release/?.*", "release/1.2", True),
        ("release/?.*", "release/10.2", False),
        ("v1.2", "v1x2", False),
        ("a[bc]", "a[bc]", True),
        ("a[bc]", "ab", False),
        ("a{b,c}", "ab", False),
        ("(a|b)+$", "(a|b)+$", True),
        ("a\\*", "a\\b", True),
        ("main", "main\n", False),
        ("main*", "main\nx", True),
        ("main**", "main\n/x", True),
        ("", "", True),
    ],
)
def test_glob(pattern: str, text: str, matches: bool) -> None:
    assert (glob(pattern).fullmatch(text) is not None) is matches


def walked(pattern: str, text: str) -> bool:
    """The same globs, read letter by letter."""
    if not pattern:
        return not text
    if pattern.startswith("**"):
        return any(walked(pattern[2:], text[n:]) for n in range(len(text) + 1))
    if pattern[0] == "*":
        segment = len(text.partition("/")[0])
        return any(walked(pattern[1:], text[n:]) for n in range(segment + 1))
    if not text or (pattern[0] == "?" and text[0] == "/"):
        return False
    return pattern[0] in ("?", text[0]) and walked(pattern[1:], text[1:])


@examples(500)
@given(pattern=st.text("ab/*?.\n", max_size=7), text=st.text("ab/.\n", max_size=7))
def test_glob_agrees_with_a_walk_letter_by_letter(pattern: str, text: str) -> None:
    assert (glob(pattern).fullmatch(text) is not None) is walked(pattern, text)


CRITERIA: list[tuple[Any, Any, bool | None]] = [
    ({"project": ["grp/*"]}, {}, True),
    ({"project": ["x", "grp/app"]}, {}, True),
    ({"project": ["x", "y"]}, {}, False),
    ({"project": ["GRP/App"]}, {}, True),
    ({"project": ["grp/app"]}, {"path": "Grp/APP"}, True),
    ({"project": ["grp/app"]}, {"path": ""}, None),
    ({"project": ["**"]}, {"path": ""}, None),
    ({"ref": ["main"]}, {}, True),
    ({"ref": ["main"]}, {"ref": "Main"}, False),
    ({"ref": ["release/*"]}, {"ref": "release/a/b"}, False),
    ({"ref": ["main"]}, {"ref": ""}, None),
    ({"protected": True}, {}, True),
    ({"protected": False}, {}, False),
    ({"protected": False}, {"protected": False}, True),
    ({"protected": True}, {"protected": None}, None),
    ({"protected": False}, {"protected": None}, None),
    ({"job": ["deploy*"]}, {"name": "deploy prod: [a, b]"}, True),
    ({"job": ["deploy"]}, {"name": "Deploy"}, False),
    ({"stage": ["deploy"]}, {}, True),
    ({"stage": ["deploy"]}, {"stage": "test"}, False),
    ({"stage": ["deploy"]}, {"stage": ""}, None),
    ({"environment": ["production"]}, claims("production"), True),
    ({"environment": ["production"]}, claims("Production"), False),
    ({"environment": ["review/*"]}, claims("review/x"), True),
    ({"environment": ["**"]}, claims(), False),
    ({"environment": ["production"]}, claims("$WHERE"), None),
    ({"environment": ["review/*"]}, claims("review/${CI_COMMIT_REF_SLUG}"), None),
    ({"instance": ["git.example"]}, {}, True),
    ({"instance": ["GIT.Example"]}, {}, True),
    ({"instance": ["git.example"]}, {"instance": "git.example:8443"}, False),
    ({"instance": ["*.example*"]}, {"instance": "git.example:8443"}, True),
    ({"runner": [12]}, {}, True),
    ({"runner": [7, 13]}, {}, False),
    ({"runner": [12]}, {"runner": None}, None),
]


@pytest.mark.parametrize(("match", "facts", "holds"), CRITERIA)
def test_each_criterion_is_true_false_or_unknown(match: Any, facts: Any, holds: bool | None) -> None:
    policy = book(("it", match), ("fallback", {}))

    assert list(criteria(policy["rules"][0], facts_of(**facts)).values()) == [holds]
    assert chosen(policy, **facts) == {True: "it", False: "fallback", None: None}[holds]


def test_the_first_rule_that_matches_wins() -> None:
    assert chosen(book(("a", {"ref": ["other"]}), ("b", {"job": ["d*"]}), ("c", {}), ("d", {}))) == "b"
    assert chosen(book(("a", {}), ("b", {"job": ["deploy"]}))) == "a"


MISSING = {
    "project": ("path", "", ["grp/*"], "the job response does not tell its project"),
    "ref": ("ref", "", ["main"], "the job response does not tell its ref"),
    "protected": ("protected", None, True, "the job response does not tell whether its ref is protected"),
    "stage": ("stage", "", ["deploy"], "the job response does not tell its stage"),
    "runner": ("runner", None, [12], "the job response does not tell its runner"),
}


@pytest.mark.parametrize("name", MISSING)
def test_what_is_unknown_ends_the_search_and_is_named(name: str) -> None:
    fact, value, wanted, words = MISSING[name]
    policy = book(("other", {"job": ["x"]}), ("strict", {name: wanted, "job": ["deploy"]}), ("loose", {}))

    found = choose(policy, facts_of(**{fact: value}))
    assert found == (None, f"rule 'strict' may be meant for it, but {words}")


def test_everything_unknown_of_a_rule_is_named() -> None:
    policy = book(("strict", {"protected": True, "runner": [12], "environment": ["production"]}))

    why = choose(policy, facts_of(protected=None, runner=None, **claims("pro$X\n"))).why
    assert (
        "whether its ref is protected, the job response does not tell its runner and the environment pro$X\n is not spelled out"
        in why
    )


def test_a_rule_with_a_false_criterion_is_passed_over_whatever_is_unknown() -> None:
    policy = book(("strict", {"protected": True, "job": ["x"]}), ("loose", {}))

    assert chosen(policy, protected=None) == "loose"


def test_an_unknown_that_no_rule_before_asks_for_does_not_matter() -> None:
    assert chosen(book(("a", {"job": ["deploy"]}), ("b", {"runner": [1]})), runner=None) == "a"


def test_no_match_names_every_fact_looked_at() -> None:
    found = choose(book(("a", {"ref": ["x"]})), facts_of(runner=None, protected=False))

    assert found.rule is None
    assert found.why == (
        "no rule is for it: project grp/app, ref main, protected no, job deploy, stage deploy, environment production,"
        " instance git.example, runner none or unknown"
    )
    assert choose(part({"rules": []}), facts_of(**claims())).why.startswith("no rule is for it: ")


def test_facts_in_words_name_what_is_there_and_what_is_not() -> None:
    words = facts_words(facts_of(name="x", path="", **claims()))

    assert "job x, " in words
    assert "project none or unknown" in words
    assert "environment none or unknown" in words


BY_ENVIRONMENT = book(
    ("production", {"environment": ["production"]}),
    ("review", {"environment": ["review/*"]}),
    ("deploying", {"job": ["deploy*"]}),
)


@pytest.mark.parametrize(
    ("environments", "rule"),
    [
        ([], "deploying"),
        (["production"], "production"),
        (["review/1"], "review"),
        (["other"], "deploying"),
        (["review/1", "review/2"], "review"),
        (["other", "another"], "deploying"),
        (["production", "review/1"], None),
        (["review/1", "production"], None),
        (["production", "other"], None),
        (["other", "production"], None),
        (["$X"], None),
        (["review/1", "$X"], None),
        (["production", "review/$X"], None),
        (["other", "x", "production"], None),
    ],
)
def test_claims_that_would_choose_different_rules_are_refused(environments: list[str], rule: str | None) -> None:
    assert chosen(BY_ENVIRONMENT, **claims(*environments)) == rule


def test_claims_that_differ_are_named() -> None:
    why = choose(BY_ENVIRONMENT, facts_of(**claims("production", "review/1\n"))).why

    assert why == (
        "its variables claim the environments production and review/1\n, for which there are different rules"
    )


def test_claims_that_no_rule_is_for_are_not_told_of_different_rules() -> None:
    why = choose(book(("a", {"environment": ["production"]})), facts_of(**claims("x", "y"))).why

    assert why.startswith("no rule is for it: ")


def test_claims_do_not_matter_where_no_rule_asks_for_them() -> None:
    assert chosen(book(("a", {"job": ["deploy"]})), **claims("x", "$Y", "production")) == "a"


@pytest.mark.parametrize("names", [["GATE_X"], ["GATE_X", "GATE_Y"]])
def test_names_that_are_the_gates_are_refused_by_name(names: list[str]) -> None:
    why = own_names(facts_of(gate_variables=names))

    assert why.startswith(f"it sets {' and '.join(names)} itself")
    assert own_names(facts_of()) == ""


# Over the responses of real runners: a rule for the true job, and one that each forgery would rather have.

TRUE = {
    "project": ["grp/app"],
    "ref": ["main"],
    "protected": True,
    "job": ["deploy"],
    "stage": ["deploy"],
    "environment": ["production"],
    "instance": ["127.0.0.1:9"],
    "runner": [12],
}
FORGED_MATCH: dict[str, Any] = {
    "CI_JOB_NAME": {"job": ["lint"]},
    "CI_JOB_STAGE": {"stage": ["test"]},
    "CI_PROJECT_PATH": {"project": ["other/project"]},
    "CI_COMMIT_REF_NAME": {"ref": ["harmless"]},
    "CI_COMMIT_REF_PROTECTED": {"protected": False},
    "CI_RUNNER_ID": {"runner": [666]},
    "CI_SERVER_URL": {"instance": ["evil.example"]},
    "CI_SERVER_HOST": {"instance": ["evil.example"]},
    "CI_REPOSITORY_URL": {"instance": ["evil.example"]},
}
MORE_FORGED = {
    "CI_SERVER_URL": "https://evil.example",
    "CI_SERVER_HOST": "evil.example",
    "CI_REPOSITORY_URL": "https://evil.example/other/project.git",
    "CI_PROJECT_URL": "https://evil.example/other/project",
    "CI_PROJECT_NAMESPACE": "other",
    "CI_COMMIT_BRANCH": "harmless",
    "CI_COMMIT_REF_SLUG": "harmless",
    "CI_ENVIRONMENT_SLUG": "harmless",
    "CI_ENVIRONMENT_TIER": "development",
    "CI_RUNNER_TAGS": "[]",
    "CI_JOB_URL": "https://evil.example/-/jobs/1",
    **FORGED_USER,
}
ALL_FORGED = FORGED | MORE_FORGED
DECOYS = [(f"loose {name}", match) for name, match in FORGED_MATCH.items()]
DECOYED = book(*DECOYS, ("true", TRUE), ("loose", {}))


@pytest.fixture(params=VERSIONS)
def response(request: pytest.FixtureRequest) -> Any:
    found = response_of(request.param)
    found["variables"].insert(0, *variables_of({"CI_RUNNER_ID": "12"}))
    return found


def rule_for(policy: Any, response: Any) -> str | None:
    rule = choose(policy, job_facts(response)).rule
    return rule["name"] if rule else None


@pytest.mark.parametrize("name", ["", *(name for name in ALL_FORGED if name != "CI_ENVIRONMENT_NAME")])
def test_no_forged_variable_changes_the_rule(response: Any, name: str) -> None:
    response["variables"] += variables_of({name: ALL_FORGED[name]} if name else {})

    assert rule_for(DECOYED, response) == "true"


def test_all_forged_together_do_not_change_the_rule(response: Any) -> None:
    forged = {name: value for name, value in ALL_FORGED.items() if name != "CI_ENVIRONMENT_NAME"}
    response["variables"] += variables_of(forged)
    assert rule_for(DECOYED, response) == "true"

    response["variables"] += variables_of(ALL_FORGED)
    assert rule_for(DECOYED, response) is None  # with an environment, which is a claim


@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize("looser", ["review/1", "other", "$X", "Production"])
def test_an_environment_added_to_choose_a_looser_rule_is_refused(response: Any, looser: str, where: str) -> None:
    added = variables_of({"CI_ENVIRONMENT_NAME": looser})
    response["variables"] = added + response["variables"] if where == "before" else response["variables"] + added

    found = choose(BY_ENVIRONMENT, job_facts(response))
    assert found.rule is None
    assert "production" in found.why
    assert looser in found.why


@pytest.mark.parametrize("added", ["", "production"])
def test_an_environment_added_in_vain_changes_nothing(response: Any, added: str) -> None:
    response["variables"] += variables_of({"CI_ENVIRONMENT_NAME": added})

    assert rule_for(BY_ENVIRONMENT, response) == "production"


def test_a_runner_that_tells_no_runner_id_gets_no_rule_that_asks_for_one() -> None:
    assert rule_for(book(("runner", {"runner": [12]}), ("loose", {})), response_of("19.3.0")) is None


def test_a_rule_is_the_same_by_all_three_runners() -> None:
    found = {
        version: json.dumps(choose(book(("true", TRUE | {"runner": [12]})), facts).rule) for version, facts in _all()
    }

    assert len(set(found.values())) == 1
    assert "null" not in found.values()


def _all() -> list[tuple[str, Any]]:
    responses = {version: response_of(version) for version in VERSIONS}
    for found in responses.values():
        found["variables"].insert(0, *variables_of({"CI_RUNNER_ID": "12"}))
    return [(version, job_facts(found)) for version, found in responses.items()]


BACKEND = {"image": "refuse"}
BARRED: dict[str, tuple[Any, list[str], dict[str, str], str]] = {
    "nothing set": ({"variables": []}, ["code"], {}, ""),
    "nothing denied": ({"variables": ["BASH_ENV"]}, [], {}, ""),
    "another one set": ({"variables": ["TARGET"]}, ["code"], {}, ""),
    "one of a set": ({"variables": ["TARGET", "BASH_ENV"]}, ["code"], {}, "rule 'all' denies jobs that set BASH_ENV"),
    "one of a part": (
        {"variables": ["BASH_ENV", "LD_AUDIT"]},
        ["loader"],
        {},
        "rule 'all' denies jobs that set LD_AUDIT",
    ),
    "a pattern": ({"variables": ["A_B", "A_C"]}, ["A_*"], {}, "rule 'all' denies jobs that set A_B and A_C"),
    "opened by an older gate": (
        {},
        ["code"],
        {},
        "rule 'all' denies variables, and this job was opened by a gate that",
    ),
    "opened by an older gate, nothing denied": ({}, [], BACKEND, ""),
    "a name of the gate's": ({"gate_variables": ["GATE_X"], "variables": []}, [], {}, "it sets GATE_X itself"),
    "a doubt": ({"doubts": ["its project is a by x"]}, [], {}, "its project is a by x"),
    "an image": ({"image": "alpine:3"}, [], BACKEND, "it asks for the image alpine:3, and this gate runs scripts in"),
    "services": ({"services": ["a", "b"]}, [], BACKEND, "it asks for the services a and b, and this gate"),
    "an image and a service": (
        {"image": "c", "services": ["a"]},
        [],
        BACKEND,
        "it asks for the image c and the service a, and",
    ),
    "an image, warned of only": ({"image": "alpine:3"}, [], {"image": "warn"}, ""),
    "an image, with a policy of an older gate": ({"image": "alpine:3"}, [], {}, ""),
    "neither": ({"image": None, "services": []}, [], BACKEND, ""),
}


@pytest.mark.parametrize("case", BARRED)
def test_a_job_is_refused_before_anybody_is_asked(case: str) -> None:
    facts, deny, backend, why = BARRED[case]
    found = barred(part(backend), rule_of(deny=deny), facts_of(**facts))
    assert found.startswith(why)
    assert bool(found) is bool(why)


def test_a_rule_of_a_policy_of_an_older_gate_denies_nothing() -> None:
    assert barred(part({}), rule_of(), facts_of(variables=["BASH_ENV"])) == ""
    assert barred(part({}), None, facts_of(variables=["BASH_ENV"])) == ""
