"""Checkpoints: signed by the gate's key, kept elsewhere, and held against the log."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest

from audit import log
from audit.keys import Signer
from audit.notes import sign
from audit.rotate import rotate
from gate.store import audit_key, layout
from gate.store.files import StateError
from tests.support.audit_gate import AuditGate
from tests.support.audit_logs import VERSION, lines_of
from tests.support.gate_state import mode_of
from tests.support.site import IS_ROOT, USERS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NEEDS_USERS = pytest.mark.skipif(not IS_ROOT, reason="not root: only root can act as a second Unix user")


@pytest.fixture
def gate() -> Iterator[AuditGate]:
    with AuditGate() as made:
        yield made


def kept(gate: AuditGate, directory: Path) -> tuple[str, str]:
    """The paths of a checkpoint and of the verifier key, as somebody keeps them."""
    key, note = directory / "gate.vkey", directory / "checkpoint.txt"
    key.write_text(gate.audit("key").stdout)
    said = gate.audit("checkpoint")
    assert said.exit_code == 0, said.exception
    note.write_text(said.stdout)
    return str(note), str(key)


def test_the_key_is_made_once_and_its_public_half_printed(gate: AuditGate) -> None:
    first, again = gate.audit("key"), gate.audit("key")

    assert re.fullmatch(r"test\.example\+[0-9a-f]{8}\+[A-Za-z0-9+/]{44}\n", first.stdout)
    assert again.stdout == first.stdout
    assert (first.stderr.startswith(f"made {gate.state}/audit.key"), again.stderr) == (True, "")
    assert mode_of(gate.state / "audit.key") == 0o600
    assert (gate.state / "audit.key").read_text().startswith("PRIVATE+KEY+test.example+")


def test_a_key_keeps_its_name_when_the_site_gets_another(gate: AuditGate) -> None:
    first = gate.audit("key").stdout
    gate.config["site"] = "other.example"
    gate.write()

    again = gate.audit("key")

    assert (again.stdout, "called test.example" in again.stderr) == (first, True)


def test_a_checkpoint_is_of_the_last_record(gate: AuditGate) -> None:
    heads = gate.fill(3)
    gate.audit("key")

    text, _, signature = gate.audit("checkpoint").stdout.partition("\n\n")

    first, log_id, head = text.split("\n")
    assert first == "gitlab-runner-gate audit checkpoint v1"
    assert f'"log_id":"{log_id.removeprefix("log ")}"'.encode() in lines_of(gate.log / "audit.1.jsonl")[0]
    assert head == f"audit head seq=4 sha256={heads[2].sha256}"
    assert signature.startswith("\u2014 test.example ")


def test_verify_takes_it_with_the_key_that_was_kept(gate: AuditGate, tmp_path: Path) -> None:
    gate.fill(3)
    note, key = kept(gate, tmp_path)
    gate.fill(2)

    with_file = gate.audit("verify", "--checkpoint", note, "--verifier-key", key)
    with_text = gate.audit("verify", "--checkpoint", note, "--verifier-key", gate.audit("key").stdout.strip())

    assert with_file.exit_code == 0
    assert with_file.stdout == with_text.stdout
    assert f"anchors met: 4 ({note})\n" in with_file.stdout
    assert "they vouch for records 1 to 4; of the others" in with_file.stdout
    assert "own key" not in with_file.stdout


def test_without_a_key_it_takes_the_host_s_own_and_says_so(gate: AuditGate, tmp_path: Path) -> None:
    gate.fill(1)
    note, key = kept(gate, tmp_path)

    said = gate.audit("verify", "--checkpoint", note)

    assert said.exit_code == 0
    assert said.stdout.splitlines()[-1].startswith("checkpoints were checked with this host's own key")
    assert gate.audit_json("verify", "--checkpoint", note)["by_local_key"] is True
    found = gate.audit_json("verify", "--checkpoint", note, "--verifier-key", key)
    assert (found["by_local_key"], found["anchors_met"][0]["log_id"]) == (False, found["log_id"])


def test_a_log_that_was_cut_is_told_by_a_checkpoint(gate: AuditGate, tmp_path: Path) -> None:
    gate.fill(3)
    note, key = kept(gate, tmp_path)
    file = gate.log / "audit.1.jsonl"
    file.write_bytes(b"".join(lines_of(file)[:-1]))

    said = gate.audit("verify", "--checkpoint", note, "--verifier-key", key)

    assert said.exit_code == 1
    assert f"expected a record 4, which {note} names, found an end at record 3: the log was cut" in said.stdout


def test_a_log_that_was_written_anew_is_told_by_its_id(gate: AuditGate, tmp_path: Path) -> None:
    gate.fill(3)
    note, key = kept(gate, tmp_path)
    (gate.log / "audit.1.jsonl").unlink()
    gate.fill(3)

    said = gate.audit("verify", "--checkpoint", note, "--verifier-key", key)

    assert said.exit_code == 1
    assert re.search(r"expected a record of log [0-9a-f]{32}, which .* names, found log [0-9a-f]{32}\n", said.stdout)
    assert "sound: no record" in said.stdout


def test_a_checkpoint_that_others_signed_is_told(gate: AuditGate, tmp_path: Path) -> None:
    gate.fill(1)
    note, key = kept(gate, tmp_path)
    other = Signer("other.example", os.urandom(32))

    said = gate.audit("verify", "--checkpoint", note, "--verifier-key", str(other.verifier))
    both = gate.audit("verify", "--checkpoint", note, "--verifier-key", str(other.verifier), "--verifier-key", key)

    assert (said.exit_code, both.exit_code) == (1, 0)
    assert str(said.exception).startswith(f"{note}: no known key signed it, but test.example+")


def test_a_note_of_something_else_is_no_checkpoint(gate: AuditGate, tmp_path: Path) -> None:
    gate.fill(1)
    gate.audit("key")
    for text in ("hello\n", "gitlab-runner-gate audit checkpoint v2\n", "example.com/log\n3\nCsUYapGGPo4=\n"):
        note = tmp_path / "note"
        note.write_text(sign(text, audit_key.load(str(gate.state))))
        said = gate.audit("verify", "--checkpoint", str(note))
        assert str(said.exception) == f"{note}: it is a signed note, but no checkpoint of an audit log"


def test_a_changed_checkpoint_is_told(gate: AuditGate, tmp_path: Path) -> None:
    gate.fill(2)
    note, key = kept(gate, tmp_path)
    content = (tmp_path / "checkpoint.txt").read_text()
    (tmp_path / "checkpoint.txt").write_text(content.replace("seq=3", "seq=2"))

    said = gate.audit("verify", "--checkpoint", note, "--verifier-key", key)

    assert f"{note}: its signature by test.example is wrong" in str(said.exception)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--verifier-key", "x+y+z"], "--verifier-key is for --checkpoint"),
        (["--checkpoint", "{note}", "--verifier-key", "x+y+z"], "'x+y+z' is not a verifier key"),
        (["--checkpoint", "{note}", "--verifier-key", "{note}"], "is not a verifier key"),
        (["--checkpoint", "{note}", "--verifier-key", "/dev/null"], "holds no verifier key"),
        (["--checkpoint", "/dev/null"], "/dev/null: it is no signed note"),
        (["--checkpoint", "/nowhere"], "No such file"),
    ],
)
def test_what_cannot_be_checked_is_told(gate: AuditGate, tmp_path: Path, words: list[str], told: str) -> None:
    gate.fill(1)
    note, _key = kept(gate, tmp_path)

    said = gate.audit("verify", *[word.format(note=note) for word in words])

    assert said.exit_code == 1
    assert told in str(said.exception)


def test_a_checkpoint_needs_a_record_and_a_key(gate: AuditGate) -> None:
    no_key = gate.audit("checkpoint")
    gate.audit("key")
    no_record = gate.audit("checkpoint")

    assert "`gate audit key` makes it" in str(no_key.exception)
    assert "holds no record yet" in str(no_record.exception)


def test_after_a_rotation_that_was_cut_off_it_is_of_the_segment_before(gate: AuditGate) -> None:
    heads = gate.fill(2)
    gate.audit("key")
    (gate.log / "audit.2.jsonl").touch()

    assert f"seq=3 sha256={heads[1].sha256}" in gate.audit("checkpoint").stdout
    rotate(str(gate.log), 0, version=VERSION)
    log.append(str(gate.log), {"event": "ended", "request": "r"}, version=VERSION)
    assert "seq=5 " in gate.audit("checkpoint").stdout


@NEEDS_USERS
def test_others_are_told_who_can(gate: AuditGate) -> None:
    gate.fill(1)
    gate.audit("key")
    gate.state.chmod(0o755)
    person = next(iter(USERS))

    for word in ("key", "checkpoint"):
        said = gate.gate(person, "audit", word)
        assert (said.returncode, said.stdout) == (1, "")
        assert said.stderr.startswith("gate: only root (uid 0), whom the gate runs as, can ")
        assert said.stderr.count("\n") == 1


@pytest.mark.parametrize(("content", "mode", "told"), [
    (None, 0o640, "mode 0600; who else could have read it?"),
    ("rubbish", 0o600, "this is not a signer key; move it away"),
])  # fmt: skip
def test_a_key_that_is_not_as_it_was_made_is_refused(
    gate: AuditGate, content: str | None, mode: int, told: str
) -> None:
    gate.audit("key")
    path = gate.state / "audit.key"
    if content:
        path.write_text(content)
    path.chmod(mode)

    with pytest.raises(StateError, match=re.escape(told)):
        audit_key.load(str(gate.state))


def test_a_key_that_is_a_link_is_refused(gate: AuditGate, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(Signer("x", b"x" * 32).written())
    (gate.state / "audit.key").symlink_to(tmp_path / "key")

    assert not audit_key.make(str(gate.state), "test.example")
    with pytest.raises(StateError, match="cannot read"):
        audit_key.load(str(gate.state))
    assert layout.audit_key(str(gate.state)) == str(gate.state / "audit.key")


def test_both_are_json_where_that_is_asked_for(gate: AuditGate) -> None:
    (head,) = gate.fill(1)
    key, note = gate.audit("key").stdout, gate.audit("checkpoint").stdout

    assert gate.audit_json("key") == {"name": "test.example", "verifier_key": key.strip()}
    found = gate.audit_json("checkpoint")
    assert (found["seq"], found["sha256"], found["note"], len(found["log_id"])) == (2, head.sha256, note, 32)
