"""What a process imports is what it weighs: a job may wait for days, and a thousand of them at once."""

from __future__ import annotations

import ast
import subprocess
import sys
import tempfile

import pytest

from tests.support.site import CHECKOUT

FAT = {"click", "yaml", "jsonschema", "requests", "aiohttp", "asyncio", "config", "importlib.metadata", "pathlib"}
HEAVY = {"json", "re", "hashlib", "subprocess", "typing", "dataclasses", "audit.record", "collections"}


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


def test_what_only_looks_whether_a_job_is_released_imports_no_json() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(CHECKOUT)!r})\n"
        "from executor.run import run\n"
        "from gate.store.files import read_json\n"
        "print(read_json(sys.argv[1]), sorted({'json', 're', 'enum', 'functools', 'signal'} & set(sys.modules)))"
    )
    with tempfile.NamedTemporaryFile("w") as release:
        release.write('{"v": 1}')
        release.flush()
        command = [sys.executable, "-I", "-S", "-c", code, release.name]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "{'v': 1} []\n"


@pytest.mark.parametrize("module", ["executor.config_stage", "executor.cleanup", "config.load", "config.compiled"])
def test_what_reads_an_unchanged_gate_yaml_imports_neither_yaml_nor_the_schema_s_library(module: str) -> None:
    assert imported_by(module) & {"yaml", "jsonschema", "config.parser", "dataclasses", "typing", "difflib"} == set()


@pytest.mark.parametrize("module", ["executor.main", "executor.config_stage", "executor.cleanup", "config.compiled"])
def test_what_reads_gate_yaml_is_imported_only_once_its_code_has_been_hashed(module: str) -> None:
    """Otherwise it could be that of another version than the one that it is kept under (config/compiled.py)."""
    early = {name for name in imported_by(module) if name.startswith("config.")}
    assert early <= {"config.compiled", "config.faults", "config.host"}


def test_only_a_courier_imports_what_starts_a_command() -> None:
    assert imported_by("executor.steps") & {"subprocess", "threading", "gate.flow.detached"} == set()


@pytest.mark.parametrize(
    ("part", "others"),
    [("audit.log", {"gate", "executor", "config"}), ("audit.verify", {"gate", "executor", "config"}),
     ("gate.votes.inbox", {"executor", "config"}), ("gate.model.rules", {"executor", "config", "audit"}),
     ("gate.model.matching", {"executor", "config", "audit"}), ("config.seating", {"executor", "gate", "audit"}),
     ("gate.flow.on_event", {"executor", "config"}), ("gate.flow.detached", {"executor", "config", "audit"})],
)  # fmt: skip
def test_imports_run_one_way(part: str, others: set[str]) -> None:
    assert imported_by(part) & others == set()


def test_the_command_line_loads_no_library_before_it_is_needed() -> None:
    libraries = {"cryptography", "filelock", "argon2", "aiohttp", "itsdangerous"}
    code = f"import sys; sys.path.insert(0, {str(CHECKOUT)!r}); import gate.commands; print({libraries} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_the_process_that_waits_has_all_that_it_needs_of_us_before_it_waits() -> None:
    """While it waits, another version may be installed, or none be there at all."""
    own = {"executor", "gate", "audit", "config"}
    at_start = {
        ("executor.prepare", "_prepare_timeout"),
        ("executor.prepare", "_result"),
    }  # and in a step's own process
    late = set()
    for module in [name for name in imported_by("executor.prepare") if name.partition(".")[0] in own]:
        path = CHECKOUT / module.replace(".", "/")
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        for function in [each for each in ast.walk(ast.parse(file.read_text())) if isinstance(each, ast.FunctionDef)]:
            imports = [each for each in ast.walk(function) if isinstance(each, ast.ImportFrom)]
            late |= {(module, function.name) for each in imports if str(each.module).partition(".")[0] in own}
    assert late == at_start
