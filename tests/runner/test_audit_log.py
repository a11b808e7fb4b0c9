"""The audit log as jobs and their logs in GitLab meet it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from audit.trace import anchors_in
from tests.runner.gated import HEAD, Gated
from tests.support.audit_logs import add, lines_of
from tests.support.listener import Listener

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

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


FORGED = "gate: audit head seq=2 sha256=" + "0" * 64
FORGED_SECTION = (
    r"""section_start:1:prepare_executor\r\033[0K\033[36;1mPreparing the \"custom\" executor\033[0;m\n%s\n"""
)
FORGING = [f"echo {FORGED}", f"printf '{FORGED_SECTION}' '{FORGED}'"]


@pytest.mark.parametrize("stamps", [None, "false", "true"])
def test_a_job_s_log_anchors_the_audit_log_and_its_script_cannot(
    gated: Start, tmp_path: Path, stamps: str | None
) -> None:
    case = gated()
    job = case.waiting(script=FORGING, variables={"FF_TIMESTAMPS": stamps} if stamps else {})
    case.drop(job, "approve")
    case.outcome(job)
    log = tmp_path / "job.log"
    log.write_bytes(case.harness.raw_trace(job))

    assert log.read_bytes().count(FORGED.encode()) > 2
    said = case.site.gate_here("audit", "verify", "--from-trace", str(log))
    assert (said.exit_code, said.exception) == (0, None)
    assert f"anchors met: 2, 5 ({log})" in said.stdout


def test_a_job_whose_log_says_otherwise_than_the_audit_log_is_told(gated: Start, tmp_path: Path) -> None:
    case = gated()
    job = case.waiting()
    case.drop(job, "reject", "never on a Friday")
    case.outcome(job)
    log, audit = tmp_path / "job.log", case.site.state / "audit" / "audit.1.jsonl"
    log.write_bytes(case.harness.raw_trace(job))
    audit.write_bytes(b"".join(line for line in lines_of(audit) if b"decided" not in line))

    said = case.site.gate_here("audit", "verify", "--from-trace", str(log))
    assert said.exit_code == 1
    assert f"audit.1.jsonl: expected a record 4, which {log} names, found none: it was taken out" in said.stdout


def test_each_attempt_of_a_job_leaves_its_head_where_it_counts(gated: Start, tmp_path: Path) -> None:
    case = gated()
    job = case.waiting()
    case.kill_waiter(job)
    case.harness.wait_trace(job, "still waits for the approval that it asked for before")
    case.drop(job, "approve")
    case.outcome(job)
    log = tmp_path / "job.log"
    log.write_bytes(case.harness.raw_trace(job))

    with log.open("rb") as source:
        assert len(anchors_in(source, "job.log")) == len(HEAD.findall(case.harness.trace(job))) == 3


@pytest.mark.parametrize("copy_to", ["syslog", "journald"])
def test_each_record_of_a_job_is_sent_as_gate_yaml_says(gated: Start, copy_to: str) -> None:
    case = gated(audit={"copy_to": copy_to})
    first = case.waiting()
    told = case.site.state / "audit" / "audit.copy"
    assert json.loads(told.read_text())["socket"] in ("/dev/log", "/run/systemd/journal/socket")
    with Listener() as listener:
        told.write_text(json.dumps({"copy_to": copy_to, "socket": listener.path}))
        case.drop(first, "reject")
        case.outcome(first)
        heard = b"".join(listener.heard())
    events = [event for event in ("vote", "decided", "ended") if f'"event":"{event}"'.encode() in heard]
    assert events == ["vote", "decided", "ended"]

    del case.site.config["audit"]
    case.site.write()
    case.waiting()
    assert json.loads(told.read_text()) == {"copy_to": None, "socket": None}
