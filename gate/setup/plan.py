"""What has to be made for one gate, in an order in which a failure half-way leaves what the next run goes on from.

gate.yaml is last: where it is, the host is set up. Before anything is made, all that can be is checked, gate.yaml's
text by the check of gate.yaml itself, against the host as it will be.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from config.accounts import SystemHost
from config.faults import ConfigError
from config.load import policy_from
from gate.errors import GateError
from gate.setup import preflight
from gate.setup.answers import APPROVERS_GROUP, PAGE_USER
from gate.setup.host import PlannedHost
from gate.setup.policy import text_of
from gate.setup.resources import Directory, Group, Member, MismatchError, SystemUser, Thing
from gate.store import layout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.accounts import Host
    from gate.setup.answers import Answers
    from gate.shapes import Policy

JOB_COMMENT = "Jobs that gitlab-runner-gate let through"
PAGE_COMMENT = "Approval page of gitlab-runner-gate"


@dataclass(frozen=True)
class Plan:
    """The text of gate.yaml, all things that it needs, and those of them that are not there yet, in their order."""

    answers: Answers
    text: str
    things: tuple[Thing, ...]
    missing: tuple[Thing, ...]

    @property
    def steps(self) -> list[tuple[tuple[str, ...], list[Thing]]]:
        """The programs that make what is missing, each with the things that one run of it makes."""
        return [(maker, list(things)) for maker, things in groupby(self.missing, lambda thing: thing.maker)]


class PlanError(GateError):
    """It cannot be done; a line for each thing that is in the way."""

    def __init__(self, problems: list[str]) -> None:
        """Keep each problem once."""
        super().__init__("\n".join(dict.fromkeys(problems)))


def plan(answers: Answers) -> Plan:
    """Return what has to be made; looks, and changes nothing.

    Raises:
        PlanError: with all that is in the way.
    """
    host = SystemHost()
    problems = list(preflight.installation(answers))
    try:
        things = resources(answers, host)
    except ConfigError as error:
        raise PlanError([*problems, *(fault.message for fault in error.faults)]) from error
    missing, wrong = _compared(things, host)
    problems += [*wrong, *preflight.places(answers), *preflight.making(answers, missing)]
    if problems:
        raise PlanError(problems)
    return Plan(answers, text_of(answers), things, missing)


def resources(answers: Answers, host: Host) -> tuple[Thing, ...]:
    """All that such a gate needs, in the order in which it is made, there or not.

    Raises:
        ConfigError: its gate.yaml would not pass the check.
    """
    people = list(_users(answers))
    policy = _checked(answers, people, host)
    return tuple(dict.fromkeys([*people, *_directories(answers, policy, host)]))


def _checked(answers: Answers, people: list[Thing], host: Host) -> Policy:
    """The policy that gate.yaml comes to on this host, once `people` are made."""
    planned = PlannedHost(
        users=tuple(each.user for each in people if isinstance(each, SystemUser)),
        groups=tuple(each.group for each in people if isinstance(each, Group)),
        members=tuple((each.user, each.group) for each in people if isinstance(each, Member)),
        host=host,
    )
    return policy_from(text_of(answers).encode(), answers.config, runner_uid=answers.runner.uid, host=planned)


def _users(answers: Answers) -> Iterator[Thing]:
    if not answers.has_users:
        return
    yield Group(APPROVERS_GROUP)
    if answers.page:
        yield SystemUser(PAGE_USER, PAGE_COMMENT, "/nonexistent")
        yield Member(PAGE_USER, APPROVERS_GROUP, is_person=False)
    if answers.run_as:
        yield SystemUser(answers.run_as, JOB_COMMENT, f"/home/{answers.run_as}")
    yield from (Member(each.unix, APPROVERS_GROUP) for each in answers.approvers)


def _directories(answers: Answers, policy: Policy, host: Host) -> Iterator[Directory]:
    runner, state_dir = answers.runner.name, policy["state_dir"]
    if answers.run_as:
        yield from _home(answers.run_as, host)
    yield from _parents(os.path.dirname(answers.config), runner)
    yield from _parents(os.path.dirname(state_dir), runner)
    for path, mode, gid in layout.directories(policy):
        yield Directory(path, runner, None if gid == -1 else APPROVERS_GROUP, mode)
    if answers.page:
        owner, group = (PAGE_USER, PAGE_USER) if answers.has_users else (runner, None)
        yield Directory(layout.page(state_dir), owner, group, 0o700)
    for each in answers.approvers:
        if answers.has_users or each.unix == runner:  # a gate that is not root serves no other drop directory
            yield Directory(os.path.join(layout.drops(state_dir), each.person), each.unix, None, 0o700)


def _home(name: str, host: Host) -> Iterator[Directory]:
    """The job user's home, where it is the one that we give them; an operator's own choice is theirs to make."""
    user, home = host.user(name), f"/home/{name}"
    if user is None or user.home == home:
        has_own_group = user is None or host.gid(name) == user.gid
        yield Directory(home, name, name if has_own_group else None, 0o700, is_exact=False)


def _parents(path: str, owner: str) -> list[Directory]:
    """`path` and the directories above it, as far as they are missing, from the top down."""
    missing = []
    while not os.path.lexists(path):
        missing.append(Directory(path, owner, None, 0o755))
        path = os.path.dirname(path)
    return missing[::-1]


def _compared(things: tuple[Thing, ...], host: Host) -> tuple[tuple[Thing, ...], list[str]]:
    missing, wrong = [], []
    for thing in things:
        try:
            if not thing.is_there(host):
                missing.append(thing)
        except MismatchError as error:
            wrong.append(str(error))
    return tuple(missing), wrong
