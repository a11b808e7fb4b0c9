"""By which ways a person can answer, and that a rule which nobody can answer is a fault (issue 12, C3)."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from executor.checks import answering, rules
from executor.checks.ways import ways_in
from gate.store import layout
from tests.support.gate_state import rule_of
from tests.unit.test_checks import POLICY, context_of

if TYPE_CHECKING:
    from pathlib import Path

    from executor.checks.context import Context

NO_DOOR = {"socket": None, "listen": None, "proxy_socket": None}
# the person, the gate, R's uid, and the ways
WAYS: list[tuple[dict[str, Any], dict[str, Any], int, list[str]]] = [
    ({}, {}, 0, []),
    ({"uid": 7}, {}, 0, ["by drop and on the command line"]),
    ({"uid": 7}, {}, 7, ["by drop and on the command line"]),
    ({"uid": 7}, {}, 8, []),
    ({"uid": 7}, {"page": NO_DOOR | {"socket": "/run/x.sock"}}, 8, ["on the page, by its socket"]),
    ({"ssh_keys": ["k"]}, {"approvers_gid": 5}, 0, ["by signed drop"]),
    ({"ssh_keys": ["k"]}, {"approvers_gid": None}, 0, []),
    ({}, {"page": NO_DOOR | {"socket": "/run/x.sock"}}, 0, []),
    ({}, {"page": NO_DOOR | {"proxy_socket": "/run/x.sock"}}, 0, ["on the page, by the reverse proxy"]),
    ({}, {"page": NO_DOOR | {"listen": ["127.0.0.1", 1]}}, 0, []),
]


def context_with(people: dict[str, dict[str, Any]], gate: dict[str, Any], **changes: Any) -> Context:
    known = {name: {"uid": None, "ssh_keys": []} | person for name, person in people.items()}
    policy = POLICY | {"approvers_gid": 5, "page": None} | gate | {"people": known}
    return context_of(policy=policy, **changes)


@pytest.mark.parametrize(("person", "gate", "runner_uid", "ways"), WAYS)
def test_each_way_is_known(person: dict[str, Any], gate: dict[str, Any], runner_uid: int, ways: list[str]) -> None:
    context = dataclasses.replace(context_with({"ann": person}, gate), runner_uid=runner_uid)
    assert ways_in("ann", context) == ways


def test_a_password_on_the_page_is_a_way(tmp_path: Path) -> None:
    accounts = tmp_path / "page" / "accounts"
    assert str(accounts) == layout.accounts(layout.page(str(tmp_path)))
    accounts.mkdir(parents=True)
    (accounts / "ann.json").touch()
    gate = {"state_dir": str(tmp_path), "page": NO_DOOR | {"listen": ["127.0.0.1", 1]}}
    context = context_with({"ann": {}, "ben": {}}, gate)
    assert [ways_in(each, context) for each in ("ann", "ben")] == [["on the page, with a password"], []]


MUTE: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"unix": None}, {}, "gate.yaml gives no Unix user (`unix`) and no SSH key (`ssh_keys`)"),
    ({"unix": "ann"}, {}, "there is no Unix user ann on this host"),
    ({"unix": "ann", "uid": 7}, {}, "takes drops of no other user, and there is no page with a socket"),
    ({"unix": None, "ssh_keys": ["k"]}, {"approvers_gid": None}, "signed drops need an approvers_group"),
    (
        {"unix": None},
        {"page": NO_DOOR | {"listen": ["127.0.0.1", 1]}, "state_dir": "/none"},
        "no password of ann's: gate user add ann",
    ),
]


@pytest.mark.parametrize(("person", "gate", "why"), MUTE)
def test_who_cannot_answer_is_named_with_the_reason(person: dict[str, Any], gate: dict[str, Any], why: str) -> None:
    people = {"ann": person, "ben": {"uid": 8}, "cem": {}}
    rule = rule_of(name="all", approvals=[{"count": 1, "of": ["ann", "ben"], "people": ["ann", "ben"]}])
    context = dataclasses.replace(context_with(people, gate | {"rules": [rule]}), runner_uid=8)
    (found,) = answering.find(context)
    assert (found.state, found.message.startswith("rule 'all' asks ann, who cannot answer: ")) == ("warn", True)
    assert why in found.message


ASKED = [
    {"count": 1, "of": ["ann", "ben"], "people": ["ann", "ben"]},
    {"count": 1, "of": ["all"], "people": ["ann", "cem"]},
]


@pytest.mark.parametrize(("able", "words"), [
    (["ann", "ben", "cem"], ""), (["ben", "cem"], ""), (["ann", "cem"], ""),
    (["ben"], "rule 'all' asks for 1 of all, and ann and cem cannot answer in any way"),
    (["ann"], "rule 'all' asks for 1 of ann or ben and 1 of all, and ben and cem cannot answer in any way"),
    ([], "rule 'all' asks for 1 of ann or ben, and ann and ben cannot answer in any way"),
])  # fmt: skip
def test_a_rule_whose_places_cannot_be_filled_is_a_fault(able: list[str], words: str) -> None:
    people = {name: {"uid": 7 if name in able else None} for name in ("ann", "ben", "cem")}
    context = context_with(people, {"rules": [rule_of(approvals=ASKED, deny=["code"])]})
    (found,) = rules.find(context)
    assert found.state == ("fail" if words else "ok")
    assert found.message.startswith(words)
