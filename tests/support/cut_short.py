"""A process that is killed before or after one of its steps, played by an exception that only the test catches."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from gate.store.request import Request
from gate.votes import ballot
from gate.votes import drop_file as drop

if TYPE_CHECKING:
    import pytest

# What becomes of an answer, in this order: of one that counts all four, of one that is turned away the middle two.
STEPS = {
    "vote file": (ballot, "write_json_once"),
    "record": (Request, "record"),
    "move": (drop, "take"),
    "unlink": (os, "unlink"),
}


class Crash(BaseException):
    """The process is killed here."""


def cut_short(patched: pytest.MonkeyPatch, step: tuple[Any, str], when: str) -> None:
    """Be killed `before` or `after` a step: an object, and the name of a function in it."""
    true = getattr(*step)

    def killed(*words: Any, **named: Any) -> None:
        if when == "after":
            true(*words, **named)
        raise Crash

    patched.setattr(*step, killed)
