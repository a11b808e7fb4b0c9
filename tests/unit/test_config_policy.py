"""The policy that a gate.yaml without faults comes to."""

import json
import os
from typing import Any

import pytest

from config import load
from config.accounts import SystemHost, User
from config.policy import seconds, size_bytes
from config.reference import render
from gate.model.looser import looser
from tests.support.fake_accounts import FakeHost
from tests.unit.test_config_faults import GOOD
from tests.unit.test_config_ssh_keys import KEY

NO_ID = "bob: no numeric GitLab id given: a job that bob triggered may not be known as theirs to approve"
WITH_IDS = GOOD.replace("[bob]", "[bob, 4712]")
CLAIMED = (
    "rule 'production': matches by environment alone, which is the job's own claim: its author can leave it out; match "
    "by project, ref, protected or runner as well"
)
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def policy(text: str, runner_uid: int = 0) -> Any:
    return load.policy_from(text.encode(), "gate.yaml", runner_uid=runner_uid, host=FakeHost())


def test_a_small_file_comes_to_the_whole_policy() -> None:
    assert policy(GOOD.replace("[alice, 4711]", "[Alice, 4711]")) == {
        "version": 1,
        "site": "build01.example.com",
        "state_dir": "/var/lib/gitlab-runner-gate",
        "approvers_group": "gate-approvers",
        "approvers_gid": 2000,
        "people": {
            "alice": {
                "unix": "alice",
                "uid": 1001,
                "gitlab_names": ["alice"],
                "gitlab_ids": [4711],
                "ssh_keys": [],
                "proxy_names": [],
            },
            "bob": {
                "unix": "bob",
                "uid": 1002,
                "gitlab_names": ["bob"],
                "gitlab_ids": [],
                "ssh_keys": [],
                "proxy_names": [],
            },
        },
        "groups": {"release-managers": ["alice", "bob"]},
        "rules": [
            {
                "name": "production",
                "match": {},
                "approvals": [{"count": 1, "of": ["release-managers"], "people": ["alice", "bob"]}],
                "rejections": 1,
                "decide_within_s": 14_400,
                "early": False,
                "reserve_s": None,
                "self_approval": False,
                "comment": {"approve": "optional", "reject": "optional"},
                "run_as": None,
                "named_home": None,
                "deny": [],
                "limits": {},
                "after_rejection_s": 300,
                "remind_every_s": None,
                "supersede": False,
            }
        ],
        "backend": {
            "type": "shell",
            "run_as": "gitlab-job",
            "uid": 998,
            "gid": 998,
            "home": "/home/gitlab-job",
            "isolate": "pid_namespace",
            "image": "warn",
            "allow_same_user": False,
            "named_home": None,
            "no_new_privileges": True,
            "path": [],
            "environment": {},
            "limits": {},
        },
        "exit_codes": {"rejected": 80, "expired": 81, "superseded": 82, "refused": 83},
        "page": None,
        "audit": {"rotate_at_bytes": 67_108_864, "copy_to": None},
        "keep": {"requests_s": 2_592_000, "log_s": 34_560_000},
        "on_event": [],
        "warnings": [NO_ID],
        "asides": [],
    }


def test_what_is_written_wins_over_the_defaults() -> None:
    text = GOOD.replace("4h", "2d\n    early: yes\n    reserve: 0s\n    self_approval: true")
    text = text.replace("gitlab-job}", "gitlab-job, isolate: process_group}\nexit_codes: {refused: 7}")
    found = policy(text)
    (rule,) = found["rules"]
    assert (rule["decide_within_s"], rule["early"], rule["reserve_s"], rule["self_approval"]) == (
        172_800,
        True,
        0,
        True,
    )
    assert found["backend"]["isolate"] == "process_group"
    assert found["exit_codes"] == {"rejected": 80, "expired": 81, "superseded": 82, "refused": 7}


def test_without_run_as_jobs_run_as_the_runner() -> None:
    backend = policy(GOOD.replace("run_as: gitlab-job", "allow_same_user: true"), 997)["backend"]
    assert (backend["run_as"], backend["uid"], backend["gid"], backend["home"]) == (
        None,
        997,
        997,
        "/home/gitlab-runner",
    )


