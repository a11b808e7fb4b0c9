"""A misspelt key, answer or state is found by mypy, which `make lint` runs: that is what gate/shapes.py is for."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.site import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Iterator

MYPY = Path(sys.executable).with_name("mypy")
WITHIN_S = 300
PACKAGES = ("audit", "config", "executor", "gate")
ANY_MAX = 150
SNIPPET = """
from executor import prepare
from gate import shapes
from gate.flow.decide import decide
from gate.model.rules import may_answer, weigh
from gate.store.layout import page_settings
from gate.store.request import Request

def _(policy: shapes.Policy, rule: shapes.Rule, facts: shapes.Facts, plan: shapes.Plan, request: Request,
      votes: list[shapes.KeptVote], decision: shapes.Decision, release: shapes.Release, result: shapes.StepResult,
      context: shapes.StepContext, content: shapes.KeptContent) -> object:
"""
# what is right -> the same, misspelt
PLANTED = {
    'policy["approvers_gid"]': 'policy["approver_gid"]',
    'policy["people"]["alice"]["ssh_keys"]': 'policy["people"]["alice"]["ssh_key"]',
    'policy["backend"]["allow_same_user"]': 'policy["backend"]["allow_same_uid"]',
    'policy["audit"]["copy_to"]': 'policy["audit"]["copies_to"]',
    'policy["keep"]["log_s"]': 'policy["keep"]["logs_s"]',
    'policy.get("on_event", [])[0]': 'policy.get("on_events", [])[0]',
    'page_settings(policy)["url"]': 'page_settings(policy)["uri"]',
    'rule["rejections"]': 'rule["rejectons"]',
    'rule["approvals"][0]["people"]': 'rule["approvals"][0]["persons"]',
    'rule["comment"]["approve"] == "required"': 'rule["comment"]["approve"] == "requierd"',
    'facts["triggered_by"]["ids"]': 'facts["triggered_by"]["id"]',
    'facts | {"environment": None}': 'facts["enviroment"]',
    'plan["config_sha256"]': 'plan["config_sha265"]',
    'request.opened["deadline_boottime_ms"]': 'request.opened["deadline_boottime_s"]',
    'request.facts["job_id"]': 'request.facts["id"]',
    'request.file("decision.json")': 'request.file("decison.json")',
    'votes[0]["answer"] == "reject"': 'votes[0]["answer"] == "rejected"',
    'votes[0]["counted_boottime_ms"]': 'votes[0]["counted_ms"]',
    'decision["by"] and decision["by"]["via"] == "page"': 'decision["by"] and decision["by"]["via"] == "pages"',
    'decision["decision"] == "approved"': 'decision["decision"] == "aproved"',
    'release["backend"]["uid"]': 'release["backends"]["uid"]',
    'result["state"] == "waiting"': 'result["state"] == "wating"',
    'result.get("exit_code", 1) + 1': 'result["exitcode"]',
    'context["deadline_ms"]': 'context["deadline"]',
    'content["variables"][0]["hidden"]': 'content["variables"][0]["why_hidden"]',
    'content["steps"][0]["script"]': 'content["steps"][0]["scripts"]',
    'weigh(rule, policy, facts, votes, 1, 2).state == "open"': 'weigh(rule, policy, facts, votes, 1, 2).state == "opn"',
    'may_answer("alice", "approve", "", rule, policy, facts)': 'may_answer("alice", "aprove", "", rule, policy, facts)',
    'decide(request, "expired", "", rule="", config="")': 'decide(request, "expird", "", rule="", config="")',
    'shapes.StepResult(state="over", lines=[])': 'shapes.StepResult(state="ovr", lines=[])',
    'prepare.fault("")["lines"]': 'prepare.fault("")["line"]',
}


def errors_in(tmp_path: Path, expressions: list[str]) -> dict[int, str]:
    """What mypy finds, by the number of the expression."""
    if not MYPY.exists():
        pytest.skip("no mypy: pip install --group lint; whether it finds what is misspelt is not looked at")
    head = SNIPPET.count("\n")
    snippet = tmp_path / "snippet.py"
    snippet.write_text(
        SNIPPET + "".join(f"    {each}\n" for each in expressions) + "    return None\n", encoding="utf-8"
    )
    command = [str(MYPY), "--config-file", "pyproject.toml", "--cache-dir", str(tmp_path / "cache"), str(snippet)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=WITHIN_S)
    found = re.findall(r"^.*snippet\.py:([0-9]+): error: (.*)$", done.stdout, re.MULTILINE)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    assert len(found) == done.stdout.count(": error: "), done.stdout
    return {int(line) - head - 1: error for line, error in found}


def test_what_is_misspelt_is_found_and_nothing_else(tmp_path: Path) -> None:
    right, wrong = list(PLANTED), list(PLANTED.values())
    found = errors_in(tmp_path, right + wrong)
    assert {n: found[n] for n in found if n < len(right)} == {}
    assert [each for n, each in enumerate(wrong, len(right)) if n not in found] == []


def sources() -> Iterator[tuple[str, ast.Module]]:
    for package in PACKAGES:
        for path in sorted((CHECKOUT / package).rglob("*.py")):
            yield str(path.relative_to(CHECKOUT)), ast.parse(path.read_text(encoding="utf-8"))


def at_run_time(node: ast.AST) -> Iterator[ast.AST]:
    """All that is in a piece of code but what only mypy reads."""
    for child in ast.iter_child_nodes(node):
        is_types = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
        yield from [child, *at_run_time(child)] if not is_types else []


def test_no_shape_is_imported_at_run_time() -> None:
    imports = [
        f"{path}:{node.lineno}"
        for path, tree in sources()
        for node in at_run_time(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).endswith("shapes") and path != "gate/shapes.py"
    ]
    assert imports == []


def test_the_decision_s_own_data_has_a_shape_and_any_is_rare_elsewhere() -> None:
    loose = [path for path, tree in sources() if "dict[str, Any]" in ast.unparse(tree)]
    named = [
        path for path, tree in sources() for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "Any"
    ]
    assert [path for path in loose if path.startswith(("gate/model/", "executor/steps.py", "gate/flow/"))] == []
    assert len(named) < ANY_MAX
