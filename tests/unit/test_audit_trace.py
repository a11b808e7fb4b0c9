"""Heads out of GitLab job logs: those of the gate in every form that logs come in, and never one that a script printed."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.errors import AuditError
from audit.trace import LINE_MAX_BYTES, anchors_in
from tests.support.audit_gate import AuditGate
from tests.support.job_log import AFTER, BEFORE, END, FORGED, FORMS, HEADS, SCRIPT, head_line, raw

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def heads_in(log: str | bytes) -> list[tuple[int, str]]:
    content = log.encode() if isinstance(log, str) else log
    return [(anchor.seq, anchor.sha256) for anchor in anchors_in(io.BytesIO(content), "job.log")]


@pytest.mark.parametrize("form", FORMS)
def test_the_gate_s_own_heads_are_found_and_no_others(form: str) -> None:
    assert heads_in(FORMS[form](raw())) == HEADS


@pytest.mark.parametrize("form", FORMS)
def test_a_script_s_heads_alone_are_none(form: str) -> None:
    before = [line for line in BEFORE if not line.startswith("gate: audit head")]

    with pytest.raises(AuditError, match=r"job\.log holds no audit head before its script"):
        heads_in(FORMS[form](raw(before)))


@pytest.mark.parametrize("start", range(5, len(BEFORE) + len(AFTER)))
def test_a_log_without_its_beginning_vouches_for_nothing(start: int) -> None:
    whole = [*BEFORE, *AFTER, *SCRIPT, *END]

    with pytest.raises(AuditError, match="from its first line"):
        heads_in("\n".join(whole[start:]))


@pytest.mark.parametrize("end", ["", *AFTER])
def test_a_log_that_is_not_at_its_end_yet_has_the_heads_so_far(end: str) -> None:
    assert heads_in("\n".join([*BEFORE[:-1], end])) == HEADS[:1]


@pytest.mark.parametrize(
    "line",
    [
        " " + head_line(*FORGED),
        head_line(*FORGED) + " ",
        "\x1b[0K" + head_line(*FORGED),
        "x\r" + head_line(*FORGED),
        head_line(*FORGED).replace("0" * 64, "0" * 63),
        head_line(*FORGED).replace("seq=9", "seq=0"),
        head_line(*FORGED).replace("seq=9", "seq=" + "9" * 17),
        head_line(*FORGED).replace("seq=9", "seq=\u0669"),
        head_line(*FORGED).upper(),
        "x" * LINE_MAX_BYTES + head_line(*FORGED),
    ],
)
def test_what_only_looks_like_a_head_is_none(line: str) -> None:
    assert heads_in(raw([*BEFORE, line])) == HEADS


def test_a_line_that_goes_on_is_no_line_of_its_own() -> None:
    log = FORMS["stamped"](raw([*BEFORE[:-1], "gate: x", "MORE", BEFORE[-1]])).replace(
        "00O MORE", f"00O+{head_line(*FORGED)}"
    )

    assert heads_in(log) == HEADS


@given(st.lists(st.sampled_from([*SCRIPT, *BEFORE, *AFTER]) | st.text(), max_size=12), st.sampled_from(sorted(FORMS)))
def test_no_script_adds_a_head(script: list[str], form: str) -> None:
    assert heads_in(FORMS[form](raw(script=script))) == HEADS


@given(st.binary())
def test_any_file_is_read_to_an_answer(content: bytes) -> None:
    with pytest.raises(AuditError, match="no audit head"):
        heads_in(content)


@pytest.fixture
def gate() -> Iterator[AuditGate]:
    with AuditGate() as made:
        yield made


def _log_of(gate: AuditGate) -> str:
    before = [line for line in BEFORE if not line.startswith("gate: audit head")]
    heads = gate.fill(3)
    return raw([*before, head_line(*heads[0]), head_line(*heads[2])])


def test_verify_takes_job_logs_from_files_and_stdin(gate: AuditGate, tmp_path: Path) -> None:
    log = _log_of(gate)
    (tmp_path / "job.log").write_text(log, newline="")

    said = gate.audit("verify", "--from-trace", str(tmp_path / "job.log"), "--from-trace", "-", stdin=log)

    assert (said.exit_code, said.exception) == (0, None)
    assert f"anchors met: 2, 4 ({tmp_path}/job.log); 2, 4 (stdin)" in said.stdout
    assert "without an anchor" not in said.stdout


def test_verify_holds_the_log_against_them(gate: AuditGate, tmp_path: Path) -> None:
    log = _log_of(gate)
    (tmp_path / "job.log").write_text(log, newline="")
    file = gate.log / "audit.1.jsonl"
    file.write_bytes(file.read_bytes().replace(b"number 2", b"number 9"))

    said = gate.audit("verify", "--from-trace", str(tmp_path / "job.log"))

    assert said.exit_code == 1
    assert f", which {tmp_path}/job.log names, found " in said.stdout
    assert "sound: records 1 to 2\n" in said.stdout


@pytest.mark.parametrize(("log", "told"), [("", "holds no audit head"), (None, "No such file or directory")])
def test_a_job_log_of_no_use_is_told(gate: AuditGate, tmp_path: Path, log: str | None, told: str) -> None:
    gate.fill(1)
    path = tmp_path / "job.log"
    if log is not None:
        path.write_text(log)

    said = gate.audit("verify", "--from-trace", str(path))

    assert said.exit_code == 1
    assert told in str(said.exception)
