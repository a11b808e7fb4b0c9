"""Who a person is who runs a command: by the uid, and by nothing that a variable says."""

from __future__ import annotations

import os
import pwd

import pytest

from gate.commands.fault import CommandError
from gate.commands.target import me
from tests.support.parts import part

POLICY = {"people": {"alice": {"uid": 65_533}, "bob": {"uid": None}}}
NOBODY = pwd.getpwnam("nobody")
WORDS = [
    (0, "alice", "root is nobody in gate.yaml, and an answer is a person's own: run it as yourself, without sudo (which alice has started)"),
    (0, "", "root is nobody in gate.yaml, and an answer is a person's own: run it as yourself"),
    (0, "root", "root is nobody in gate.yaml, and an answer is a person's own: run it as yourself"),
    (NOBODY.pw_uid, "alice\x1b[2J", "nobody is nobody in gate.yaml, and an answer is a person's own: run it as yourself, without sudo (which alice\\x1b[2J has started)"),
    (NOBODY.pw_uid, "", "nobody is nobody in gate.yaml: ask the operator to add a person with `unix: nobody`"),
]  # fmt: skip


@pytest.mark.parametrize(("uid", "sudo_user", "words"), WORDS)
def test_who_is_nobody_is_told_what_to_do(
    uid: int, sudo_user: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: uid)
    monkeypatch.setenv("SUDO_USER", sudo_user)
    with pytest.raises(CommandError) as told:
        me(part(POLICY))
    assert str(told.value) == words


def test_sudo_makes_nobody_of_a_person_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 65_533)
    monkeypatch.setenv("SUDO_USER", "bob")
    assert me(part(POLICY)) == "alice"
