"""How much the thousandfold tests do by default, and that `make soak` does all of it."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import pytest

from tests.support import effort
from tests.support.site import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path

THINNED = re.compile(r"^from tests\.support\.effort import", re.MULTILINE)
# What makes a host, a disk, a page or a browser; each takes seconds.
HEAVY = (
    "browser",
    "empty_host",
    "host_namespace",
    "host_runner",
    "installed_host",
    "loop_mount",
    "page",
    "recorded_disk",
)


@pytest.fixture(params=[0.1, 1, 3, 10, 100])
def set_to(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> float:
    monkeypatch.setattr(effort, "EFFORT", request.param)
    return float(request.param)


def test_a_turn_is_its_share_and_all_turns_are_everything(set_to: float) -> None:
    items = range(17)
    turns = [effort.turn_of(items, turn) for turn in range(3)]
    assert sorted({each for turn in turns for each in turn}) == [*items]
    assert [len(turn) for turn in turns] == ([17] * 3 if set_to >= effort.WHOLE else [6, 6, 5])


def test_some_are_spread_from_the_first_to_the_last(set_to: float) -> None:
    found = effort.some_of(range(1000), 10)
    assert (found[0], found[-1]) == (0, 999)
    assert len(found) == {0.1: 10, 1: 100, 3: 300}.get(set_to, 1000)


def test_rounds_go_with_the_effort(set_to: float) -> None:
    assert effort.rounds(2000, 25) == max(25, int(200 * set_to))
    assert effort.rounds(10, 25) >= 10


def test_what_is_thinned_is_whole_in_a_soak() -> None:
    target = re.search(r"^soak: export GATE_TEST_EFFORT = \$\(SOAK\)0\nsoak: .*\n((\t.*\n)+)", makefile(), re.MULTILINE)
    assert target
    soaked = tuple(re.findall(r"tests/\S+", target[1]))
    tests = [path for path in (CHECKOUT / "tests").rglob("test_*.py") if THINNED.search(path.read_text())]
    thinned = [str(path.relative_to(CHECKOUT)) for path in tests]
    assert thinned
    assert [path for path in thinned if not path.startswith(soaked)] == []


def test_the_inner_loop_has_no_hosts_pages_and_browsers() -> None:
    assert '-m "not slow" tests/unit' in makefile()
    found = {path.name: heavy_in(path) for path in (CHECKOUT / "tests/unit").glob("test_*.py")}
    assert {name: functions for name, functions in found.items() if functions} == {}


def makefile() -> str:
    return (CHECKOUT / "Makefile").read_text()


def heavy_in(path: Path) -> list[str]:
    """The functions of a file of tests that use what is heavy, and are not marked."""
    tree = ast.parse(path.read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    from_heavy = [node for node in imports if (node.module or "") in {f"tests.support.{name}" for name in HEAVY}]
    names = {alias.asname or alias.name for node in from_heavy for alias in node.names}
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return [each.name for each in functions if names & uses(each) and not is_marked(each)]


def uses(function: ast.FunctionDef) -> set[str]:
    return {node.id for statement in function.body for node in ast.walk(statement) if isinstance(node, ast.Name)}


def is_marked(function: ast.FunctionDef) -> bool:
    return any(ast.unparse(each) == "pytest.mark.slow" for each in function.decorator_list)
