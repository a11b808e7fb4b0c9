"""Signed drops that are cut short, cut up, or meant to do harm (threats "Signed drops")."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from gate.store import layout
from gate.store.files import write_json_once
from gate.upkeep import sweep
from gate.votes import drop_file as drop
from gate.votes import signed, sshsig
from tests.stages.test_signed_drops import DIGEST, KEY, OTHER_REQUEST, Case
from tests.stages.test_signed_drops import _no_sigio as _no_sigio  # noqa: PLC0414  a fixture
from tests.stages.test_signed_drops import case as case  # noqa: PLC0414  a fixture
from tests.stages.test_signed_drops import keys as keys  # noqa: PLC0414  a fixture
from tests.support.cut_short import STEPS, Crash, cut_short
from tests.support.gate_state import (
    IS_ROOT,
    drop_file,
    open_request,
    records,
    same_json,
)
from tests.support.signing import NAMESPACE, Key, statement_for

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", ["vote file", "record", "move", "unlink"])
def test_a_vote_cut_short_anywhere_is_finished_once(
    case: Case, monkeypatch: pytest.MonkeyPatch, step: str, when: str
) -> None:
    case.put(case.good())
    with monkeypatch.context() as patched:
        cut_short(patched, STEPS[step], when)
        with pytest.raises(Crash):
            case.look()

    for _ in range(2):
        votes, _box = case.look()
        assert [(vote["person"], vote["answer"]) for vote in votes] == [("alice", "approve")]
    assert len(records(case.policy, "vote")) == 1
    assert records(case.policy, "drop-turned-away") == []
    assert case.left() == []


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", ["record", "move"])
@pytest.mark.parametrize("what", ["for this request", "no statement"])
def test_turning_away_cut_short_anywhere_is_finished_once(
    case: Case, monkeypatch: pytest.MonkeyPatch, what: str, step: str, when: str
) -> None:
    case.put(case.good(case.keys.bob) if what == "for this request" else b"")
    with monkeypatch.context() as patched:
        cut_short(patched, STEPS[step], when)
        with pytest.raises(Crash):
            case.look()

    for _ in range(2):
        assert case.look()[0] == []
    assert len(records(case.policy, "drop-turned-away")) == 1
    assert (case.left(), case.away()) == ([], 1)


def test_one_that_was_swapped_is_moved_back(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    path, other = case.put(case.good(case.keys.bob)), case.put(case.good(comment="other"), ".other")
    true = drop.take

    def swapped(*words: Any) -> bool:
        monkeypatch.setattr(drop, "take", true)
        os.rename(other, path)
        return true(*words)

    monkeypatch.setattr(drop, "take", swapped)
    assert case.look()[0] == []
    assert case.left() == [f"{KEY}.alice.approve"]
    assert [vote["comment"] for vote in case.look()[0]] == ["other"]


def test_without_ssh_keygen_it_stays_and_that_is_said(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    case.put(case.good())
    with monkeypatch.context() as patched:
        patched.setattr(sshsig, "PROGRAM_PATH", ("/nonexistent",))
        votes, box = case.look()
    assert (votes, case.left(), records(case.policy), box.again) == ([], [f"{KEY}.alice.approve"], [], True)
    (line,) = box.lines
    assert "install openssh-client" in line
    assert len(case.look()[0]) == 1


def test_one_that_cannot_be_judged_hinders_no_other(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    case.put(case.good())
    drop_file(case.policy, "bob", "1001.reject")
    monkeypatch.setattr(sshsig, "PROGRAM_PATH", ("/nonexistent",))
    assert [vote["person"] for vote in case.look()[0]] == ["bob"]


def test_a_directory_that_is_not_the_gate_s_counts_for_nobody(case: Case) -> None:
    case.put(case.good())
    os.rename(case.directory, f"{case.directory}.away")
    os.symlink(f"{case.directory}.away", case.directory)

    votes, box = case.look()
    assert votes == []
    assert "signed drops do not count: drop/signed cannot be opened" in box.lines[0]


def test_cut_after_every_tenth_byte_none_counts(case: Case) -> None:
    whole = case.good()
    lengths = [*range(0, len(whole), 10), len(whole) - 1]
    for length in lengths:
        case.put(whole[:length], f"{KEY}.alice.approve")
        assert case.look()[0] == []
    assert (case.left(), case.away()) == ([], len(lengths))


@pytest.mark.parametrize("kind", ["alice", "alice_ecdsa"])
def test_with_any_bit_flipped_none_counts(case: Case, kind: str) -> None:
    whole = case.good(getattr(case.keys, kind), comment="go")
    assert case.judged(whole)
    number = int.from_bytes(whole, "big")
    for bit in range(len(whole) * 8):
        assert case.judged((number ^ (1 << bit)).to_bytes(len(whole), "big")) is None, bit


@pytest.mark.parametrize("kind", ["alice", "alice_ecdsa", "alice_rsa"])
def test_with_any_bit_of_the_signature_proper_flipped_none_counts(case: Case, kind: str) -> None:
    """As a forger would flip them: in the blob, armoured anew. The last 32 bytes, for the time that it takes."""
    key: Key = getattr(case.keys, kind)
    line, armour = signed.split(case.good(key))
    blob = sshsig._dearmoured(armour)
    for bit in range(8 * 32):
        flipped = (int.from_bytes(blob, "big") ^ (1 << bit)).to_bytes(len(blob), "big")
        assert case.judged(line + b"\n" + armoured(flipped)) is None, bit


def armoured(blob: bytes) -> bytes:
    import base64

    text = base64.b64encode(blob)
    lines = [text[at : at + 70] + b"\n" for at in range(0, len(text), 70)]
    return sshsig.BEGIN + b"".join(lines) + sshsig.END


def test_our_own_armour_is_that_of_ssh_keygen(case: Case) -> None:
    for key in (case.keys.alice, case.keys.alice_ecdsa, case.keys.alice_rsa):
        armour = signed.split(case.good(key))[1]
        assert armoured(sshsig._dearmoured(armour)) == armour


def test_a_site_or_person_that_is_a_pattern_verifies_nothing(case: Case) -> None:
    line = statement_for(case.request)
    public = [case.keys.alice.public]
    for namespace in ("gate-approval@*", "*", "gate-approval@a,gate-approval@b", 'a" cert-authority "'):
        armour = case.keys.alice.armour(line, namespace)
        assert sshsig.verify(line, armour, namespace, "alice", public) is False
    armour = case.keys.alice.armour(line)
    for person in ("*", "alic?", "alice,bob", "!bob", "alice cert-authority", ""):
        assert sshsig.verify(line, armour, NAMESPACE, person, public) is False
    assert sshsig.verify(line, armour, NAMESPACE, "alice", public) is True


def test_ssh_keygen_sees_nothing_of_our_environment(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "ssh-keygen"
    program.write_text(f'#!/bin/sh\n/usr/bin/env >"{tmp_path}/seen"\nprintf "%s\\n" "$@" >"{tmp_path}/words"\nexit 0\n')
    program.chmod(0o755)
    monkeypatch.setattr(sshsig, "PROGRAM_PATH", (str(tmp_path),))
    monkeypatch.setenv("SSH_AUTH_SOCK", "/nonexistent")
    case.put(case.good())

    assert len(case.look()[0]) == 1
    assert "SSH_AUTH_SOCK" not in (tmp_path / "seen").read_text()
    words = (tmp_path / "words").read_text().split()
    assert words[:2] == ["-Y", "verify"]
    assert ("-I alice" in " ".join(words), f"-n {NAMESPACE}" in " ".join(words)) == (True, True)


WEEK_S = 7 * 24 * 3600
OLD = "it is over 7 days old"
RIGHT = "<request's key>.<person>.<approve or reject>"
SWEPT: dict[str, tuple[Callable[[Case], bytes], str, int, str | None]] = {
    "its job has ended": (lambda c: c.good(), f"{KEY}.alice.approve", 0, f"its job has ended: {KEY}"),
    "its job waits": (lambda c: c.good(request=OTHER_REQUEST), f"{OTHER_REQUEST}.alice.approve", 0, None),
    "its job is yet to come": (lambda _: b"", "git.example-42-9999.alice.approve", 0, None),
    "its job is yet to come, for over 7 days": (lambda _: b"", "git.example-42-9999.alice.approve", WEEK_S + 9, OLD),
    "rubbish under a name that counts": (lambda _: b"rubbish", f"{OTHER_REQUEST}.bob.reject", 0, None),
    "an old name": (
        lambda c: c.good(request=OTHER_REQUEST),
        f"alice.{OTHER_REQUEST}.approve.0123abcd",
        0,
        f"no job looks for that name: name it {OTHER_REQUEST}.alice.approve",
    ),
    "rubbish": (lambda _: b"rubbish", "x", 0, f"no job looks for that name: name it {RIGHT}"),
    "rubbish, over 7 days old": (lambda _: b"rubbish", "x", WEEK_S + 9, OLD),
    "still being written": (lambda _: b"rubbish", "x.tmp", 0, None),
}


@pytest.mark.parametrize("what", SWEPT)
def test_a_sweep_turns_away_what_nobody_will_take(case: Case, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    make, name, later_s, why = SWEPT[what]
    write_json_once(case.request.directory, "ended.json", {})
    open_request(case.policy, OTHER_REQUEST, digest=DIGEST)
    case.put(make(case), name)
    case.put(b"", ".x")
    later = SimpleNamespace(time=lambda: time.time() + later_s, monotonic=time.monotonic)
    monkeypatch.setattr(sweep, "time", later)

    assert sweep.sweep(case.policy, "own") == []
    away = {record["drop"]["name"]: record for record in records(case.policy, "drop-turned-away")}
    swept = [name] if why else []
    swept += [".x"] if later_s else []  # never read, but not kept for ever either
    assert {each: record["why"] for each, record in away.items()} == dict.fromkeys(swept, why)
    assert (case.left(), case.away()) == (sorted({".x", name} - set(swept)), len(swept))
    if ".alice." in name and why:
        assert away[name]["by"] == {"person": "alice", "via": "signed"}


def test_the_longest_statement_fits_into_its_record(case: Case) -> None:
    facts: Any = case.request.facts
    facts.update(dict.fromkeys(("path", "name", "stage", "environment", "ref", "sha"), "\u00fc" * 500))
    case.put(case.good(comment="\u00fc" * 833, decision="approve"))

    (vote,), _ = case.look()
    assert len(records(case.policy, "vote")) == 1
    kept = same_json(os.path.join(layout.votes(case.request.directory), vote["file"]))
    assert kept["signed"].startswith('{"comment":"\\u00fc')


@pytest.mark.parametrize("planted", [b"", b"{}", b'{"drop": "another"}'])
def test_a_file_that_stands_in_the_place_of_its_vote_takes_none_away(case: Case, planted: bytes) -> None:
    """Whoever broke into the page may make files in votes/, and read the statement before it is counted."""
    if not IS_ROOT:
        pytest.skip("a file of another user needs root")
    content = case.good(decision="reject")
    digest = hashlib.sha256(signed.split(content)[0]).hexdigest()
    path = Path(layout.votes(case.request.directory)) / f"alice.signed-{digest[:32]}.reject.json"
    path.write_bytes(planted)
    os.chown(path, 20_010, -1)
    case.put(content)

    assert [(vote["person"], vote["answer"]) for vote in case.look()[0]] == [("alice", "reject")]
    assert [record["by"] for record in records(case.policy, "drop-turned-away")] == [{"via": "page"}]
    assert path.stat().st_uid == 0
