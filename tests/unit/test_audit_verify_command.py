"""`gate audit verify`: what it prints, for people and as JSON."""

from __future__ import annotations

import math
import shutil
from typing import TYPE_CHECKING

import pytest

from audit import retention
from audit.rotate import rotate
from tests.support.audit_gate import AuditGate
from tests.support.audit_logs import lines_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def gate() -> Iterator[AuditGate]:
    with AuditGate() as made:
        yield made


def test_a_whole_log_without_an_anchor_says_what_cannot_be_known(gate: AuditGate) -> None:
    gate.fill(3)

    said = gate.audit("verify")

    assert said.exit_code == 0
    verdict, sound, unknown = said.stdout.splitlines()
    assert verdict.startswith("ok    4 records; log ")
    assert sound == "sound: records 1 to 4"
    assert "without an anchor" in unknown


def test_with_an_anchor_it_says_up_to_where_that_vouches(gate: AuditGate) -> None:
    heads = gate.fill(3)

    said = gate.audit("verify", "--anchor", f"{heads[0].seq}:{heads[0].sha256}")
    written = f"seq={heads[2].seq} sha256={heads[2].sha256}"
    whole = gate.audit("verify", "--anchor", written)
    as_printed = gate.audit("verify", "--anchor", f"gate: audit head {written}")

    assert said.stdout.splitlines()[2] == "anchors met: 2 (--anchor)"
    assert "they vouch for records 1 to 2; of the others, nobody outside" in said.stdout
    assert as_printed.stdout.splitlines()[2:] == whole.stdout.splitlines()[2:] == ["anchors met: 4 (--anchor)"]


def test_a_changed_log_says_where_and_what_is_still_sound(gate: AuditGate) -> None:
    gate.fill(5)
    file = gate.log / "audit.1.jsonl"
    file.write_bytes(file.read_bytes().replace(b"number 1", b"number 7"))

    said = gate.audit("verify")

    assert said.exit_code == 1
    problem, verdict, sound, _ = said.stdout.splitlines()
    assert problem.startswith("audit.1.jsonl:4: expected prev ")
    assert verdict.startswith("fail  6 records; ")
    assert sound == "sound: records 1 to 2, 4 to 6"
    assert str(said.exception) == f"the audit log in {gate.log} is not what was written: 1 problem"


def test_json_holds_all_of_it(gate: AuditGate) -> None:
    heads = gate.fill(5)
    file = gate.log / "audit.1.jsonl"
    file.write_bytes(b"".join(line for n, line in enumerate(lines_of(file)) if n != 2) + b'{"half')

    found = gate.audit_json("verify", "--anchor", f"6:{heads[4].sha256}")

    assert (found["ok"], found["records"], found["sound"]) == (False, 5, [[1, 1], [4, 6]])
    assert found["problems"] == [{"file": "audit.1.jsonl", "line": 3, "expected": "seq 3", "found": "4"}]
    assert found["vouched"] == [[4, 6]]
    assert found["anchors_met"] == [{"seq": 6, "sha256": heads[4].sha256, "source": "--anchor", "log_id": ""}]
    assert found["head"] == {"seq": 6, "sha256": heads[4].sha256}
    assert "unfinished last line of 6 bytes" in found["unfinished"]
    assert (found["further_problems"], found["further_sound"], found["mended"]) == (0, 0, 0)


@pytest.mark.parametrize(
    "text", ["", "5", "5:abc", "0:" + "0" * 64, "5:" + "A" * 64, "seq=5", "9" * 17 + ":" + "0" * 64]
)
def test_what_is_no_anchor_is_told(gate: AuditGate, text: str) -> None:
    said = gate.audit("verify", "--anchor", text)

    assert said.exit_code == 1
    assert str(said.exception).startswith(f"--anchor {text!r} is not SEQ:SHA256")


