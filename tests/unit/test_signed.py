"""What is a signed drop, byte by byte, and what of it can be told without ssh-keygen (threats "Signed drops")."""

from __future__ import annotations

import base64
import binascii
import calendar
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.votes import from_signed, signed, sshsig
from gate.votes.signed import NotCountingError, Statement, StatementError
from tests.support.gate_state import made, open_request, policy_of, rule_of

if TYPE_CHECKING:
    from pathlib import Path

KEY = "git.example-42-1001"
DIGEST = "0123456789abcdef" * 4
EXPIRES_S = calendar.timegm((2026, 11, 24, 14, 5, 0))
GOOD = Statement(KEY, DIGEST, "approve", "alice", EXPIRES_S, "go")
LINE = (
    b'{"comment":"go","decision":"approve","digest":"' + DIGEST.encode() + b'","expires":"2026-11-24T14:05:00Z",'
    b'"person":"alice","request":"git.example-42-1001","v":1}'
)
# What OpenSSH 9.2's ssh-keygen made of LINE with a key that is gone.
ARMOUR = b"""-----BEGIN SSH SIGNATURE-----
U1NIU0lHAAAAAQAAADMAAAALc3NoLWVkMjU1MTkAAAAgdMwuLug4AzAtg7WJF66RUamNc4
khRRQgXkMoDpC29JcAAAAaZ2F0ZS1hcHByb3ZhbEB0ZXN0LmV4YW1wbGUAAAAAAAAABnNo
YTUxMgAAAFMAAAALc3NoLWVkMjU1MTkAAABAeCn4rnwMyx6ZxCYHtu0Bjk40u19REl7pFz
3jXV+j/Cp/95SdlYp1A+9dGGrTi1IRKl9hXbpNE7t5uXsOVJQLCw==
-----END SSH SIGNATURE-----
"""
PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHTMLi7oOAMwLYO1iReukVGpjXOJIUUUIF5DKA6QtvSX"
OTHER_PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHTMLi7oOAMwLYO1iReukVGpjXOJIUUUIF5DKA6QtvSY"
FINGERPRINT = "SHA256:iBhJTLpnG2vBIJJLjGiS1DwyEgbB6A+QzU3SbLsaIZ4"
NAMESPACE = "gate-approval@test.example"


def canonical(**changes: Any) -> bytes:
    """LINE with other values, whatever they are."""
    value = {name: each for name, each in (json.loads(LINE) | changes).items() if each is not ...}
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def policy(**ssh_keys: list[str]) -> Any:
    """A policy where alice, or whoever is named, has ssh_keys."""
    made_of = policy_of("/state")  # type: ignore[arg-type]
    for person, keys in (ssh_keys or {"alice": [PUBLIC]}).items():
        made_of["people"][person]["ssh_keys"] = keys
    return made_of


def test_a_statement_is_one_line_of_canonical_json() -> None:
    assert signed.make(GOOD) == LINE
    assert signed.parse(LINE) == GOOD


@given(st.text(max_size=300).map(str.strip).filter(lambda text: "\0" not in text))
def test_what_is_made_is_read_again(comment: str) -> None:
    made_of = signed.make(GOOD._replace(comment=comment))
    assert made_of.isascii()
    assert b"\n" not in made_of
    assert signed.parse(made_of).comment == comment


