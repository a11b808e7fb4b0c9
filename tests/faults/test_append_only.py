"""Whole jobs, a rotation, and a torn record, while the kernel lets nobody change or cut what is in audit/ (chattr(1) +a)."""

from __future__ import annotations

import re
import subprocess
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from audit import log
from tests.support.audit_logs import add
from tests.support.harness import RehearsalHarness
from tests.support.loop_mount import mounted
from tests.support.site import APPROVER, Site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IMAGE_BYTES = 32 << 20
MIB = 1 << 20
HEAD = re.compile(r"audit head seq=(\d+) sha256=([0-9a-f]{64})")
WHOLE = ["requested", "vote", "decided", "released", "ended"]


class Gate:
    """A gate on a disk whose audit log is append-only, as far as there is one."""

    def __init__(self, site: Site, harness: RehearsalHarness) -> None:
        self.site, self.harness = site, harness
        self.audit = site.state / "audit"
        self.heads: list[tuple[str, str]] = []

    def protect(self) -> None:
        """As docs/how-to/audit.md says."""
        subprocess.run(["chattr", "+a", *map(str, self.segments), str(self.audit)], check=True)

    @property
    def segments(self) -> list[Path]:
        return sorted(self.audit.glob("audit.*.jsonl"))

    def do_job(self, answer: str) -> int:
        """A job from its beginning to its end."""
        job = self.harness.submit(script=[f"echo {len(self.heads)}"])  # a rejected one is not asked for again
        self.harness.wait_trace(job, "audit head")
        self.site.drop(APPROVER, f"{job}.{answer}")
        self.harness.wait(job)
        self.heads += HEAD.findall(self.harness.trace(job))
        return job

    def events(self, job: int) -> list[str]:
        """What is recorded of a job."""
        found = [record for _head, record in log.records(str(self.audit))]
        return [record["event"] for record in found if record.get("job", {}).get("id") == job]

    def fill(self) -> None:
        """The next stage that sweeps has to rotate."""
        while self.segments[-1].stat().st_size < MIB:
            add(self.audit, "ended", "of-another-job", comment="x" * 7000)


@pytest.fixture
def gate(tmp_path: Path, root: None) -> Iterator[Gate]:
    image, scratch = tmp_path / "image", tmp_path / "runner"
    with image.open("wb") as made:
        made.truncate(IMAGE_BYTES)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    scratch.mkdir(mode=0o700)
    with Site(audit={"rotate_at": "1MiB"}) as site, ExitStack() as stack:
        site.state.mkdir()
        stack.enter_context(mounted(image, site.state))
        harness = RehearsalHarness(site.wiring(), scratch)
        stack.callback(harness.close)
        yield Gate(site, harness)


def test_jobs_and_a_rotation_need_no_more_than_to_append(gate: Gate) -> None:
    first = gate.do_job("approve")
    gate.protect()
    with pytest.raises(PermissionError):
        gate.segments[0].write_bytes(b"")

    for answer, events in (("approve", WHOLE), ("reject", ["requested", "vote", "decided", "ended"])):
        assert gate.events(gate.do_job(answer)) == events
    assert gate.events(first) == WHOLE

    with gate.segments[-1].open("ab") as torn:
        torn.write(b'{"half')
    assert gate.site.verify(gate.heads).unfinished
    mended = gate.do_job("approve")

    gate.fill()
    rotated = gate.do_job("approve")
    assert [path.name for path in gate.segments] == ["audit.1.jsonl", "audit.2.jsonl"]
    gate.protect()
    last = gate.do_job("approve")

    report = gate.site.verify(gate.heads)
    assert (report.problems, report.mended, len(report.met)) == ((), 1, len(gate.heads))
    assert [gate.events(job) for job in (mended, rotated, last)] == [WHOLE] * 3
