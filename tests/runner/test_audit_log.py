"""The audit log as jobs and their logs in GitLab meet it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.runner.gated import HEAD, Gated
from tests.support.audit_logs import add

if TYPE_CHECKING:
    from collections.abc import Callable

    Start = Callable[..., Gated]

MIB = 1024 * 1024


def grow(case: Gated) -> None:
    """Append until the next stage that sweeps has to rotate."""
    directory = case.site.state / "audit"
    while max(file.stat().st_size for file in directory.glob("audit.*.jsonl")) < MIB:
        add(directory, "ended", "of-another-job", comment="x" * 7000)


def test_a_job_waits_through_a_rotation_of_the_log(gated: Start) -> None:
    case = gated(audit={"rotate_at": "1MiB"})
    job = case.waiting()
    grow(case)
    other = case.waiting()  # its config stage sweeps
    assert (case.site.state / "audit" / "audit.2.jsonl").exists()

    case.drop(other, "reject")
    case.drop(job, "approve")

    assert (case.outcome(job), case.outcome(other)[2]) == (("success", None, None), 80)
    assert case.site.events(job) == ["requested", "vote", "decided", "released", "ended"]
    heads = HEAD.findall(case.harness.trace(job) + case.harness.trace(other))
    report = case.site.verify(heads)
    assert (len(heads), report.problems, len(report.met)) == (4, (), 4)