def test_a_log_that_holds_nothing_is_told(gate: AuditGate) -> None:
    said = gate.audit("verify")

    assert said.exit_code == 1
    assert said.stdout.startswith("audit.1.jsonl: expected an audit log, found no record in ")


def test_a_copy_of_the_log_needs_no_gate_yaml(gate: AuditGate, tmp_path: Path) -> None:
    gate.fill(2)
    shutil.copytree(gate.log, tmp_path / "copy")
    gate.yaml.unlink()

    said = gate.audit("verify", "--directory", str(tmp_path / "copy"))
    with_note = gate.audit("verify", "--directory", str(tmp_path / "copy"), "--checkpoint", "/dev/null")
    nowhere = gate.audit("verify", "--directory", str(tmp_path / "nowhere"))

    assert (said.exit_code, said.stdout[:12]) == (0, "ok    3 reco")
    assert "needs a --verifier-key with --directory" in str(with_note.exception)
    assert "No such file or directory" in str(nowhere.exception)


def test_a_log_that_was_let_go_of_says_from_where_it_is_there(gate: AuditGate) -> None:
    heads = gate.fill(2)
    for _ in range(3):
        rotate(str(gate.log), 1, version="0", limits=retention.Limits(-60, math.inf, lambda: 9))
        retention.let_go(str(gate.log))
        heads += gate.fill(1)
    old, young = (f"{head.seq}:{head.sha256}" for head in (heads[0], heads[-1]))

    alone = gate.audit("verify")
    of_old = gate.audit("verify", "--anchor", old)
    of_both = gate.audit("verify", "--anchor", old, "--anchor", young)

    assert (alone.exit_code, alone.stdout.splitlines()[0][:6]) == (0, "ok    ")
    assert alone.stdout.splitlines()[1:3] == [
        "sound: records 6 to 9",
        "records before 6 were let go (keep.log), as the log says itself",
    ]
    assert (of_old.exit_code, of_old.stdout[:13]) == (1, "cannot know: ")
    assert str(of_old.exception).startswith("it cannot be known whether the log goes through any of these anchors")
    assert "cannot know: 2 (--anchor): the log does not go back to them any more" in of_old.stdout
    assert (of_both.exit_code, of_both.stdout[:6]) == (0, "ok    ")
    assert "cannot know: 2 (--anchor)" in of_both.stdout
    assert "they vouch for" not in of_both.stdout
    found = gate.audit_json("verify", "--anchor", old)
    assert (found["ok"], found["first"], found["kept_from"], found["problems"]) == (False, 6, 6, [])
    assert found["anchors_unknown"][0]["seq"] == 2
    assert gate.audit_json("verify")["ok"] is True


def test_a_log_that_was_cut_is_not_said_to_have_been_let_go_of(gate: AuditGate) -> None:
    for _ in range(3):
        gate.fill(1)
        rotate(str(gate.log), 1, version="0")
    (gate.log / "audit.1.jsonl").unlink()

    said = gate.audit("verify")

    assert (said.exit_code, said.stdout[:14]) == (1, "audit.1.jsonl:")
    assert "were let go" not in said.stdout


def test_a_directory_without_a_name_is_not_the_gates_own(gate: AuditGate) -> None:
    gate.fill(1)

    assert "No such file or directory" in str(gate.audit("verify", "--directory", "").exception)


def test_a_segment_that_is_a_link_is_told(gate: AuditGate) -> None:
    gate.fill(1)
    (gate.log / "audit.2.jsonl").symlink_to("audit.1.jsonl")

    assert "audit.2.jsonl is not a regular file; only" in str(gate.audit("verify").exception)


def test_what_chattr_keeps_is_told(gate: AuditGate) -> None:
    gate.fill(2)
    for _ in range(2):
        rotate(str(gate.log), 1, version="0", limits=retention.Limits(-60, math.inf, lambda: 9))
        gate.fill(1)

    said = gate.audit("verify")
    assert said.exit_code == 0
    assert "records before 4 need not be kept (keep.log), and are still there" in said.stdout
