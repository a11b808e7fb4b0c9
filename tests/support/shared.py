"""What is made once for all workers of a test run, and is gone when the run ends (tests/conftest.py)."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

if TYPE_CHECKING:
    from collections.abc import Callable

_VARIABLE = "GATE_TESTS_SHARED"  # workers inherit the environment of the process that starts them
_MADE_WITHIN_S = 300


def begin() -> None:
    """Make the run's directory; for the process that starts the workers."""
    directory = tempfile.mkdtemp(prefix="gate-tests-")
    Path(directory).chmod(0o755)
    os.environ[_VARIABLE] = directory


def end() -> None:
    """Remove it, with all that was made."""
    shutil.rmtree(os.environ.pop(_VARIABLE, ""), ignore_errors=True)


def made_once(name: str, make: Callable[[Path], None]) -> Path:
    """The directory `name`, filled by `make` in the first worker that wants it; one that failed is made again."""
    directory = Path(os.environ[_VARIABLE], name)
    with FileLock(f"{directory}.lock", timeout=_MADE_WITHIN_S):
        if not directory.is_dir():
            fresh = Path(tempfile.mkdtemp(prefix=name, dir=directory.parent))
            fresh.chmod(0o755)
            make(fresh)
            fresh.rename(directory)
    return directory
