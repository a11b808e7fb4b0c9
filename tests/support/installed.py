"""The gate as pip installs it, in a directory of its own, to be replaced while a job waits."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from tests.support.site import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path

_PACKAGES = ("executor", "gate", "config", "audit")
# What a step of the new version needs of a module that the waiting process has from the old one.
_NEEDED = "\n\ndef told_by_the_new_version() -> str:\n    return 'new'\n"
_NEEDS = (
    "\nfrom executor.runner_contract import told_by_the_new_version\nfrom gate.clock import told_by_the_new_version\n"
)


class Installed:
    """`gitlab_runner_gate.py`, and all else in its private directory."""

    def __init__(self, directory: Path) -> None:
        self.entry = directory / "gitlab_runner_gate.py"
        self._private = directory / "_gitlab_runner_gate"
        directory.chmod(0o755)
        self.install()

    def driver(self, config: Path) -> list[str]:
        """The command of the executor, up to the stage word."""
        return [sys.executable, "-I", str(self.entry), "--config", str(config)]

    def remove(self) -> None:
        """As `pip install --upgrade` begins."""
        self.entry.unlink()
        shutil.rmtree(self._private)

    def install(self, version: str = "") -> None:
        """Put it there, all at once; as that version, whose parts need each other, where one is given."""
        made = self._private.with_name("made")
        for name in _PACKAGES:
            shutil.copytree(CHECKOUT / name, made / name, ignore=shutil.ignore_patterns("__pycache__"))
        if version:
            _change(made / "gate/__init__.py", '__version__ = "', f'__version__ = "{version}"  # "')
            for module in ("executor/runner_contract.py", "gate/clock.py"):
                _append(made / module, _NEEDED)
            _append(made / "executor/steps.py", _NEEDS)
        shutil.copy(CHECKOUT / "gitlab_runner_gate.py", self.entry)
        made.rename(self._private)

    def append(self, module: str, code: str) -> None:
        """Add to a module."""
        _append(self._private / module, code)


def _append(path: Path, code: str) -> None:
    with path.open("a", encoding="utf-8") as target:
        target.write(code)


def _change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")