NO_STATEMENTS = {
    "nothing": b"",
    "not JSON": b"approve",
    "not an object": b"[]",
    "no key": canonical(comment=...),
    "one key more": canonical(more=1),
    "a key twice": LINE.replace(b'"v":1', b'"v":1,"v":1'),
    "a decision twice": LINE.replace(b'{"comment"', b'{"decision":"reject","comment"'),
    "keys not sorted": LINE.replace(b'"comment":"go","decision":"approve"', b'"decision":"approve","comment":"go"'),
    "spaces": json.dumps(json.loads(LINE), sort_keys=True).encode(),
    "a line end": LINE + b"\n",
    "a carriage return": LINE + b"\r",
    "a blank before": b" " + LINE,
    "a needless escape": LINE.replace(b"alice", rb"\u0061lice"),
    "an escape in capitals": canonical(comment="\u00fc").replace(b"00fc", b"00FC"),
    "not ASCII": LINE.replace(b'"go"', '"gö"'.encode()),
    "a byte order mark": b"\xef\xbb\xbf" + LINE,
    "another version": canonical(v=2),
    "a version that equals 1": canonical(v=True),
    "another version that equals 1": canonical(v=1.0),
    "version as text": canonical(v="1"),
    "request of another type": canonical(request=1),
    "request that is a path": canonical(request="../../etc-42-1001"),
    "request that is hidden": canonical(request=".git-42-1001"),
    "request without a number": canonical(request="git.example"),
    "digest that is short": canonical(digest=DIGEST[1:]),
    "digest in capitals": canonical(digest=DIGEST.upper()),
    "digest with a line end": canonical(digest=DIGEST + "\n"),
    "null": canonical(digest=None),
    "a third answer": canonical(decision="approved"),
    "both answers": canonical(decision="approve|reject"),
    "person that is a pattern": canonical(person="*"),
    "people": canonical(person="alice,bob"),
    "person in capitals": canonical(person="Alice"),
    "person with a blank": canonical(person="alice "),
    "expires as a number": canonical(expires=EXPIRES_S),
    "expires in another zone": canonical(expires="2026-11-24T14:05:00+01:00"),
    "expires on no day": canonical(expires="2026-02-30T14:05:00Z"),
    "expires in a leap second": canonical(expires="2026-11-24T14:05:60Z"),
    "expires with digits of another script": canonical(expires="2026-11-24T14:05:0\u0661Z"),
    "comment of another type": canonical(comment=None),
    "comment that is too long": canonical(comment="x" * 1001),
    "comment that needs too much room": canonical(comment="\U0001f600" * 500),
    "comment with a NUL": canonical(comment="a\0b"),
    "comment of blanks": canonical(comment=" "),
    "half a surrogate pair": canonical(comment="\ud83d"),
    "nested without end": b"[" * 16_000,
    "a number without end": b"1" * 16_000,
}


@pytest.mark.parametrize("case", NO_STATEMENTS)
def test_nothing_else_is_a_statement(case: str) -> None:
    with pytest.raises(StatementError):
        signed.parse(NO_STATEMENTS[case])


def test_every_bit_of_a_statement_matters() -> None:
    for flipped in each_bit_flipped(LINE):
        try:
            assert signed.parse(flipped) != GOOD
        except StatementError:
            continue


def each_bit_flipped(content: bytes) -> list[bytes]:
    whole = int.from_bytes(content, "big")
    return [(whole ^ (1 << bit)).to_bytes(len(content), "big") for bit in range(len(content) * 8)]


def test_a_drop_is_a_line_and_the_rest() -> None:
    assert signed.split(LINE + b"\n" + ARMOUR) == (LINE, ARMOUR)
    assert signed.split(LINE) == (LINE, b"")


def test_a_signature_tells_its_key_and_namespace() -> None:
    assert sshsig.read(ARMOUR) == (PUBLIC, NAMESPACE)
    assert sshsig.fingerprint(PUBLIC) == FINGERPRINT


def blob() -> bytes:
    return binascii.a2b_base64(b"".join(ARMOUR.splitlines()[1:-1]))


def armoured(content: bytes, columns: int = 70) -> bytes:
    text = base64.b64encode(content)
    lines = [text[at : at + columns] + b"\n" for at in range(0, len(text), columns)]
    return sshsig.BEGIN + b"".join(lines) + sshsig.END


