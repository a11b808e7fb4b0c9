"""How long somebody is logged in, and that what is in memory logs nobody in (threats T25)."""

from __future__ import annotations

import pytest

from gate.page.auth.accounts import Account
from gate.page.auth.sessions import IDLE_S, LIFETIME_S, PASSWORD_AGAIN_AFTER_S, SESSIONS_MAX, Session, Sessions

ALICE, BOB = Account("alice", "hash of alice"), Account("bob", "hash of bob")


class Clock:
    """Seconds since some moment, as the tests set them."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(clock: Clock) -> Sessions:
    return Sessions(clock)


def of(sessions: Sessions, token: str) -> Session:
    found = sessions.of(token)
    assert found is not None
    return found


def test_a_token_finds_its_session_and_no_other(sessions: Sessions) -> None:
    tokens = [sessions.begin(account) for account in (ALICE, BOB, ALICE)]
    assert [of(sessions, token).person for token in tokens] == ["alice", "bob", "alice"]
    assert of(sessions, tokens[0]).hashed == "hash of alice"
    assert len({of(sessions, token).id for token in tokens}) == 3


@pytest.mark.parametrize("token", ["", "x", "x" * 100_000, "é", "\ud800", "\0"])
def test_an_unknown_token_finds_nothing(sessions: Sessions, token: str) -> None:
    sessions.begin(ALICE)
    assert sessions.of(token) is None


def test_no_token_can_be_guessed_from_another(sessions: Sessions) -> None:
    tokens = {sessions.begin(ALICE) for _ in range(50)}
    assert len(tokens) == 50
    assert {len(token) for token in tokens} == {43}  # 32 random bytes as base64


def test_what_is_in_memory_logs_nobody_in(sessions: Sessions) -> None:
    token = sessions.begin(ALICE)
    assert token not in repr(vars(sessions))
    assert sessions.of(of(sessions, token).id) is None


def test_a_session_that_is_not_used_ends(sessions: Sessions, clock: Clock) -> None:
    token = sessions.begin(ALICE)
    clock.now_s += IDLE_S
    assert sessions.of(token)
    clock.now_s += 1
    assert sessions.of(token) is None
    clock.now_s -= 10
    assert sessions.of(token) is None


def test_a_session_that_is_used_lasts_half_a_day(sessions: Sessions, clock: Clock) -> None:
    token = sessions.begin(ALICE)
    for _ in range(LIFETIME_S // IDLE_S):
        clock.now_s += IDLE_S
        sessions.use(of(sessions, token))
    clock.now_s += 1
    assert sessions.of(token) is None


def test_looking_is_no_use(sessions: Sessions, clock: Clock) -> None:
    token = sessions.begin(ALICE)
    for _ in range(3):
        clock.now_s += IDLE_S / 3
        assert sessions.of(token)
    clock.now_s += 1
    assert sessions.of(token) is None


def test_a_person_has_ten_sessions_and_the_oldest_goes(sessions: Sessions, clock: Clock) -> None:
    other = sessions.begin(BOB)
    tokens = []
    for _ in range(SESSIONS_MAX + 2):
        clock.now_s += 1
        tokens.append(sessions.begin(ALICE))
    assert [sessions.of(token) is not None for token in tokens] == [False] * 2 + [True] * SESSIONS_MAX
    assert sessions.of(other)


def test_sessions_that_are_over_take_no_place(sessions: Sessions, clock: Clock) -> None:
    for _ in range(SESSIONS_MAX):
        sessions.begin(ALICE)
    clock.now_s += IDLE_S + 1
    fresh = sessions.begin(ALICE)
    assert repr(vars(sessions)).count("person='alice'") == 1
    assert sessions.of(fresh)


def test_the_password_is_wanted_again_after_a_while_whatever_else_was_done(sessions: Sessions, clock: Clock) -> None:
    session = of(sessions, sessions.begin(ALICE))
    clock.now_s += PASSWORD_AGAIN_AFTER_S
    sessions.use(session)
    assert not sessions.wants_password(session)
    clock.now_s += 1
    assert sessions.wants_password(session)
    sessions.confirm(session)
    assert not sessions.wants_password(session)


def test_giving_the_password_again_makes_no_session_older_or_younger(sessions: Sessions, clock: Clock) -> None:
    token = sessions.begin(ALICE)
    clock.now_s += IDLE_S
    sessions.confirm(of(sessions, token))
    clock.now_s += 1
    assert sessions.of(token) is None


def test_an_ended_session_is_gone_and_ends_no_other(sessions: Sessions) -> None:
    first, second = sessions.begin(ALICE), sessions.begin(ALICE)
    session = of(sessions, first)
    sessions.end(session)
    sessions.end(session)
    assert sessions.of(first) is None
    assert sessions.of(second)
