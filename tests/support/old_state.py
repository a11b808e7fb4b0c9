"""Makes tests/data/state-<name>: what a gate of an older commit leaves on disk, with a job that still waits.

As root, with `git worktree add /tmp/old <commit>`, on a host of another name:

    unshare --uts sh -c 'hostname build01; exec .venv/bin/python -m tests.support.old_state /tmp/old <name>'

Job 1001 was approved by alice and bob, and ran; 1002 was rejected; 1003 waits, and alice has approved it. Where the
gate lay stands as @BASE@ in it, and waiting.json is the job response of 1003.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from tests.runner.gated import Gated
from tests.support.harness import RehearsalHarness
from tests.support.site import CHECKOUT, Site
from tests.support.wiring import DriverWiring

PLACE = "@BASE@"


def main(old: Path, name: str) -> None:
    """Let the old gate do all that, and keep what it wrote."""
    rule = {"approvals": [{"count": 2, "of": ["release-managers"]}]}
    with Site(rule=rule) as site, tempfile.TemporaryDirectory() as scratch:
        driver = [sys.executable, "-I", str(old / "gitlab_runner_gate.py"), "--config", str(site.yaml)]
        harness = RehearsalHarness(DriverWiring.of(driver), Path(scratch))
        case = Gated(site, harness)
        answered = {"deploy": ["alice.approve", "bob.approve"], "migrate": ["alice.reject"]}
        for name_of_job, answers in answered.items():
            job = case.waiting(name=name_of_job)
            for person, _, answer in (each.partition(".") for each in answers):
                case.drop(job, answer, f"{person} says {answer}", person)
            case.outcome(job)
        job = case.waiting()
        case.drop(job, "approve", "go ahead", "alice")
        harness.wait_trace(job, "alice approves")
        _keep(site.state, next(Path(scratch).glob(f"*{job}*.json")), CHECKOUT / "tests" / "data" / f"state-{name}")
        harness.close()


def _keep(state: Path, response: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    shutil.copy(response, target / "waiting.json")
    for file in sorted(path for path in state.rglob("*") if path.is_file() and path.name != "audit.lock"):
        kept = target / file.relative_to(state)
        kept.parent.mkdir(parents=True, exist_ok=True)
        content = file.read_bytes()
        kept.write_bytes(
            content.replace(str(state.parent).encode(), PLACE.encode()) if file.suffix == ".json" else content
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