def test_a_runner_without_a_user_entry_keeps_its_uid() -> None:
    backend = policy(GOOD.replace("run_as: gitlab-job", "allow_same_user: true"), 54_321)["backend"]
    assert (backend["uid"], backend["home"]) == (54_321, "/")


def test_people_of_overlapping_lists_count_once() -> None:
    found = policy(GOOD.replace("of: [release-managers]", "of: [bob, release-managers, bob]"))
    assert found["rules"][0]["approvals"][0]["people"] == ["bob", "alice"]


def test_an_absent_group_and_a_final_slash_are_tidied() -> None:
    text = GOOD.replace("approvers_group: gate-approvers\n", "").replace("runner-gate\n", "runner-gate/\n")
    found = policy(text)
    assert (found["approvers_group"], found["approvers_gid"]) == (None, None)
    assert found["state_dir"] == "/var/lib/gitlab-runner-gate"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("zzz", "", []),
        ("unix: bob", "unix: bobby", ["bob: no Unix user 'bobby' on this host: bob cannot answer by drop"]),
        ("unix: bob, ", "", ["bob: no `unix` user given: bob cannot answer by drop"]),
        ("unix: bob, ", f"ssh_keys: ['{KEY}'], ", ["bob: no `unix` user given: bob can answer by signed drop only"]),
        (
            "unix: bob",
            "unix: root",
            ["bob: the Unix user is root: everybody who may use sudo answers as bob; name a user of their own"],
        ),
        (", gitlab: [bob, 4712]", "", [NO_ID]),
        (", 4712]", "]", [NO_ID]),
        ("bob, 4712]", "4712]", []),
        (", 4712]}", "]}\n  carol: {unix: carol}", [NO_ID]),  # and none of carol, whom nobody asks
        ("{}", "{environment: production}", [CLAIMED]),
        ("{}", "{environment: production, stage: deploy}", []),
        ("{}", "{stage: deploy}", []),
    ],
)
def test_what_is_odd_but_usable_is_a_warning(old: str, new: str, expected: list[str]) -> None:
    assert policy(WITH_IDS.replace(old, new))["warnings"] == expected


def test_self_approval_needs_no_gitlab_id() -> None:
    text = GOOD.replace(", gitlab: [bob]", "").replace("4h", "4h\n    self_approval: true")
    assert policy(text)["warnings"] == []


def test_the_policy_survives_json() -> None:
    found = policy(GOOD)
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize(("text", "expected"), [("30s", 30), ("15m", 900), ("4h", 14_400), ("2d", 172_800)])
def test_durations_come_to_seconds(text: str, expected: int) -> None:
    assert seconds(text) == expected


def test_the_example_loads_without_a_warning() -> None:
    with open(os.path.join(ROOT, "config", "example.yaml"), encoding="utf-8") as file:
        found = policy(file.read())
    assert found["warnings"] == []
    assert list(looser(found)) == []


def test_the_reference_page_is_up_to_date() -> None:
    with open(os.path.join(ROOT, "docs", "reference", "gate-yaml.md"), encoding="utf-8") as page:
        assert page.read() == render(), "run: python -m config.reference > docs/reference/gate-yaml.md"


def test_the_system_host_knows_root_and_not_a_ghost() -> None:
    host = SystemHost()
    root = host.user("root")
    assert root is not None
    assert (root.uid, host.user_of_uid(0)) == (0, root)
    assert root.gid in host.gids_of(root)
    assert host.user("no-such-user-33") is host.user_of_uid(4_294_000_033) is None
    assert host.gid("no-such-group-33") is None
    assert isinstance(root, User)


@pytest.mark.parametrize(("text", "expected"), [("1MiB", 1_048_576), ("999999GiB", 999_999 * 1024**3)])
def test_sizes_come_to_bytes(text: str, expected: int) -> None:
    assert size_bytes(text) == expected


def test_what_the_audit_log_is_told_comes_to_the_policy() -> None:
    found = policy(GOOD + "audit: {rotate_at: 2GiB, copy_to: journald}\n")
    assert found["audit"] == {"rotate_at_bytes": 2 * 1024**3, "copy_to": "journald"}
