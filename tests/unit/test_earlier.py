"""What is new, changed or gone since the same job was last approved; and what is not compared."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from gate.flow import earlier
from gate.flow.decide import decide
from gate.flow.earlier import compared
from gate.store.files import write_json_once
from tests.support.gate_state import facts_of, made, open_request

if TYPE_CHECKING:
    from pathlib import Path

    from gate.store.request import Request

KEY = "git.example-42-1009"


@pytest.fixture
def policy(tmp_path: Path) -> Any:
    return made(tmp_path / "state")


def of(**values: str) -> list[Any]:
    return [{"name": name, "value": None, "mark": mark} for name, mark in values.items()]


def approved(policy: Any, number: int, variables: Any, word: Any = "approved", **facts: Any) -> Request:
    """A job that was decided, `number` its id and the order of its decision."""
    facts = facts_of(job_id=number, **facts)
    request = open_request(policy, f"{facts['instance']}-{facts['project_id']}-{number}", facts=facts)
    content = {"v": 1, "too_large": None, "variables": variables, "response_sha256": "0" * 64}
    write_json_once(request.directory, "content.json", content)
    decide(request, word, "so it is", rule="all", config="c" * 64)
    os.utime(os.path.join(request.directory, "decision.json"), ns=(number, number))
    return request


def now(policy: Any, variables: list[Any], **facts: Any) -> Any:
    return compared(policy["state_dir"], KEY, facts_of(**facts), "all", variables)


def test_variables_are_compared_with_the_last_approval(policy: Any) -> None:
    approved(policy, 1001, of(SAME="1", OTHER="1", GONE="1"))
    last = approved(policy, 1002, of(SAME="1", OTHER="2", GONE="1"))
    found = now(policy, of(SAME="1", OTHER="3", NEW="1"))
    assert {each["name"]: each["change"] for each in found["variables"]} == {
        "SAME": "",
        "OTHER": "changed",
        "NEW": "new",
    }
    assert (found["gone"], found["since"]) == (["GONE"], {"key": last.key, "job_id": 1002})


def test_one_that_is_set_twice_is_compared_in_its_order(policy: Any) -> None:
    approved(policy, 1001, [*of(A="1"), *of(A="2")])
    turned = now(policy, [*of(A="2"), *of(A="1")])
    assert [each["change"] for each in turned["variables"]] == ["changed", "changed"]
    assert [each["change"] for each in now(policy, [*of(A="1"), *of(A="2")])["variables"]] == ["", ""]


@pytest.mark.parametrize("word", ["rejected", "expired", "refused", "superseded", "canceled"])
def test_what_was_not_approved_is_not_compared_with(policy: Any, word: str) -> None:
    approved(policy, 1001, of(A="1"), word=word)
    assert now(policy, of(A="2")) == {
        "variables": [each | {"change": ""} for each in of(A="2")],
        "gone": [],
        "since": None,
    }


@pytest.mark.parametrize("facts", [{"name": "lint"}, {"project_id": 43}, {"instance": "other.example"}])
def test_another_job_is_not_compared_with(policy: Any, facts: Any) -> None:
    approved(policy, 1001, of(A="1"), **facts)
    assert now(policy, of(A="2"))["since"] is None


def test_a_job_of_another_rule_is_not_compared_with(policy: Any) -> None:
    approved(policy, 1001, of(A="1"))
    assert compared(policy["state_dir"], KEY, facts_of(), "other", of(A="2"))["since"] is None


@pytest.mark.parametrize("content", ["{}", '{"too_large": 9, "variables": []}', "not JSON", ""])
def test_a_request_of_an_older_gate_or_a_damaged_one_is_not_compared_with(policy: Any, content: str) -> None:
    request = approved(policy, 1001, of(A="1"))
    path = os.path.join(request.directory, "content.json")
    os.unlink(path)
    with open(path, "w") as file:
        file.write(content)
    assert now(policy, of(A="2"))["since"] is None


def test_a_request_that_cannot_be_read_holds_up_no_other(policy: Any) -> None:
    approved(policy, 1001, of(A="1"))
    broken = approved(policy, 1002, of(A="2"))
    os.unlink(os.path.join(broken.directory, "request.json"))
    with open(os.path.join(broken.directory, "request.json"), "w") as file:
        file.write("{")
    assert now(policy, of(A="1"))["since"]["job_id"] == 1001


def test_only_so_many_are_looked_at(policy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(earlier, "LOOKED_AT_MAX", 2)
    approved(policy, 1001, of(A="1"))
    for number in (1002, 1003):
        approved(policy, number, of(A="1"), name="lint")
    assert now(policy, of(A="2"))["since"] is None