def string(content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + content


def other_blob(**changes: bytes) -> bytes:
    """A signature's blob, with another of its parts."""
    parts = {
        "magic": b"SSHSIG",
        "version": b"\0\0\0\1",
        "key": string(base64.b64decode(PUBLIC.split()[1])),
        "namespace": string(NAMESPACE.encode()),
        "reserved": string(b""),
        "digest": string(b"sha512"),
        "signature": string(string(b"ssh-ed25519") + string(b"x" * 64)),
        "after": b"",
    }
    return b"".join((parts | changes).values())


def test_the_blob_that_the_cases_change_is_a_sound_one() -> None:
    assert armoured(blob()) == ARMOUR
    assert sshsig.read(armoured(other_blob())) == (PUBLIC, NAMESPACE)


NO_SIGNATURES = {
    "nothing": b"",
    "only the frame": sshsig.BEGIN + sshsig.END,
    "no begin": ARMOUR.removeprefix(sshsig.BEGIN),
    "no end": ARMOUR.removesuffix(sshsig.END),
    "no final line end": ARMOUR[:-1],
    "one byte more": ARMOUR + b"\n",
    "a word more": ARMOUR + b"more",
    "a byte before": b"\n" + ARMOUR,
    "two": ARMOUR + ARMOUR,
    "two in one frame": ARMOUR.removesuffix(sshsig.END) + ARMOUR.removeprefix(sshsig.BEGIN),
    "CRLF": ARMOUR.replace(b"\n", b"\r\n"),
    "an empty line": ARMOUR.replace(b"khRR", b"\nkhRR"),
    "lines of 64": armoured(blob(), 64),
    "one line": armoured(blob(), 10_000),
    "a blank": ARMOUR.replace(b"khRR", b"khR R"),
    "no base64": ARMOUR.replace(b"khRR", b"kh-R"),
    "bits that mean nothing": ARMOUR.replace(b"LCw==", b"LCx=="),
    "no padding": ARMOUR.replace(b"LCw==", b"LCw"),
    "magic of another kind": armoured(other_blob(magic=b"SSHSIH")),
    "version 2": armoured(other_blob(version=b"\0\0\0\2")),
    "a certificate": armoured(other_blob(key=string(string(b"ssh-ed25519-cert-v01@openssh.com") + string(b"x")))),
    "a DSA key": armoured(other_blob(key=string(string(b"ssh-dss") + string(b"x")))),
    "no key": armoured(other_blob(key=string(b""))),
    "a reserved field that nothing signs": armoured(other_blob(reserved=string(b"more"))),
    "SHA-1": armoured(other_blob(digest=string(b"sha1"))),
    "no hash": armoured(other_blob(digest=b"")),
    "a signature of another kind": armoured(other_blob(signature=string(string(b"ssh-rsa") + string(b"x")))),
    "no signature": armoured(other_blob(signature=string(b""))),
    "a blob cut short": armoured(blob()[:-1]),
    "a blob with more": armoured(blob() + b"\0"),
    "a blob with one more string": armoured(other_blob(after=string(b""))),
    "a length beyond the end": armoured(other_blob(after=b"\xff\xff\xff\xff")),
    "an RSA signature with SHA-1": armoured(
        other_blob(key=string(string(b"ssh-rsa") + string(b"x")), signature=string(string(b"ssh-rsa") + string(b"x")))
    ),
}


@pytest.mark.parametrize("case", NO_SIGNATURES)
def test_nothing_else_is_a_signature(case: str) -> None:
    with pytest.raises(sshsig.SignatureError):
        sshsig.read(NO_SIGNATURES[case])


@given(st.binary(max_size=400))
def test_no_blob_does_worse_than_being_refused(content: bytes) -> None:
    with pytest.raises(sshsig.SignatureError):
        sshsig.read(armoured(b"SSHSIG\0\0\0\1" + content))


WHY_NOT = {
    "good": (GOOD, 0, None),
    "a moment before it expires": (GOOD, EXPIRES_S - 1, None),
    "the moment that it expires": (GOOD, EXPIRES_S, "it expired at 2026-11-24T14:05:00Z"),
    "another request": (
        GOOD._replace(request="git.example-42-1002"),
        0,
        "it is for the request git.example-42-1002",
    ),
    "another content": (GOOD._replace(digest="f" * 64), 0, "its digest is not that of this request"),
    "somebody unknown": (GOOD._replace(person="mallory"), 0, "gate.yaml has no person mallory"),
    "somebody without keys": (GOOD._replace(person="bob"), 0, "gate.yaml has no ssh_keys of bob"),
}


@pytest.mark.parametrize("case", WHY_NOT)
def test_what_a_statement_must_say(case: str) -> None:
    statement, now_s, expected = WHY_NOT[case]
    why = signed.why_not(statement, KEY, DIGEST, policy(), now_s)
    assert why == expected if expected is None else expected in str(why)


def test_the_key_must_be_the_person_s_now() -> None:
    assert signed.signing_key(ARMOUR, GOOD, policy(alice=[OTHER_PUBLIC, PUBLIC])) == PUBLIC
    for keys in ({"alice": [OTHER_PUBLIC]}, {"alice": [OTHER_PUBLIC], "bob": [PUBLIC]}):
        with pytest.raises(NotCountingError, match=r"no key of alice in gate\.yaml"):
            signed.signing_key(ARMOUR, GOOD, policy(**keys))


@pytest.mark.parametrize("namespace", ["git", "file", "gate-approval@other.example", "gate-approval@*", ""])
def test_a_signature_for_anything_else_is_none(namespace: str) -> None:
    other = armoured(other_blob(namespace=string(namespace.encode())))
    with pytest.raises(NotCountingError, match=r"another namespace than gate-approval@test\.example"):
        signed.signing_key(other, GOOD, policy())


def test_allowed_signers_are_the_person_s_keys_for_this_gate_only() -> None:
    assert sshsig.allowed_signers(NAMESPACE, "alice", [PUBLIC, OTHER_PUBLIC]).decode() == (
        f'alice namespaces="{NAMESPACE}" {PUBLIC}\nalice namespaces="{NAMESPACE}" {OTHER_PUBLIC}\n'
    )


@pytest.mark.parametrize("word", ["", "*", "a*", "a?", "!a", "a,b", "a b", 'a"', "a\nb", "a\tb", "a\0", "#a", "ü"])
def test_no_name_smuggles_a_pattern_or_an_option_in(word: str) -> None:
    assert sshsig.allowed_signers(NAMESPACE, word, [PUBLIC]) == b""
    assert sshsig.allowed_signers(f"gate-approval@{word}" if word else "", "alice", [PUBLIC]) == b""


SMUGGLED = {
    "an option": f"cert-authority {PUBLIC}",
    "another option": f'namespaces="*" {PUBLIC}',
    "a comment": f"{PUBLIC} alice@home",
    "a second line": f"{PUBLIC}\n* {PUBLIC}",
    "a line end": f"{PUBLIC}\n",
    "a certificate": PUBLIC.replace("ssh-ed25519 ", "ssh-ed25519-cert-v01@openssh.com "),
    "two types": PUBLIC.replace("ssh-ed25519 ", "ssh-rsa "),
    "no base64": "ssh-ed25519 ****",
    "not ASCII": "ssh-ed25519 ÄÄÄÄ",
    "no key": "ssh-ed25519 ",
    "a name": "alice",
}


@pytest.mark.parametrize("case", SMUGGLED)
def test_no_key_smuggles_anything_in(case: str) -> None:
    assert sshsig.allowed_signers(NAMESPACE, "alice", [SMUGGLED[case]]) == b""


def test_where_there_is_no_ssh_keygen_nothing_is_said_of_a_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sshsig, "PROGRAM_PATH", ("/nonexistent",))
    with pytest.raises(sshsig.CannotVerifyError, match="install openssh-client"):
        sshsig.verify(LINE, ARMOUR, NAMESPACE, "alice", [PUBLIC])


