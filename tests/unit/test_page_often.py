"""Nobody's votes on the page go on until others' are late."""

from __future__ import annotations

import pytest

from executor import pace
from gate.page import often
from gate.page.often import AT_ONCE, PAUSE_S, Answers


class Clock:
    """Seconds since some moment, as the tests set them."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def answered(answers: Answers, times: int, person: str = "bob", key: str = "git-1-1") -> None:
    for _ in range(times):
        answers.note(person, key)


def test_a_few_answers_are_taken_at_once_and_then_there_is_a_pause() -> None:
    clock = Clock()
    answers = Answers(clock)
    answered(answers, AT_ONCE - 1)
    assert answers.wait_s("bob", "git-1-1") == 0
    answered(answers, 1)
    clock.now_s += 0.5
    assert answers.wait_s("bob", "git-1-1") == PAUSE_S
    clock.now_s += PAUSE_S
    assert answers.wait_s("bob", "git-1-1") == 0
    answered(answers, 1)
    assert answers.wait_s("bob", "git-1-1") == 0


@pytest.mark.parametrize(("person", "key"), [("alice", "git-1-1"), ("bob", "git-1-2")])
def test_another_s_answers_and_another_job_s_have_no_part_in_it(person: str, key: str) -> None:
    answers = Answers(Clock())
    answered(answers, 10 * AT_ONCE)
    assert answers.wait_s(person, key) == 0


def test_the_one_who_waits_has_forgotten_a_person_s_answers_before_the_next_come() -> None:
    assert pace.AT_ONCE >= AT_ONCE
    assert PAUSE_S * 1000 > pace.FORGIVEN_AFTER_MS


def test_what_is_known_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(often, "KNOWN_MAX", 100)
    clock = Clock()
    answers = Answers(clock)
    for number in range(1000):
        clock.now_s += 1
        answers.note("bob", str(number))
    assert len(answers._last) <= 161
