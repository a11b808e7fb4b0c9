"""Rules: what they match, whom they ask, and what makes one impossible."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.load import ConfigError, policy_from
from config.seating import Entry, shortage
from executor.shell import backend
from gate.model.rules import backend_of
from tests.support.fake_accounts import FakeHost
from tests.unit.test_config_faults import GOOD, changed, faults_of

FULL = """\
version: 1
site: build01.example.com
state_dir: /var/lib/gitlab-runner-gate
people:
  alice: {unix: alice, gitlab: [alice, 4711]}
  bob: {unix: bob, gitlab: [4712]}
  carol: {unix: carol, gitlab: [4713]}
groups:
  release-managers: [alice, bob]
  security: [carol]
rules:
  - name: production
    match:
      project: "shop/*"
      ref: [main, "release/*", main]
      protected: true
      job: deploy*
      stage: deploy
      environment: [production]
      instance: gitlab.example.com
      runner: 12
    approvals:
      - {count: 1, of: [release-managers]}
      - {count: 1, of: [security, alice]}
    rejections: 2
    decide_within: 4h
    comment: {reject: required}
    run_as: deployer
    variables: {deny: [code, DEPLOY_*]}
    after_rejection: 0s
    remind_every: 45m
    supersede: true
  - name: staging
    match: {runner: [12, 13]}
    approvals: [{count: 1, of: [bob]}]
    decide_within: 1h
