"""A person more or less in gate.yaml's text: what is not about them stays to the letter."""

from __future__ import annotations

import difflib
from typing import Any

import pytest
import yaml

from gate.commands.fault import CommandError
from gate.commands.people.edit import adding, edited, removing

OPERATORS = """\
# Ours; ask before you change it.
version: 1
people:                                         # everyone
  alice: {unix: alice, gitlab: [alice, 4711]}   # lead
  # Bob is on call.
  bob:   {unix: bob}

# Who answers for what.
groups:
  release-managers:   [alice, bob]     # both
  security:
    - bob
    # Alice is the deputy.
    - alice
# The strict ones first.
rules:
  - name: production
    approvals:                                  # all of these
      - {count: 1, of: [bob, alice]}
    decide_within:  "4h"
"""
# dumped by a program, with dashes that stand further out; and with both ways in one file
DUMPED = yaml.safe_dump(yaml.safe_load(OPERATORS), sort_keys=False)
MIXED = OPERATORS.replace("    - bob\n    # Alice is the deputy.\n    - alice", "  - bob\n  - alice")
CAROL = {"unix": "carol", "gitlab": ["carol", 4713]}


def changed_lines(before: str, after: str) -> list[str]:
    """Lines that went and lines that came, without those that stayed."""
    return [line for line in difflib.ndiff(before.splitlines(), after.splitlines()) if line[0] in "+-"]


def test_a_new_person_is_one_line_and_their_groups() -> None:
    after = edited(OPERATORS, "gate.yaml", adding("carol", CAROL, ["release-managers", "security"]))
    assert changed_lines(OPERATORS, after) == [
        "+   carol: {unix: carol, gitlab: [carol, 4713]}",
        "-   release-managers:   [alice, bob]     # both",
        "+   release-managers: [alice, bob, carol] # both",
        "+     - carol",
    ]
    assert "carol, 4713]}\n\n# Who answers" in after


def test_who_goes_takes_no_comment_along_that_is_about_others() -> None:
    after = edited(OPERATORS, "gate.yaml", removing("alice"))
    gone = [line for line in changed_lines(OPERATORS, after) if line[0] == "-"]
    assert [line[2:].split("[")[0].strip() for line in gone] == [
        "alice: {unix: alice, gitlab:",
        "release-managers:",
        "- alice",
        "- {count: 1, of:",
    ]
    assert "people:                                         # everyone\n  # Bob is on call.\n  bob:   {" in after


@pytest.mark.parametrize(
    "text", [OPERATORS, DUMPED, MIXED, OPERATORS.rstrip("\n"), OPERATORS.replace("alice, bob]", "alice,\n    bob]")]
)
@pytest.mark.parametrize("person", ["alice", "bob"])
def test_back_and_forth_is_the_same_policy(text: str, person: str) -> None:
    added = edited(text, "gate.yaml", adding("carol", CAROL, ["security"]))
    back = edited(added, "gate.yaml", removing("carol"))
    assert (yaml.safe_load(added)["people"]["carol"], yaml.safe_load(back)) == (CAROL, yaml.safe_load(text))
    without = edited(back, "gate.yaml", removing(person)) if "[alice,\n" not in text else ""
    assert person not in str(yaml.safe_load(without))


@pytest.mark.parametrize("name", ["1.10", "no", "0x1f", "4:00", "a: b #c", "2026-11-24", "~", '"', "ünï"])
def test_a_name_stays_that_name(name: str) -> None:
    known: dict[str, Any] = {"gitlab": [name], "proxy": [name]}
    after = edited(OPERATORS, "gate.yaml", adding("carol", known, []))
    assert yaml.safe_load(after)["people"]["carol"] == known


def test_a_comment_that_cannot_be_kept_stops_it() -> None:
    """A list that goes over lines is laid out again, and what is said of a person in it would get lost."""
    text = OPERATORS.replace("[alice, bob]", "[alice,\n    bob]").replace("    - alice", "    - alice  # deputy")
    with pytest.raises(CommandError, match="edit it by hand"):
        edited(text, "gate.yaml", removing("alice"))
