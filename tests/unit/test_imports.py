"""What a process imports is what it weighs: a job may wait for days, and a thousand of them at once."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.site import CHECKOUT

FAT = {"click", "yaml", "jsonschema", "requests", "aiohttp", "asyncio", "config", "importlib.metadata", "pathlib"}
HEAVY = {"json", "re", "hashlib", "subprocess", "typing", "dataclasses", "audit", "collections"}


def imported_by(module: str) -> set[str]:
    """Names of all modules in a bare Python that has imported `module`."""
    code = f"import sys; sys.path.insert(0, {str(CHECKOUT)!r}); import {module}; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["executor.prepare", "executor.steps", "executor.run"])
def test_what_waits_checks_or_runs_imports_nothing_fat(module: str) -> None:
    assert imported_by(module) & FAT == set()


def test_the_process_that_waits_imports_next_to_nothing() -> None:
    assert imported_by("executor.prepare") & HEAVY == set()


def test_only_a_courier_imports_what_starts_a_command() -> None:
    assert imported_by("executor.steps") & {"subprocess", "threading", "gate.courier"} == set()


@pytest.mark.parametrize(
    ("part", "others"),
    [("audit.log", {"gate", "executor", "config"}), ("audit.verify", {"gate", "executor", "config"}),
     ("gate.inbox", {"executor", "config"}), ("gate.rules", {"executor", "config", "audit"}),
     ("gate.match", {"executor", "config", "audit"}), ("config.places", {"executor", "gate", "audit"}),
     ("gate.notice", {"executor", "config"}), ("gate.courier", {"executor", "config", "audit"})],
)  # fmt: skip
def test_imports_run_one_way(part: str, others: set[str]) -> None:
    assert imported_by(part) & others == set()


def test_the_command_line_loads_no_cryptography_before_it_is_needed() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(CHECKOUT)!r}); import gate.commands; print('cryptography' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
