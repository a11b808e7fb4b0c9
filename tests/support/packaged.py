"""`make package`: builds sdist and wheel into dist/, and shows that the wheel works where others have taken our names.

- The wheel that comes of the sdist is the one that comes of the checkout; twine finds no fault with either.
- In a fresh venv PyPI's `executor` and `config` lie beside it, and no file is two packages'.
- The demo runs there, once approved and once rejected, from a directory that holds the tests and nothing else.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
DIST = CHECKOUT / "dist"
NEIGHBOURS = ("executor", "config")  # of PyPI: one of them overwrote ours, before ours had a directory of their own

_OWNERS = """
import importlib.metadata as m, sys
files = {}
for name in sys.argv[1:]:
    for file in m.files(name):
        if "__pycache__" not in file.parts and not str(file).startswith("../"):
            assert files.setdefault(str(file.locate()), name) == name, f"{file} is of {files[str(file.locate())]} and of {name}"
import executor
print(executor.__file__)
"""
_DEMO = """
import os, runpy, sys
import gitlab_runner_gate
import audit, config, executor, gate
for part in (audit, config, executor, gate):
    assert part.__file__.startswith(os.path.join(sys.prefix, "lib", "")) and "_gitlab_runner_gate" in part.__file__, part
sys.path.append(os.getcwd())
sys.argv = ["make demo", sys.argv[1]]
runpy.run_module("tests.support.demo", run_name="__main__")
"""


def main() -> int:
    """Do all of it; what fails says why, by an exception."""
    version = _ours("-c", "import gate; print(gate.__version__)")
    wheel = _build()
    with tempfile.TemporaryDirectory(prefix="gate-package-") as name:
        base = Path(name)
        base.chmod(0o755)
        _same_wheel_from_the_checkout(wheel, base)
        python = _venv(base / "venv", wheel)
        assert _said(python.with_name("gate"), "--version") == f"gitlab-runner-gate, version {version}"
        of_pypi = _said(python, "-I", "-c", _OWNERS, "gitlab-runner-gate", *NEIGHBOURS)
        assert of_pypi.endswith("/site-packages/executor/__init__.py"), of_pypi
        shutil.copytree(CHECKOUT / "tests", base / "only-tests" / "tests")
        for answer in ("approve", "reject"):
            subprocess.run([python, "-I", "-c", _DEMO, answer], cwd=base / "only-tests", env=_environment(), check=True)
    print(
        f"\nmake package: {wheel.name} and its sdist are in {DIST}, and work beside PyPI's {' and '.join(NEIGHBOURS)}"
    )
    return 0


def _build() -> Path:
    shutil.rmtree(DIST, ignore_errors=True)
    _ours("-m", "build", "--outdir", str(DIST), str(CHECKOUT))
    (sdist,), (wheel,) = DIST.glob("*.tar.gz"), DIST.glob("*.whl")
    _ours("-m", "twine", "--no-color", "check", "--strict", str(sdist), str(wheel))
    return wheel


def _same_wheel_from_the_checkout(wheel: Path, base: Path) -> None:
    _ours("-m", "build", "--wheel", "--outdir", str(base / "direct"), str(CHECKOUT))
    assert _contents(wheel) == _contents(base / "direct" / wheel.name)


def _contents(wheel: Path) -> dict[str, str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()}


def _venv(path: Path, wheel: Path) -> Path:
    """A venv with the wheel and its neighbours; returns its Python."""
    _ours("-m", "venv", str(path))
    python = path / "bin" / "python"
    _said(python, "-I", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel), *NEIGHBOURS)
    _said(python, "-I", "-m", "pip", "check")
    return python


def _ours(*words: str) -> str:
    return _said(Path(sys.executable), *words)


def _said(program: Path, *words: str) -> str:
    done = subprocess.run([program, *words], cwd=CHECKOUT if program == Path(sys.executable) else "/", text=True,
                          capture_output=True, check=False, env=_environment())  # fmt: skip
    if done.returncode:
        raise SystemExit(f"make package: {program} {' '.join(words)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


if __name__ == "__main__":
    sys.exit(main())
