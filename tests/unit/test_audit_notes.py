"""Signed notes and their keys: those of Go's sumdb/note, and everything that is none."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.errors import AuditError
from audit.keys import Signer, signer, verifier
from audit.notes import open_note, sign

# The example of golang.org/x/mod/sumdb/note, whose keys are public.
GO_SIGNER = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_VERIFIER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
GO_NOTE = (
    f"{GO_TEXT}\n\u2014 PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
ALICE, BOB = Signer("alice.example", b"a" * 32), Signer("bob.example", b"b" * 32)
NOTE = sign("the text\n", ALICE).encode()


def test_keys_and_notes_are_those_of_go() -> None:
    key = signer(GO_SIGNER)

    assert key.written() == GO_SIGNER
    assert str(key.verifier) == GO_VERIFIER
    assert verifier(GO_VERIFIER + "\n") == key.verifier
    assert sign(GO_TEXT, key) == GO_NOTE
    assert open_note(GO_NOTE.encode(), [key.verifier]) == (GO_TEXT, [key.verifier])


def test_a_signer_is_never_shown() -> None:
    assert repr(ALICE) == "Signer('alice.example')"
    assert f"{[ALICE]}" == "[Signer('alice.example')]"


def test_a_text_may_have_blank_lines_and_several_signatures() -> None:
    text = "one\n\ntwo\n\n\nthree\n"
    both = sign(text, ALICE) + sign(text, BOB).rpartition("\n\n")[2]

    assert open_note(both.encode(), [BOB.verifier, ALICE.verifier]) == (text, [ALICE.verifier, BOB.verifier])
    assert open_note(both.encode(), [BOB.verifier]) == (text, [BOB.verifier])


def test_a_wrong_signature_of_a_known_key_spoils_the_note() -> None:
    wrong = sign("another text\n", BOB).rpartition("\n\n")[2]
    note = NOTE + wrong.encode()

    assert open_note(note, [ALICE.verifier])[0] == "the text\n"
    with pytest.raises(AuditError, match=r"its signature by bob\.example is wrong"):
        open_note(note, [ALICE.verifier, BOB.verifier])


def test_a_key_of_the_same_name_is_another() -> None:
    namesake = Signer(ALICE.name, b"c" * 32)

    with pytest.raises(AuditError, match=r"no known key signed it, but alice\.example\+[0-9a-f]{8}"):
        open_note(NOTE, [namesake.verifier])
    with pytest.raises(AuditError, match="no known key"):
        open_note(NOTE, [])


def test_a_key_whose_id_was_made_to_be_the_same_signs_nothing() -> None:
    forged = BOB.verifier._replace(name=ALICE.name, key_id=ALICE.verifier.key_id)

    with pytest.raises(AuditError, match="is wrong"):
        open_note(NOTE, [forged])


SIGNATURE = NOTE.rpartition(b"\n\n")[2]


@pytest.mark.parametrize(
    "note",
    [
        b"",
        b"the text\n",
        b"the text\n\n",
        b"the text\n\n\n",
        SIGNATURE,
        b"\n" + SIGNATURE,
        b"the text\n" + SIGNATURE,
        b"the text\n\n" + SIGNATURE[:-1],
        b"the text\n\n" + SIGNATURE + b"more\n",
        b"the text\n\n" + SIGNATURE + b"\n",
        b"the text\n\nmore\n" + SIGNATURE,
        b"the text\n\n" + SIGNATURE.replace("\u2014".encode(), b"-"),
        b"the text\n\n" + SIGNATURE.replace(b" alice", b"  alice"),
        b"the text\n\n" + SIGNATURE.replace(b"alice.", b"alice+"),
        b"the text\n\n" + SIGNATURE.replace(b"alice.", "alice\u00a0".encode()),
        b"the text\n\n" + SIGNATURE.replace(b"=", b""),
        b"the text\n\n" + SIGNATURE[:-3] + bytes([SIGNATURE[-3] + 1]) + b"=\n",  # the same bytes, with a spare bit set
        b"the text\n\n\xe2\x80\x94 alice.example AAAA\n",
        b"the text\r\n\r\n" + SIGNATURE,
        b"the\ttext\n\n" + SIGNATURE,
        b"the\xfftext\n\n" + SIGNATURE,
        b"the text\n\n" + SIGNATURE * 1000,
    ],
)
def test_what_is_no_note_is_told(note: bytes) -> None:
    with pytest.raises(AuditError, match=r"no signed note|is wrong"):
        open_note(note, [ALICE.verifier])


@given(st.integers(0, len(NOTE) - 1), st.integers(0, 255))
def test_no_changed_byte_goes_unseen(at: int, value: int) -> None:
    changed = NOTE[:at] + bytes([value]) + NOTE[at + 1 :]
    if changed != NOTE:
        with pytest.raises(AuditError):
            open_note(changed, [ALICE.verifier])


@given(st.binary(max_size=200))
def test_any_bytes_are_read_to_an_answer(note: bytes) -> None:
    with pytest.raises(AuditError):
        open_note(note, [ALICE.verifier])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "alice",
        "alice+c74f20a3",
        "+c74f20a3+" + base64.b64encode(b"\x01" * 33).decode(),
        GO_VERIFIER.replace("c74f20a3", "c74f20a4"),
        GO_VERIFIER.replace("c74f20a3", "c74f20"),
        GO_VERIFIER.replace("Peter", "Petra"),
        GO_VERIFIER.replace("Peter", "Pet er"),
        GO_VERIFIER.replace("ARpc", "ARpd"),
        GO_VERIFIER.replace("ARpc", "AhpC"),
        GO_VERIFIER[:-4],
        GO_VERIFIER + "A",
        GO_SIGNER,
    ],
)
def test_what_is_no_verifier_key_is_told(text: str) -> None:
    with pytest.raises(AuditError, match="verifier key"):
        verifier(text)


@pytest.mark.parametrize(
    "text", ["", GO_VERIFIER, GO_SIGNER.replace("c74f", "c74e"), GO_SIGNER[:-4], GO_SIGNER.replace("AYEK", "AYEL")]
)
def test_what_is_no_signer_key_is_told_without_showing_it(text: str) -> None:
    with pytest.raises(AuditError, match="signer key") as told:
        signer(text)
    assert "AYE" not in str(told.value)