backend: {type: shell, run_as: gitlab-job}
"""
RULE = "  - {name: another, match: {}, approvals: [{count: 1, of: [bob]}], decide_within: 1h}\n"
HIDDEN = "no job ever gets to this rule, the one in line 11 takes them all: move it up, or remove one"
GLOB = "write at least one character, and no control characters"
DURATION = "write one number and its unit, such as 30s, 15m, 4h or 2d"


def rules_of(text: str, runner_uid: int = 0) -> list[Any]:
    found = policy_from(text.encode(), "gate.yaml", runner_uid=runner_uid, host=FakeHost())
    rules: list[Any] = found["rules"]
    return rules


def test_a_rule_with_everything_comes_to_plain_values() -> None:
    production, staging = rules_of(FULL)
    assert production == {
        "name": "production",
        "match": {
            "project": ["shop/*"],
            "ref": ["main", "release/*"],
            "protected": True,
            "job": ["deploy*"],
            "stage": ["deploy"],
            "environment": ["production"],
            "instance": ["gitlab.example.com"],
            "runner": [12],
        },
        "approvals": [
            {"count": 1, "of": ["release-managers"], "people": ["alice", "bob"]},
            {"count": 1, "of": ["security", "alice"], "people": ["carol", "alice"]},
        ],
        "rejections": 2,
        "decide_within_s": 14_400,
        "early": False,
        "reserve_s": None,
        "self_approval": False,
        "comment": {"approve": "optional", "reject": "required"},
        "run_as": {"run_as": "deployer", "uid": 996, "gid": 996, "home": "/home/deployer"},
        "named_home": None,
        "deny": ["code", "DEPLOY_*"],
        "limits": {},
        "after_rejection_s": 0,
        "remind_every_s": 2_700,
        "supersede": True,
    }
    assert staging["match"] == {"runner": [12, 13]}
    assert staging["comment"] == {"approve": "optional", "reject": "optional"}
    assert (staging["rejections"], staging["run_as"], staging["after_rejection_s"]) == (1, None, 300)


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ("{project: no}", "12:22: 'no' means false to YAML, and text or a list is wanted here: put it in quotes"),
        ("{ref: 1.10}", "12:18: '1.10' means a number to YAML, and text or a list is wanted here: put it in quotes"),
        ("{ref: [a, 1.10]}", "12:22: '1.10' means a number to YAML, and text is wanted here: put it in quotes"),
        ("{ref: *main}", "12:18: the alias '*main' is not used here: write the value out, or put it in quotes"),
        ("{ref: **}", "12:19: not YAML: expected alphabetic or numeric character, but found '*': put a text that begins with * or & in quotes"),
        ("{ref: ''}", f"12:18: '' does not fit: {GLOB}"),
        ("{ref: [a, '']}", f"12:22: '' does not fit: {GLOB}"),
        ("{job: []}", "12:18: 'job' is empty: write text or a list"),
        ("{job: }", "12:17: 'job' has no value: write text or a list, or remove the key"),
        ("{job: {a: b}}", "12:18: 'job' must be text or a list, and is keys with values: write text or a list"),
        ("{job: [[a]]}", "12:19: an entry of 'job' must be text, and is a list: write text"),
        ('{stage: "a\\nb"}', f"12:20: 'a\\nb' does not fit: {GLOB}"),
        ('{instance: "a\\x7f"}', f"12:23: 'a\\x7f' does not fit: {GLOB}"),
        ('{environment: ["\\x85"]}', f"12:27: '\\x85' does not fit: {GLOB}"),
        ('{project: "\\ud800"}', f"12:22: '\\ud800' does not fit: {GLOB}"),
        ("{protected: 'yes'}", "12:24: 'protected' must be true or false, and is the text 'yes': write for instance protected: true"),
        ("{protected: [true]}", "12:24: 'protected' must be true or false, and is a list: write for instance protected: true"),
        ("{runner: '12'}", "12:21: 'runner' must be a whole number or a list, and is the text '12': write for instance runner: 12"),
        ("{runner: true}", "12:21: 'runner' must be a whole number or a list, and is 'true': write for instance runner: 12"),
        ("{runner: 1.5}", "12:21: 'runner' must be a whole number or a list, and is '1.5': write for instance runner: 12"),
        ("{runner: 0}", "12:21: 'runner' cannot be 0: write a whole number from 1 to 9223372036854775807"),
        ("{runner: [12, -1]}", "12:26: an entry of 'runner' cannot be -1: write a whole number from 1 to 9223372036854775807"),
        ("{runner: [12, true]}", "12:26: an entry of 'runner' must be a whole number, and is 'true': write a whole number"),
        ("{runner: []}", "12:21: 'runner' is empty: write for instance runner: 12"),
        ("[]", "12:12: 'match' must be keys with values, and is a list: write for instance match: {project: shop/*, environment: production, protected: true}"),
    ],
)  # fmt: skip
def test_a_faulty_criterion_is_told_and_the_rule_not_taken_for_wider(match: str, expected: str) -> None:
    text = changed("match: {}", f"match: {match}").replace("backend:", RULE.replace("{}", "{ref: x}") + "backend:")
    assert faults_of(text) == [expected]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("rejections: 0", "15:17: 'rejections' cannot be 0: write a whole number from 1 to 1000"),
        ("rejections: 3", "15:17: 3 rejections are asked for, of 2 at most: lower it, or add people"),
        ("rejections: one", "15:17: 'rejections' must be a whole number, and is the text 'one': write for instance rejections: 2"),
        ("comment: required", "15:14: 'comment' must be keys with values, and is the text 'required': write for instance comment: {approve: optional, reject: required}"),
        ("comment: {approve: yes}", "15:24: 'approve' cannot be 'yes': write optional or required"),
        ("comment: {abort: required}", "15:15: unknown key 'abort': remove it; the keys possible here are approve, reject"),
        ("after_rejection: 5", f"15:22: '5' does not fit: {DURATION}"),
        ("after_rejection: 1h30m", f"15:22: '1h30m' does not fit: {DURATION}"),
        ("supersede: 'no'", "15:16: 'supersede' must be true or false, and is the text 'no': write for instance supersede: true"),
        ("run_as: 'a b'", "15:13: 'a b' does not fit: write the name as in the system's user and group database"),
    ],
)  # fmt: skip
def test_a_faulty_key_of_a_rule_is_told_in_words_at_its_place(line: str, expected: str) -> None:
    assert faults_of(changed("4h\n", f"4h\n    {line}\n")) == [expected]


@pytest.mark.parametrize(
    ("match", "other", "hidden"),
    [
        ("{}", "{}", True),
        ("{}", "{project: a}", True),
        ("{project: a}", "{project: a}", True),
        ("{project: a}", "{project: [a]}", True),
        ("{project: [A, b]}", "{project: [b, a]}", True),
        ("{ref: [A, b]}", "{ref: [b, a]}", False),
        ("{project: [a, b]}", "{project: b}", True),
        ("{project: a}", "{project: [a, b]}", False),
        ("{project: a}", "{project: a, protected: true}", True),
        ("{project: a, protected: true}", "{project: a}", False),
        ("{project: a, protected: true}", "{project: a, protected: false}", False),
        ("{runner: [1, 2]}", "{runner: 2, protected: false}", True),
        ("{environment: a}", "{stage: a}", False),
        ("{project: a}", "{}", False),
    ],
)
def test_a_rule_that_no_job_gets_to_is_a_fault_at_its_line(match: str, other: str, hidden: bool) -> None:
    rule = RULE.replace("{}", other)
    text = changed("match: {}", f"match: {match}").replace("backend:", rule + "backend:")
    assert (faults_of(text) if hidden else rules_of(text)[2:]) == ([f"15:5: {HIDDEN}"] if hidden else [])


def test_each_hidden_rule_is_told_with_the_first_that_hides_it() -> None:
    rules = RULE.replace("another", "b") + RULE.replace("another", "c")
    assert faults_of(changed("backend:", rules + "backend:")) == [f"15:5: {HIDDEN}", f"16:5: {HIDDEN}"]


def test_rules_of_one_name_are_a_fault() -> None:
    rule = RULE.replace("another", "production")
    text = changed("match: {}", "match: {ref: main}").replace("backend:", rule + "backend:")
    assert faults_of(text) == ["15:12: another rule is called 'production': rename one"]


BOB_TWICE = (
    "1 of bob and 2 of release-managers need 3 different people, and have 2 (alice, bob): lower a count, or add people"
)
ALICE_TWICE = "1 of alice and 1 of alice need 2 different people, and have 1 (alice): lower a count, or add people"


@pytest.mark.parametrize(
    ("approvals", "expected"),
    [
        ("[{count: 1, of: [alice]}, {count: 1, of: [alice]}]", f"13:16: {ALICE_TWICE}"),
        ("[{count: 1, of: [bob]}, {count: 1, of: [alice]}, {count: 1, of: [alice]}]", f"13:16: {ALICE_TWICE}"),
        (
            "[{count: 1, of: [bob]}, {count: 2, of: [release-managers]}]",
            f"13:16: {BOB_TWICE}",
        ),
        ("[{count: 1, of: [release-managers]}, {count: 1, of: [alice]}]", None),
        ("[{count: 1, of: [alice]}, {count: 1, of: [release-managers]}]", None),
        (
            "[{count: 1, of: [bob]}, {count: 3, of: [release-managers]}]",
            "13:48: 3 approvals are asked for, of 2 at most: lower the count, or add people",
        ),
        (
            "[{count: 1, of: [alice]}, {count: 1, of: [alise]}]",
            "13:58: no person or group 'alise': did you mean 'alice'?",
        ),
        ("[{count: 1, of: [alice]}, {count: 0, of: [alice]}]", "13:50: 'count' cannot be 0: write a whole number from 1 to 1000"),
    ],
)  # fmt: skip
def test_approvals_that_different_people_cannot_give_are_told(approvals: str, expected: str | None) -> None:
    text = changed("[{count: 1, of: [release-managers]}]", approvals)
    assert (faults_of(text) if expected else rules_of(text)[1:]) == ([expected] if expected else [])


def can_be_filled(entries: list[Entry]) -> bool:
    """Every way to seat different people, tried."""
    places = [entry.people for entry in entries for _ in range(entry.wanted)]
    return any(len(set(seated)) == len(places) for seated in itertools.product(*places))


@given(
    st.lists(
        st.builds(Entry, st.integers(1, 3), st.sets(st.sampled_from("abcde")).map(sorted)),
        max_size=4,
    ).filter(lambda entries: sum(entry.wanted for entry in entries) <= 6)
)
def test_a_shortage_is_found_where_no_seating_fits_and_it_is_one(entries: list[Entry]) -> None:
    short = shortage(entries)
    assert (short is None) == can_be_filled(entries)
    if short:
        assert sum(entries[number].wanted for number in short.entries) > len(short.people)
        assert set(short.people) == {name for number in short.entries for name in entries[number].people}


def test_many_people_are_seated_without_recursion() -> None:
    chain = [Entry(1, [f"p{n}", f"p{n + 1}"]) for n in range(3_000)]
    assert shortage([*reversed(chain), Entry(1, ["p0"])]) is None
    assert shortage([*chain, Entry(1, ["p0"]), Entry(1, ["p3000"])]) is not None


@pytest.mark.parametrize(
    ("run_as", "runner_uid", "expected"),
    [
        ("gitlab-job", 0, []),
        ("root", 0, ["the gate itself runs as 'root', so a job could approve itself: name another user"]),
        ("carol", 0, ["'carol' is the person 'carol' too, so a job could approve as carol: name another user"]),
    ],
)
def test_a_rule_s_run_as_is_judged_like_the_backend_s(run_as: str, runner_uid: int, expected: list[str]) -> None:
    text = FULL.replace("run_as: deployer", f"run_as: {run_as}")
    assert faults_in(text, runner_uid) == [f"28:13: {message}" for message in expected]


def test_a_rule_s_user_that_has_gone_stops_only_that_rule_s_jobs() -> None:
    text = FULL.replace("run_as: deployer", "run_as: ghost")
    policy = policy_from(text.encode(), "gate.yaml", runner_uid=0, host=FakeHost())
    message = "gate.yaml:28:13: no Unix user 'ghost' on this host: create it, or name another"
    assert policy["asides"] == [
        {"of": "rules", "message": message, "fix": "useradd --system --shell /usr/sbin/nologin ghost"}
    ]
    gone, other = [backend_of(policy, rule) for rule in policy["rules"]]
    assert (gone["run_as"], gone["uid"], other["uid"]) == ("ghost", None, 998)
    assert "run_as 'ghost' is not a user of this host" in str(backend.check(gone))


def test_the_backend_s_user_that_has_gone_stops_the_gate() -> None:
    text = FULL.replace("run_as: gitlab-job", "run_as: ghost").replace("    run_as: deployer\n", "")
    assert [fault.partition(": ")[2] for fault in faults_in(text, 0)] == [
        "no Unix user 'ghost' on this host: create it, or name another"
    ]


@pytest.mark.parametrize(
    ("run_as", "runner_uid", "expected"),
    [
        ("carol", 0, []),
        ("root", 0, []),
        ("root", 997, ["jobs cannot run as 'root', which is root: name another user"]),
        ("gitlab-runner", 997, []),
    ],
)
def test_allow_same_user_holds_for_a_rule_s_run_as_too(run_as: str, runner_uid: int, expected: list[str]) -> None:
    text = FULL.replace("run_as: deployer", f"run_as: {run_as}").replace("run_as: gitlab-job", "allow_same_user: true")
    assert faults_in(text, runner_uid) == [f"28:13: {message}" for message in expected]


def test_a_rule_s_run_as_is_not_an_approver() -> None:
    host = FakeHost(approvers=("alice", "bob", "deployer"))
    text = FULL.replace("people:", "approvers_group: gate-approvers\npeople:", 1)
    with pytest.raises(ConfigError, match="29:13: 'deployer' is in the approvers' group 'gate-approvers'"):
        policy_from(text.encode(), "gate.yaml", runner_uid=0, host=host)


def test_a_faulty_backend_does_not_make_a_rule_s_run_as_one() -> None:
    text = FULL.replace("{type: shell, run_as: gitlab-job}", "shell").replace("run_as: deployer", "run_as: carol")
    assert [fault[:6] for fault in faults_of(text)] == ["37:10:"]


def faults_in(text: str, runner_uid: int) -> list[str]:
    try:
        rules_of(text, runner_uid)
    except ConfigError as error:
        return [str(fault).removeprefix("gate.yaml:") for fault in error.faults]
    return []


def test_the_small_file_has_one_rule() -> None:
    assert len(rules_of(GOOD)) == 1
