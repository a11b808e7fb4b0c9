"""A rule that asks for less, below one for the same jobs but one criterion (issue 12, C1)."""

from __future__ import annotations

import importlib
import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from executor.rehearsal.sample import sample_job
from gate.commands import gate
from gate.model.globs import meet
from gate.model.looser import asks_less, looser, missed
from gate.model.matching import glob
from gate.model.seating import fill
from tests.support.gate_state import facts_of, rule_of
from tests.support.parts import part

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

ONE, TWO = [(1, "abc")], [(2, "abc")]
USER = {"run_as": "gitlab-job", "uid": 1, "gid": 1, "home": "/"}
DEPLOYER = {"run_as": "deployer", "uid": 2, "gid": 2, "home": "/"}
STRICT = {"project": ["shop/*"], "ref": ["main"], "protected": True}


def rule(name: str, match: Any, asked: Iterable[tuple[int, str]], **changes: Any) -> Any:
    approvals = [{"count": count, "of": list(people), "people": list(people)} for count, people in asked]
    return rule_of(name=name, match=match, approvals=approvals, **changes)


def pairs(*rules: Any) -> list[tuple[str, str, list[str]]]:
    found = looser(part({"rules": list(rules), "backend": USER}))
    return [(each.strict["name"], each.loose["name"], each.criteria) for each in found]


@pytest.mark.parametrize(("below", "criteria"), [
    ({}, ["ref", "protected"]),
    ({"project": ["shop/web"]}, ["ref", "protected"]),
    ({"project": ["**"]}, ["ref", "protected"]),
    ({"ref": ["main"]}, ["protected"]),
    ({"ref": ["release/*"], "protected": True}, ["ref"]),
    ({"protected": False}, ["protected"]),
    ({"project": ["other/*"]}, None),
    ({"ref": ["release/*"], "protected": False}, None),
])  # fmt: skip
def test_a_pair_is_told_with_what_an_author_can_choose(below: Any, criteria: list[str] | None) -> None:
    found = pairs(rule("strict", STRICT, TWO), rule("loose", below, ONE))
    assert found == ([] if criteria is None else [("strict", "loose", criteria)])


@pytest.mark.parametrize("changes", [{"asked": TWO}, {"run_as": DEPLOYER}], ids=["as much", "another user"])
def test_where_nothing_is_gained_nothing_is_told(changes: Any) -> None:
    assert pairs(rule("strict", STRICT, TWO), rule("loose", {}, **{"asked": ONE, **changes})) == []


def test_a_project_is_nothing_that_its_author_can_change() -> None:
    assert pairs(rule("strict", {"project": ["shop/web"], "runner": [1]}, TWO), rule("loose", {}, ONE)) == []


def test_a_rule_between_that_takes_the_jobs_is_enough() -> None:
    strict, between, loose = (
        rule("strict", STRICT, TWO),
        rule("rest", {"project": ["shop/**"]}, TWO),
        rule("loose", {}, ONE),
    )
    assert pairs(strict, between, loose) == []
    assert pairs(rule("strict", {"protected": True}, TWO), rule("not", {"protected": False}, TWO), loose) == []


@pytest.mark.parametrize(
    "changes", [{"self_approval": True}, {"early": True}, {"comment": {"approve": "optional", "reject": "optional"}}]
)
def test_other_ways_to_ask_for_less(changes: Any) -> None:
    strict = rule("strict", STRICT, ONE, comment={"approve": "required", "reject": "optional"})
    assert pairs(strict, rule("loose", {}, ONE, **{"comment": strict["comment"], **changes})) != []
    assert pairs(strict, rule("loose", {}, ONE, comment=strict["comment"])) == []


LISTS = st.lists(
    st.tuples(st.integers(1, 2), st.sets(st.sampled_from("abcd"), min_size=1).map("".join)), min_size=1, max_size=3
)


@given(LISTS, LISTS)
def test_fewer_is_what_trying_all_people_shows(strict: list[tuple[int, str]], loose: list[tuple[int, str]]) -> None:
    """The oracle: some people are enough for the one, and not for the other."""
    rules = [rule("strict", {}, strict), rule("loose", {}, loose)]
    crowds = [list(each) for n in range(5) for each in itertools.combinations("abcd", n)]
    if not is_enough(rules[0], list("abcd")) or not is_enough(rules[1], list("abcd")):
        return  # gate.yaml is refused then
    shown = any(is_enough(rules[1], crowd) and not is_enough(rules[0], crowd) for crowd in crowds)
    assert bool(asks_less(rules[1], rules[0])) == shown


def is_enough(asking: Any, people: list[str]) -> bool:
    filled = fill(asking["approvals"], people)
    return all(len(each) == entry["count"] for each, entry in zip(filled, asking["approvals"], strict=True))


SHORT = [each for n in range(4) for each in map("".join, itertools.product("a/b", repeat=n))]


@given(st.text("a/b*?", max_size=4), st.text("a/b*?", max_size=4))
def test_patterns_meet_where_some_name_is_of_both(one: str, other: str) -> None:
    if any(glob(one).fullmatch(name) and glob(other).fullmatch(name) for name in SHORT):
        assert meet(one, other)
    if "*" not in one:
        names = [one.replace("?", a, 1).replace("?", b, 1).replace("?", "a") for a in "ab" for b in "ab"]
        assert meet(one, other) >= any(glob(other).fullmatch(name) is not None for name in names)


@pytest.mark.parametrize(("one", "other", "holds"), [
    ("shop/*", "*/web", True), ("shop/*", "other/**", False), ("*", "a/b", False), ("**", "a/b", True),
    ("release/*", "main", False), ("a*c", "*b*", True), ("?", "/", False), ("**/x", "a/*", True),
])  # fmt: skip
def test_patterns_meet(one: str, other: str, holds: bool) -> None:
    assert (meet(one, other), meet(other, one)) == (holds, holds)


def test_the_stricter_rule_that_a_job_just_misses_is_found() -> None:
    strict, loose = rule("strict", STRICT, TWO), rule("loose", {}, ONE)
    policy = {"rules": [strict, loose], "backend": USER}
    facts = facts_of(path="shop/web", ref="main")
    assert list(missed(part(policy), facts | {"protected": False}, loose)) == [strict]
    assert list(missed(part(policy), facts | {"protected": True}, loose)) == []
    assert list(missed(part(policy), facts | {"ref": "x", "protected": False}, loose)) == []


def test_rules_test_says_which_stricter_rule_a_job_just_misses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    strict = rule("strict", {"ref": ["stable"], "protected": True}, TWO)
    policy = {"rules": [strict, rule("loose", {}, ONE)], "backend": USER, "people": {}}
    module = importlib.import_module("gate.commands.rules")  # as an attribute, that is the command
    monkeypatch.setattr(module, "load_policy_as_reader", lambda _config: (policy, ""))
    job = tmp_path / "job.json"
    job.write_text(json.dumps(sample_job()), encoding="utf-8")
    printed = CliRunner().invoke(gate, ["rules", "test", "--job", str(job)]).output
    assert "rule loose: 1 of a, b or c\n  rule strict asks for more, and the job misses it by ref alone\n" in printed
