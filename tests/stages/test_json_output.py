"""What `--json` prints of jobs is what its schema says, errors too, and each failure has an exit code of its own."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from gate.commands import one_answer
from gate.commands.fault import EXIT_CODES, KINDS
from tests.support import output_page
from tests.support.site import APPROVER, CHECKOUT, IS_ROOT, Site
from tests.support.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

NOT_WAITING = 1001


@pytest.fixture
def staged() -> Iterator[tuple[Site, Stage]]:
    """One job that was approved, and nothing that waits."""
    with Site(rule={"decide_within": "1d", "comment": {"approve": "required"}}) as site:
        stage = Stage(site)
        stage.decided(stage.waiting(), "approved", comment="so be it")
        yield site, stage
        stage.close()


def strict(part: Any) -> Any:
    """The schema, so that what it does not name is a fault: the test is to notice each key that nothing describes."""
    if isinstance(part, dict):
        closed = {"additionalProperties": False} if "properties" in part else {}
        return {key: strict(value) for key, value in part.items()} | closed
    return [strict(each) for each in part] if isinstance(part, list) else part


def fitting(printed: str, name: str) -> Any:
    """The JSON, which is of that part of the schema."""
    whole = strict(copy.deepcopy(output_page.schema()))
    told = json.loads(printed)
    checks = jsonschema.Draft202012Validator.FORMAT_CHECKER
    jsonschema.validate(
        told,
        {"$defs": whole["$defs"], "$ref": f"#/$defs/{name}"},
        jsonschema.Draft202012Validator,
        format_checker=checks,
    )
    return told


def test_the_page_is_made_of_the_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(output_page.schema())
    page = CHECKOUT / "docs" / "reference" / "json-output.md"
    assert page.read_text(encoding="utf-8") == output_page.page(), "renew it: make docs"


def test_the_exit_codes_of_page_help_and_schema_are_the_same() -> None:
    page = (CHECKOUT / "docs" / "reference" / "command-line.md").read_text(encoding="utf-8")
    for code, means in EXIT_CODES.items():
        kind = f"`{KINDS[code]}` " if code in KINDS else ""
        assert f"| {code} | {kind}| {means} |\n" in page
    error = output_page.schema()["$defs"]["error"]["properties"]
    assert dict(zip(error["exit_code"]["enum"], error["kind"]["enum"], strict=True)) == KINDS


def test_a_list_is_of_its_schema(staged: tuple[Site, Stage]) -> None:
    site, stage = staged
    assert fitting(site.gate(APPROVER, "list", "--json").stdout, "list") == []
    request = stage.waiting()
    stage.vote(request, APPROVER, "reject", "first")
    stage.vote(request, APPROVER, "approve", "then")
    Path(stage.waiting().directory, "request.json").write_text("{")
    (found, unreadable) = fitting(site.gate(APPROVER, "list", "--json").stdout, "list")
    assert (found["state"], found["decision"], found["triggered_by"]) == ("waiting", None, "dev")
    assert [(vote["answer"], vote["comment"], vote["counts"]) for vote in found["votes"]] == [("approve", "then", True)]
    assert (found["missing"]["count"], found["you"]["answered"]) == (0, "approve")
    assert (unreadable["state"], unreadable["error"]["kind"]) == ("unreadable", "gate-broken")


def test_what_is_shown_is_of_its_schema(staged: tuple[Site, Stage]) -> None:
    site, stage = staged
    found = fitting(site.gate(APPROVER, "show", stage.waiting().key, "--json").stdout, "show")
    assert (found["state"], found["until"] > found["opened"], bool(found["warnings"])) == ("waiting", True, True)
    decided = fitting(site.gate(APPROVER, "show", str(NOT_WAITING), "--json").stdout, "show")
    assert (decided["state"], decided["decision"], decided["decided"]["comment"]) == ("ended", "approved", "so be it")


def test_an_answer_is_of_its_schema(staged: tuple[Site, Stage]) -> None:
    site, stage = staged
    keys = [stage.waiting().key for _ in range(2)]
    words = ["approve", "--json", "--no-wait", "-m", "so be it"]
    told = fitting(site.gate(APPROVER, *words, keys[0]).stdout, "answers")
    assert (told["request"], told["outcome"], told["state"]) == (keys[0], "left", "waiting")
    done = site.gate(APPROVER, *words, keys[1], str(NOT_WAITING), "7777")
    told = fitting(done.stdout, "answers")
    assert [each.get("outcome") or each["error"]["kind"] for each in told] == ["left", "not-waiting", "unknown-job"]
    assert (done.returncode, done.stderr.count("gate: ")) == (4, 2)
    early = fitting(site.gate(APPROVER, *words, "7777", "--early").stdout, "answers")
    assert (early["request"], early["state"]) == (None, None)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["approve", "{waiting}"], 3),  # no comment
        (["approve", "{waiting}", "-m", "x" * 1001], 3),
        (["approve", "{decided}", "-m", "x"], 4),
        (["approve", "7777", "-m", "x"], 5),
        (["show", "7777"], 5),
        (["show", "job-7777"], 1),
    ],
)
def test_each_failure_has_its_exit_code(staged: tuple[Site, Stage], words: list[str], code: int) -> None:
    site, stage = staged
    names = {"waiting": stage.waiting().key, "decided": str(NOT_WAITING)}
    done = site.gate(APPROVER, *[word.format(**names) for word in words], "--json")
    error = fitting(done.stdout, "failure")["error"]
    assert (done.returncode, error["exit_code"], error["kind"]) == (code, code, KINDS[code])
    assert done.stderr == f"gate: {error['message']}\n"


@pytest.mark.skipif(not IS_ROOT, reason="not root: only root is no person of such a gate")
@pytest.mark.parametrize("words", [["list", "--mine"], ["approve", "1"], ["reject", "1"]])
def test_somebody_who_is_no_person_gets_a_code_of_their_own(staged: tuple[Site, Stage], words: list[str]) -> None:
    told = staged[0].gate_here(*words, "--json")
    assert getattr(told.exception, "exit_code", None) == 6
    assert fitting(told.stdout, "failure")["error"]["kind"] == "not-a-person"


@pytest.mark.parametrize(
    "words", [["list"], ["show", "1"], ["approve", "1"], ["reject", "1"], ["statement", "1", "reject"]]
)
def test_a_broken_gate_yaml_is_the_gate_s_fault_with_its_prefix_once(
    staged: tuple[Site, Stage], words: list[str]
) -> None:
    site, _stage = staged
    site.write("version: 2\nstate_dir: relative\n")
    done = site.gate(APPROVER, *words, "--json")
    assert (done.returncode, fitting(done.stdout, "failure")["error"]["kind"]) == (7, "gate-broken")
    first, *further = done.stderr.splitlines()
    assert first.startswith("gate: ")
    assert len(further) > 1
    assert all(line.startswith("      /") for line in further)


def test_votes_that_cannot_be_read_are_not_taken_for_none(staged: tuple[Site, Stage]) -> None:
    site, stage = staged
    request = stage.waiting()
    audit = site.state / "audit"
    audit.rename(audit.with_name("aside"))
    audit.write_text("no directory")
    done = site.gate(APPROVER, "list", "--json")
    (found,) = fitting(done.stdout, "list")
    assert (done.returncode, found["votes"], found["missing"]) == (7, None, None)
    assert "votes unknown: the audit log cannot be read" in site.gate(APPROVER, "list").stdout
    done = site.gate(APPROVER, "show", request.key)
    assert (done.returncode, "its votes are not known here" in done.stderr) == (7, True)
    assert "echo hello" in done.stdout


def test_an_answer_that_no_one_takes_is_the_gate_s_fault(
    staged: tuple[Site, Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    site, stage = staged
    request = stage.waiting()
    monkeypatch.setattr(one_answer, "FOLLOW_S", 0.0)
    monkeypatch.setattr("gate.commands.answer.FOLLOW_S", 0.0)
    monkeypatch.setattr("gate.commands.answer.me", lambda _policy: APPROVER)
    told = site.gate_here("reject", request.key, "--json")
    assert (getattr(told.exception, "exit_code", None), "stays at" in str(told.exception)) == (7, True)
    assert fitting(told.stdout, "failure")["error"]["kind"] == "gate-broken"


@pytest.mark.parametrize(("first", "second"), [("{number}", "#{number}"), ("{number}", "{key}")])
def test_a_job_that_is_named_twice_is_answered_once(staged: tuple[Site, Stage], first: str, second: str) -> None:
    site, stage = staged
    request = stage.waiting()
    names = {"number": request.facts["job_id"], "key": request.key}
    done = site.gate(APPROVER, "reject", "--no-wait", first.format(**names), second.format(**names))
    assert (done.returncode, len(done.stdout.splitlines()), len(done.stderr.splitlines())) == (0, 1, 1)
    assert os.listdir(site.state / "drop" / APPROVER) == [f"{request.key}.reject"]


def test_a_number_that_two_jobs_have_is_no_json_of_one(staged: tuple[Site, Stage]) -> None:
    site, stage = staged
    stage.waiting()
    stage._ids = iter([1002])  # type: ignore[assignment]
    stage.waiting(server_url="http://other.example")
    done = site.gate(APPROVER, "show", "1002", "--json")
    assert (done.returncode, fitting(done.stdout, "failure")["error"]["kind"]) == (1, "failed")
    assert len(site.gate(APPROVER, "show", "1002").stdout.split("-42-1002: waiting\n")) == 3


def test_watching_shows_a_vote_that_came(staged: tuple[Site, Stage]) -> None:
    site, stage = staged
    request = stage.waiting()
    with site.start_gate(APPROVER, "list", "--watch", "--json") as watching:
        assert watching.stdout is not None
        assert json.loads(watching.stdout.readline())[0]["votes"] == []
        stage.vote(request, APPROVER, "approve", "so be it")
        (found,) = json.loads(watching.stdout.readline())
        assert [vote["comment"] for vote in found["votes"]] == ["so be it"]
        watching.terminate()