@pytest.mark.parametrize(
    "script", ["exit 255", "echo 'No user exists for uid 1' >&2; exit 255", "kill -9 $$", "exit 1"]
)
def test_a_program_that_did_not_judge_has_not_said_no(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    program = tmp_path / "ssh-keygen"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sshsig, "PROGRAM_PATH", (str(tmp_path),))
    with pytest.raises(sshsig.CannotVerifyError, match="without judging"):
        sshsig.verify(LINE, ARMOUR, NAMESPACE, "alice", [PUBLIC])


def test_a_program_that_hangs_has_not_said_no(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "ssh-keygen"
    program.write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setattr(sshsig, "PROGRAM_PATH", (str(tmp_path),))
    monkeypatch.setattr(sshsig, "TIMEOUT_S", 0.2)
    with pytest.raises(sshsig.CannotVerifyError, match="could not be run"):
        sshsig.verify(LINE, ARMOUR, NAMESPACE, "alice", [PUBLIC])


STANDING = {
    "its key is there": ("approve", [PUBLIC], True),
    "its key is gone": ("approve", [OTHER_PUBLIC], False),
    "its key is gone, and it was a no": ("reject", [], True),
}


@pytest.mark.parametrize("case", STANDING)
def test_a_signed_approval_stands_while_its_key_does(case: str) -> None:
    answer, keys, stands = STANDING[case]
    vote: Any = {"person": "alice", "answer": answer, "via": "signed", "signed_with": FINGERPRINT}
    assert bool(from_signed.standing([vote], policy(alice=keys))) is stands
    assert from_signed.standing([vote | {"via": "drop"}], policy(alice=keys)) != []


def test_the_job_log_says_what_to_sign_where_somebody_can(tmp_path: Path) -> None:
    request = open_request(made(tmp_path / "state"), digest=DIGEST)
    lines = signed.lines_for(request, policy() | {"approvers_gid": 1}, rule_of())
    template = next(word for word in lines[0].split() if word.startswith("{"))
    filled = template.replace("<answer>", "reject").replace("<person>", "alice").encode()
    statement = signed.parse(filled)
    assert (statement.request, statement.digest) == (KEY, DIGEST)
    assert abs(statement.expires_s - request.opened["opened_wall_s"] - 3600) < 2
    assert NAMESPACE in lines[1]
    assert lines[2].strip() == f"{tmp_path}/state/drop/signed/{KEY}.<person>.<answer>"
    assert len(lines) == 3


@pytest.mark.parametrize("case", ["nobody on the rule has a key", "no approvers_group"])
def test_the_job_log_says_nothing_of_signing_where_nobody_can(tmp_path: Path, case: str) -> None:
    request = open_request(made(tmp_path / "state"), digest=DIGEST)
    keys = {"carol": [PUBLIC]} if case.startswith("nobody") else {"alice": [PUBLIC]}
    gid = 1 if case.startswith("nobody") else None
    assert signed.lines_for(request, policy(**keys) | {"approvers_gid": gid}, rule_of()) == []
