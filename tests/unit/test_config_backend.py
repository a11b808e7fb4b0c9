"""Whom approved jobs may run as."""

import pytest

from config.accounts import User
from config.load import ConfigError, policy_from
from tests.support.fake_accounts import FakeHost
from tests.unit.test_config_faults import GOOD

BACKEND = "backend: {type: shell, run_as: gitlab-job}"
CANNOT_SWITCH = (
    "a runner that is not root (it is uid 997) cannot switch user to 'gitlab-job': run it as root, or (to try things "
    "out) leave run_as out and write allow_same_user: true"
)
NOT_A_PERSON = "'{0}' is the person '{0}' too, so a job could approve as {0}: name another user"
NOT_AN_APPROVER = "'{}' is in the approvers' group 'gate-approvers': take it out of the group, or name another user"
NOT_THE_GATE = "the gate itself runs as '{}', so a job could approve itself: name another user"
MISSING = "'run_as' is missing: name the Unix user that jobs run as (or, to try things out, allow_same_user: true)"


def messages(backend: str, runner_uid: int, host: FakeHost | None = None) -> list[str]:
    data = GOOD.replace(BACKEND, f"backend: {{type: shell{backend}}}").encode()
    try:
        policy_from(data, "gate.yaml", runner_uid=runner_uid, host=host or FakeHost())
    except ConfigError as error:
        return [fault.message for fault in error.faults]
    return []


@pytest.mark.parametrize(
    ("backend", "runner_uid", "expected"),
    [
        (", run_as: gitlab-job", 0, []),
        (", run_as: gitlab-job", 997, [CANNOT_SWITCH]),
        (", run_as: gitlab-job, allow_same_user: true", 997, [CANNOT_SWITCH]),
        (", run_as: gitlab-job", 998, [NOT_THE_GATE.format("gitlab-job")]),
        (", run_as: gitlab-job, allow_same_user: true", 998, []),
        ("", 0, [MISSING]),
        ("", 997, [MISSING]),
        (", allow_same_user: false", 997, [MISSING]),
        (", allow_same_user: true", 997, []),
        (", allow_same_user: true", 0, []),
        (", run_as: root", 0, [NOT_THE_GATE.format("root")]),
        (", run_as: root, allow_same_user: true", 0, []),
        (", run_as: root, allow_same_user: true", 997, ["jobs cannot run as 'root', which is root: name another user"]),
        (", run_as: ghost", 0, ["no Unix user 'ghost' on this host: create it, or name another"]),
        (", run_as: alice", 0, [NOT_A_PERSON.format("alice"), NOT_AN_APPROVER.format("alice")]),
        (", run_as: alice2", 0, ["'alice2' is the person 'alice' too, so a job could approve as alice: name another user"]),
        (", run_as: alice2, allow_same_user: true", 0, []),
        (", run_as: alice, allow_same_user: true", 0, [NOT_AN_APPROVER.format("alice")]),
    ],
)  # fmt: skip
def test_run_as_is_judged_by_who_the_runner_is(backend: str, runner_uid: int, expected: list[str]) -> None:
    assert messages(backend, runner_uid) == expected


def test_a_primary_group_is_membership_too() -> None:
    users = FakeHost().users | {"gitlab-job": User("gitlab-job", 998, 2000, "/home/gitlab-job")}
    expected = [NOT_AN_APPROVER.format("gitlab-job")]
    assert messages(", run_as: gitlab-job", 0, FakeHost(users)) == expected


def test_a_misspelt_allow_same_user_value_is_told_once() -> None:
    (message,) = messages(", allow_same_user: 'yes'", 997)
    assert message.startswith("'allow_same_user' must be true or false")
