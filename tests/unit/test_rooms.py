"""The rooms of the house: what may import what, as pyproject.toml has it for import-linter."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.site import CHECKOUT

LINTER = Path(sys.executable).with_name("lint-imports")
PACKAGES = ("audit", "config", "executor", "gate")
WITHIN_S = 120
PLANTED = {
    "upwards, between packages": ("audit/lock.py", "import gate", "executor stands on gate"),
    "upwards, between rooms": ("gate/store/files.py", "import gate.flow.decide", "the rooms of gate"),
    "in a function": ("gate/model/words.py", "def late() -> None:\n    import gate.votes.inbox", "the rooms of gate"),
    "from a stage to a command": ("executor/run.py", "import executor.rehearsal.job", "what `gate` adds"),
    "for a type": ("audit/record.py", "if TYPE_CHECKING:\n    import audit.log", "no circle"),
    "gate.yaml in a step": ("executor/steps.py", "import config.load", "read gate.yaml"),
    "a file in what decides": ("gate/model/rules.py", "import audit.log", "what decides knows no log"),
    "a module without a room": ("gate/stray.py", "", "the rooms of gate"),
}


def lint(directory: Path) -> subprocess.CompletedProcess[str]:
    if not LINTER.exists():
        pytest.skip("no lint-imports: pip install --group lint; what may import what is not looked at")
    command = [str(LINTER), "--no-cache", "--no-logo"]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False, timeout=WITHIN_S)


def test_every_import_runs_downwards_and_none_in_a_circle() -> None:
    done = lint(CHECKOUT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("case", PLANTED)
def test_an_import_that_breaks_the_rules_is_found(tmp_path: Path, case: str) -> None:
    path, planted, contract = PLANTED[case]
    for package in PACKAGES:
        shutil.copytree(CHECKOUT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(CHECKOUT / "pyproject.toml", tmp_path)
    with (tmp_path / path).open("a", encoding="utf-8") as file:
        file.write(f"\n{planted}\n")
    done = lint(tmp_path)
    broken = [line for line in done.stdout.splitlines() if " BROKEN" in line]
    assert done.returncode == 1
    assert any(contract in line for line in broken), done.stdout
