"""Errors of ours are known by their base: what is not one of them is a fault of the gate's own code."""

from __future__ import annotations

import ast

import pytest

from audit.errors import AuditError
from executor.runner_contract import in_words
from executor.shell.backend import BackendError
from gate.errors import GateError
from gate.model.facts import FactsError
from gate.store.files import StateError
from tests.support.site import CHECKOUT

APART = {"executor/shell/init.py"}  # runs as a file of its own, and imports none of our packages


def classes() -> dict[str, set[str]]:
    """Each exception class of gate/ and executor/ that has a built-in one among its bases."""
    found = {}
    for path in [*CHECKOUT.glob("gate/**/*.py"), *CHECKOUT.glob("executor/**/*.py")]:
        place = str(path.relative_to(CHECKOUT))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            bases = {base.id for base in getattr(node, "bases", []) if isinstance(base, ast.Name)}
            if isinstance(node, ast.ClassDef) and any(each.endswith(("Exception", "Error")) for each in bases):
                found[f"{place}:{node.name}"] = {
                    each for each in bases if each in {"Exception", "ValueError", "OSError"}
                }
    return {name: bases for name, bases in found.items() if name.partition(":")[0] not in APART}


def test_each_error_of_gate_and_executor_has_the_one_base() -> None:
    assert {name for name, bases in classes().items() if bases} == {"gate/errors.py:GateError"}


@pytest.mark.parametrize("error", [GateError, AuditError, BackendError, FactsError, StateError])
def test_an_error_of_ours_is_told_in_its_own_words(error: type[Exception]) -> None:
    assert in_words(error("the disk is full")) == "the disk is full"


class StateError_(Exception):  # noqa: N801, N818
    """Looks like one of ours."""


StateError_.__name__ = "StateError"


def test_what_is_only_called_like_one_of_ours_is_a_fault_of_the_gate() -> None:
    assert in_words(StateError_("x")).startswith("internal fault, please report it: StateError")
