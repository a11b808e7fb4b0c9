"""docs/how-to/backup.md, its shell blocks run as they stand, but for the paths: what was backed up comes back."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from gate.store import audit_key
from tests.support.site import CHECKOUT, ENTRY, Site
from tests.support.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STATE_DIR = "/var/lib/gitlab-runner-gate"
LEFT_OUT = {"drop", "turned-away", "work", "cache", "compiled", "reserve"}
_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site() as site:
        stage = Stage(site)
        stage.decided(stage.waiting(), "approved", "go")
        stage.decided(stage.waiting(), "rejected", "no")
        stage.waiting(hold=False)
        audit_key.make(str(site.state), "test.example")
        for name in ("accounts", "index.sqlite", "index.sqlite-wal"):
            (site.state / "page" / name).mkdir(parents=True, mode=0o700)
        gate = tmp_path / "gate"
        code = "import sys; sys.argv[0] = 'gate'; import gitlab_runner_gate as it; it.gate_main()"
        gate.write_text(f'#!/bin/sh\nexport PYTHONPATH={ENTRY.parent}\nexec {sys.executable} -c "{code}" "$@"\n')
        gate.chmod(0o755)
        yield site


def run(block: int, site: Site, cwd: Path) -> str:
    text = _BLOCK.findall((CHECKOUT / "docs" / "how-to" / "backup.md").read_text(encoding="utf-8"))[block]
    assert STATE_DIR in text or "restored" in text
    text = text.replace(STATE_DIR, str(site.state)).replace("/etc gitlab-runner-gate", f"{site.base} gate.yaml")
    env = {**os.environ, "PATH": f"{cwd}:{os.environ['PATH']}", "GATE_CONFIG": str(site.yaml)}
    words = ["sh", "-e", "-c", text]
    done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def tree(top: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """What there is, but for what the page says is left out: mode, owner, group, content."""
    found = {}
    for path in sorted(top.rglob("*")):
        name = str(path.relative_to(top))
        if name.split("/", maxsplit=1)[0] not in LEFT_OUT and "index.sqlite" not in name:
            state = path.lstat()
            content = path.read_bytes() if path.is_file() else b""
            found[name] = (state.st_mode, state.st_uid, state.st_gid, content)
    return found


def test_what_was_backed_up_comes_back(site: Site, tmp_path: Path) -> None:
    before = tree(site.state)
    run(0, site, tmp_path)
    shutil.move(site.state, tmp_path / "lost")
    assert "records" in run(2, site, tmp_path)
    assert tree(site.state) == before
    assert {"audit/audit.1.jsonl", "audit.key", "secret", "page/accounts"} <= before.keys()


def test_a_copy_is_verified_by_itself(site: Site, tmp_path: Path) -> None:
    run(0, site, tmp_path)
    shutil.rmtree(site.state)
    assert run(1, site, tmp_path).startswith(f"ok    {site_records(tmp_path)} records")


def site_records(where: Path) -> int:
    return len((where / "restored" / "audit" / "audit.1.jsonl").read_bytes().splitlines())
