"""Patterns that nothing in GitLab can be: each is told with what to write, and nothing that can be is (issue 12, C1)."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import load
from config.patterns import odd, why_never
from gate.model.matching import choose, glob
from tests.support.fake_accounts import FakeHost
from tests.support.gate_state import facts_of
from tests.unit.test_config_faults import GOOD

# criterion, what cannot be, and what is told to write
NEVER = [
    ("project", "shop", '"shop/*" for all projects of that group'),
    ("project", "*", '"**"'),
    ("project", "/shop/web", '"shop/web"'),
    ("project", "shop/web/", '"shop/web"'),
    ("project", "shop//web", '"shop/web"'),
    ("project", "shop/web.git", '"shop/web"'),
    ("project", "https://gitlab.example.com/shop/web.git", '"shop/web"'),
    ("project", "/^shop\\/.*$/", '"shop/**"'),
    ("project", "shop/{a,b}", "or a list"),
    ("project", "shop /web", '"shop/*"'),
    ("ref", "/^main$/", '"main"'),
    ("ref", "/^Main$/i", '"Main"'),
    ("ref", "/^main$|^release\\/.*$/", '["main", "release/**"]'),
    ("ref", "/^(main|master)$/", '"release/*"'),
    ("ref", "^main$", '"main"'),
    ("ref", "refs/heads/main", '"main"'),
    ("ref", "refs/tags/v*", '"v*"'),
    ("ref", "refs/remotes/origin/main", '"main"'),
    ("ref", "main/", '"main"'),
    ("ref", "/main", '"main"'),
    ("ref", "release/.*", '"release/**"'),
    ("ref", "my branch", "a pattern"),
    ("ref", "a..b", "a pattern"),
    ("ref", "v[0-9]*", "a pattern"),
    ("ref", "-x", "a pattern"),
    ("job", "/^deploy/", '"deploy**"'),
    ("stage", "/^(deploy|release)$/", '"deploy"'),
    ("environment", "/^prod/", '"prod**"'),
    ("environment", "production/", '"production"'),
    ("environment", "review/$CI_COMMIT_REF_SLUG", '"review/*"'),
    ("environment", "tier:production", "a pattern"),
    ("instance", "https://gitlab.example.com/", '"gitlab.example.com"'),
    ("instance", "gitlab.example.com/gitlab", '"gitlab.example.com"'),
]
# what can be, though it looks odd
MAY_BE = [
    ("project", "Shop/Web"),
    ("project", "**"),
    ("project", "**/web"),
    ("project", "_x/.y-z"),
    ("ref", "v1.*"),
    ("ref", "release/?.*"),
    ("ref", "feature/#123@home"),
    ("ref", "refs/merge-requests/*/head"),
    ("ref", "héllo"),
    ("job", "deploy 1/3"),
    ("job", "deploy: [eu, prod]"),
    ("job", "/usr/"),
    ("stage", ".pre"),
    ("environment", "review/my app"),
    ("instance", "[::1]:8080"),
    ("instance", "127.0.0.1:*"),
]
ODD = [("ref", "main|master"), ("ref", "main$"), ("job", "^deploy"), ("stage", "deploy\\d")]


@pytest.mark.parametrize(("criterion", "pattern", "instead"), NEVER)
def test_what_cannot_be_is_told_with_what_to_write(criterion: str, pattern: str, instead: str) -> None:
    said = why_never(criterion, pattern)
    assert said.startswith(f"{criterion} {pattern!a} can match nothing in GitLab: ")
    told = said.rpartition(": write ")[2]
    assert instead in told
    assert [each for each in re.findall(r'"([^"]*)"', told) if why_never(criterion, each)] == []


@pytest.mark.parametrize(("criterion", "pattern"), MAY_BE)
def test_what_can_be_is_left_alone(criterion: str, pattern: str) -> None:
    assert (why_never(criterion, pattern), odd(criterion, pattern)) == ("", "")


@pytest.mark.parametrize(("criterion", "pattern"), ODD)
def test_what_looks_like_a_regular_expression_is_odd(criterion: str, pattern: str) -> None:
    assert why_never(criterion, pattern) == ""
    assert "looks like a regular expression" in odd(criterion, pattern)


@pytest.mark.parametrize("pattern", ["deploy*", "*", "deploy*y*", "a/b*"])
def test_a_pattern_for_jobs_that_leaves_out_those_of_parallel_is_odd(pattern: str) -> None:
    assert not glob(pattern).fullmatch(f"{pattern[:-1]} 1/3")
    assert f'write "{pattern}*" where these are meant, too' in odd("job", pattern)
    assert glob(f"{pattern}*").fullmatch(f"{pattern[:-1]} 1/3")
    assert odd("job", f"{pattern}*") == odd("stage", pattern) == odd("ref", pattern) == ""


@given(st.sampled_from(["project", "ref", "job", "stage", "environment", "instance"]), st.text(min_size=1))
def test_any_text_is_judged_and_what_is_told_to_write_can_be(criterion: str, pattern: str) -> None:
    said = why_never(criterion, pattern)
    told = said.rpartition(": write ")[2]
    assert bool(told) == bool(said)
    assert isinstance(odd(criterion, pattern), str)


def test_the_policy_keeps_it_and_a_job_is_refused_by_it() -> None:
    rules = (
        "rules:\n  - {name: strict, match: {ref: /^main$/}, approvals: [{count: 1, of: [alice]}], decide_within: 1h}\n"
    )
    text = GOOD[: GOOD.index("rules:")] + rules + GOOD[GOOD.index("rules:") + len("rules:\n") :]
    policy = load.policy_from(text.encode(), "gate.yaml", runner_uid=0, host=FakeHost())
    assert list(policy["rules"][0]["never"]) == ["ref"]
    assert not any("never" in rule for rule in policy["rules"][1:])
    assert "can match nothing in GitLab: it is a regular expression" in choose(policy, facts_of(ref="main")).why
