"""A form counts only if this page made it, for this visitor and purpose, not long ago (threats T18, T22)."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gate.page.auth.form_tokens import KEY_BYTES, VALID_S, TokenError, Tokens, key_in
from gate.store.files import StateError
from tests.support.gate_state import in_children

if TYPE_CHECKING:
    from pathlib import Path

KEY = b"k" * KEY_BYTES
NOW_S = 1_800_000_000.9
VISITOR, PURPOSE = "socket:alice", "decide git.example-42-1001"
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def tokens(now_s: float = NOW_S, key: bytes = KEY) -> Tokens:
    return Tokens(key, lambda: now_s)


TOKEN = tokens().make(VISITOR, PURPOSE)


@given(TEXTS, TEXTS)
def test_a_token_tells_its_nonce_to_whom_it_was_made_for(visitor: str, purpose: str) -> None:
    token = tokens().make(visitor, purpose)
    nonce = tokens().check(token, visitor, purpose)
    assert nonce == token.partition(".")[0]
    assert len(bytes.fromhex(nonce)) == 16


def test_no_two_tokens_have_one_nonce() -> None:
    made = {tokens().make(VISITOR, PURPOSE).partition(".")[0] for _ in range(100)}
    assert len(made) == 100


AGES = {
    "made just now": (0, True),
    "made in this second": (0.05, True),
    "as old as can be": (VALID_S - 1, True),
    "too old": (VALID_S + 1, False),
    "from the future": (-2, False),
    "of the page's last life, a year ago": (365 * 86_400, False),
}


@pytest.mark.parametrize("case", AGES)
def test_a_token_holds_for_half_a_day(case: str) -> None:
    age_s, holds = AGES[case]
    later = tokens(NOW_S + age_s)
    if holds:
        assert later.check(TOKEN, VISITOR, PURPOSE)
    else:
        with pytest.raises(TokenError):
            later.check(TOKEN, VISITOR, PURPOSE)


@given(TEXTS, TEXTS)
def test_a_token_is_for_nobody_and_nothing_else(visitor: str, purpose: str) -> None:
    assume((visitor, purpose) != (VISITOR, PURPOSE))
    with pytest.raises(TokenError):
        tokens().check(TOKEN, visitor, purpose)


@pytest.mark.parametrize(
    ("visitor", "purpose"),
    [(VISITOR[:-1], f"e{PURPOSE}"), (VISITOR + PURPOSE, ""), ("", VISITOR + PURPOSE), (PURPOSE, VISITOR)],
)
def test_visitor_and_purpose_do_not_run_into_each_other(visitor: str, purpose: str) -> None:
    with pytest.raises(TokenError):
        tokens().check(TOKEN, visitor, purpose)


def test_another_key_is_another_page() -> None:
    with pytest.raises(TokenError):
        tokens(key=b"j" * KEY_BYTES).check(TOKEN, VISITOR, PURPOSE)


@pytest.mark.parametrize("position", range(len(TOKEN)))
def test_every_character_of_a_token_matters(position: int) -> None:
    for other in "0a.é\0":
        if other == TOKEN[position]:
            continue
        with pytest.raises(TokenError):
            tokens().check(TOKEN[:position] + other + TOKEN[position + 1 :], VISITOR, PURPOSE)


NONCE, MADE, MAC = TOKEN.split(".")
GARBAGE = {
    "nothing": "",
    "dots": "..",
    "two parts": f"{NONCE}.{MAC}",
    "four parts": f"{TOKEN}.",
    "a blank behind": f"{TOKEN} ",
    "a line end": f"{TOKEN}\n",
    "four blanks within": f"{TOKEN[:-1]}    {TOKEN[-1]}",
    "four blanks behind": f"{TOKEN}    ",
    "four line ends within": f"{TOKEN[:-1]}\n\n\n\n{TOKEN[-1]}",
    "MAC in capitals": f"{NONCE}.{MADE}.{MAC.upper()}",
    "MAC cut short": TOKEN[:-1],
    "no MAC": f"{NONCE}.{MADE}.",
    "no time": f"{NONCE}..{MAC}",
    "a time that is none": f"{NONCE}.soon.{MAC}",
    "a time below zero": f"{NONCE}.-{MADE}.{MAC}",
    "a time in digits of another script": f"{NONCE}.١٢٣.{MAC}",
    "a time that no int takes": f"{NONCE}.{'9' * 5000}.{MAC}",
    "another nonce": f"{'0' * 32}.{MADE}.{MAC}",
    "not ASCII": f"{NONCE}.{MADE}.{'é' * 64}",
    "half a surrogate pair": f"{NONCE}.{MADE}.\ud800",
    "huge": "x" * 1_000_000,
    "dots without end": "." * 100_000,
}


@pytest.mark.parametrize("case", GARBAGE)
def test_nothing_else_is_a_token(case: str) -> None:
    with pytest.raises(TokenError):
        tokens().check(GARBAGE[case], VISITOR, PURPOSE)


@given(st.text(max_size=200))
def test_no_text_does_worse_than_being_refused(token: str) -> None:
    with pytest.raises(TokenError):
        tokens().check(token, VISITOR, PURPOSE)


def test_the_key_is_made_once_and_is_the_page_s_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        key = key_in(str(tmp_path))
    finally:
        os.umask(before)
    assert (len(key), key_in(str(tmp_path))) == (KEY_BYTES, key)
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
    (tmp_path / "other").mkdir()
    assert key_in(str(tmp_path / "other")) != key


def test_pages_that_start_at_once_have_one_key(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    assert all(in_children(4, lambda n: bool((tmp_path / "kept" / str(n)).write_bytes(key_in(str(tmp_path))))))
    assert {path.read_bytes() for path in (tmp_path / "kept").iterdir()} == {key_in(str(tmp_path))}


@pytest.mark.parametrize("case", ["short", "long", "a link", "a directory", "nowhere"])
def test_a_key_that_cannot_be_is_told(tmp_path: Path, case: str) -> None:
    secret, elsewhere = tmp_path / "secret", tmp_path / "elsewhere"
    elsewhere.write_bytes(b"x" * KEY_BYTES)
    actions: dict[str, Any] = {
        "short": lambda: secret.write_bytes(b"x" * (KEY_BYTES - 1)),
        "long": lambda: secret.write_bytes(b"x" * (KEY_BYTES + 1)),
        "a link": lambda: secret.symlink_to(elsewhere),
        "a directory": secret.mkdir,
        "nowhere": lambda: tmp_path.rename(tmp_path.with_name("gone")),
    }
    actions[case]()
    with pytest.raises(StateError, match="secret"):
        key_in(str(tmp_path))
