"""`gate rules test` for a job that is described, not taken from a file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.site import APPROVER, Site

if TYPE_CHECKING:
    from collections.abc import Iterator

STRICT = {
    "match": {"project": "shop/*", "ref": "main", "protected": True, "environment": "production"},
    "variables": {"deny": ["BASH_ENV"]},
}
ALL = ["--project", "shop/web", "--ref", "main", "--protected", "--environment", "production", "--user", "dev"]


@pytest.fixture
def site() -> Iterator[Site]:
    with Site(rule=STRICT) as made:
        yield made


def told(site: Site, *words: str) -> tuple[int, Any]:
    done = site.gate_here("rules", "test", *words, "--json")
    return done.exit_code, json.loads(done.stdout)


def test_a_described_job_gets_its_rule(site: Site) -> None:
    code, said = told(site, *ALL)
    assert (code, said["rule"], APPROVER in said["could_approve"]) == (0, "all", True)
    assert said["assumed"] == [
        "job deploy (--job-name)",
        "stage deploy (--stage)",
        "instance gitlab.example.com (--instance)",
    ]


def test_what_is_not_said_is_assumed_and_printed(site: Site) -> None:
    done = site.gate_here("rules", "test", "--project", "shop/web")
    assert done.exit_code == 1
    assert done.stdout.startswith("assumed: ref main (--ref), protected no (--protected), job deploy (--job-name), ")
    assert "no environment (--environment), " in done.stdout


@pytest.mark.parametrize(
    "more", [["--unprotected"], ["--ref", "x"], ["--environment", "staging"], ["--variable", "BASH_ENV"]]
)
def test_each_of_them_counts(site: Site, more: list[str]) -> None:
    code, said = told(site, *ALL, *more)
    assert (code, said["refused"] is not None) == (1, True)


def test_who_triggered_it_cannot_approve_it(site: Site) -> None:
    _code, said = told(site, *ALL, "--user", f"{APPROVER}-gl")
    assert APPROVER not in said["could_approve"]


@pytest.mark.parametrize("words", [[], ["--ref", "main"], ["--job", "x.json", "--ref", "main"]])
def test_half_a_job_is_misuse(site: Site, words: list[str]) -> None:
    assert site.gate_here("rules", "test", *words).exit_code == 2
