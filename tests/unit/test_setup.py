"""What `gate init` writes: whatever names it is given, a gate.yaml that passes its check, and a block that is TOML."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import yaml
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from config.accounts import SystemHost, User
from config.load import policy_from
from config.policy import seconds
from config.schema import schema
from config.template import written
from gate import DEFAULT_CONFIG
from gate.model.looser import looser
from gate.model.rules import deadline
from gate.setup import plan, preflight
from gate.setup import runner_block as block
from gate.setup.answers import APPROVERS_GROUP, PAGE_USER, AnswerError, Answers, Approver, approvers_of
from gate.setup.host import PlannedHost
from gate.setup.policy import DECIDE_WITHIN, text_of
from gate.setup.resources import SYSUSERS, TMPFILES, Directory, Group, Member
from tests.support.gate_state import rule_of
from tests.support.site import CHECKOUT
from tests.support.tools import need

if TYPE_CHECKING:
    from pathlib import Path

    from gate.setup.resources import Thing

ROOT = User("root", 0, 0, "/root")
UNIX_NAMES = st.from_regex(schema()["$defs"]["unix_name"]["pattern"], fullmatch=True)
IDS = st.none() | st.integers(1, 10**18 - 1)


@dataclass(frozen=True)
class AnyHost:
    """A host on which everybody named is a user, each another."""

    people: tuple[str, ...]

    def user(self, name: str) -> User | None:
        uid = 1000 + self.people.index(name) if name in self.people else None
        return ROOT if name == "root" else User(name, uid, uid, "/") if uid is not None else None

    def user_of_uid(self, uid: int) -> User | None:
        return ROOT if uid == 0 else None

    def gid(self, group: str) -> int | None:
        return self.people.index(group) + 1000 if group in self.people else None

    def gids_of(self, user: User) -> frozenset[int]:
        return frozenset({user.gid})


@given(
    site=st.from_regex(schema()["properties"]["site"]["pattern"], fullmatch=True),
    people=st.dictionaries(UNIX_NAMES, IDS, min_size=1, max_size=4),
    run_as=st.none() | UNIX_NAMES,
    state_dir=st.from_regex(schema()["properties"]["state_dir"]["pattern"], fullmatch=True),
    page=st.booleans(),
)
@example("1.10", {"no": None, "null": 1, "0x1F": None, "4711": 2}, "~", "/a b/#c: 'd\"\\", True)
@example("yes", {"approvers": None, "approvers-all": None, "signed": None}, "true", "/\u2028/\U0001f600", True)
def test_any_names_that_fit_make_a_gate_yaml_that_passes(
    site: str, people: dict[str, int | None], run_as: str | None, state_dir: str, page: bool
) -> None:
    told = ", ".join(name if number is None else f"{name}={number}" for name, number in people.items())
    try:
        approvers = approvers_of(told)
    except AnswerError:
        assume(False)  # two who would be one person, or a name with a = in it
    assume(run_as not in {*people, "root", PAGE_USER} and not {"root", PAGE_USER} & {*people})
    answers = Answers("/etc/gate.yaml", site, approvers, run_as, state_dir, page, ROOT)
    host = PlannedHost(
        users=(PAGE_USER, *([run_as] if run_as else [])),
        groups=(APPROVERS_GROUP,),
        members=((PAGE_USER, APPROVERS_GROUP),),
        host=AnyHost(tuple(people)),
    )
    policy = policy_from(text_of(answers).encode(), "gate.yaml", runner_uid=0, host=host)
    assert list(looser(policy)) == []
    assert {known["unix"]: known["gitlab_ids"] for known in policy["people"].values()} == {
        name: [] if number is None else [number] for name, number in people.items()
    }
    assert (policy["site"], policy["state_dir"]) == (site, state_dir.rstrip("/"))
    assert policy["backend"]["run_as"] == run_as
    assert (policy["page"] is not None) == page
    assert [rule["match"] for rule in policy["rules"]] == [{"protected": True}, {}]
    assert {person for rule in policy["rules"] for person in rule["approvals"][0]["people"]} == {*policy["people"]}


@pytest.mark.parametrize(
    ("unix", "person"),
    [("alice", "alice"), ("Alice.Smith", "alice_smith"), ("a@b", "a_b"), ("EX\\bob", "ex_bob"), ("9lives", "_9lives"),
     ("signed", "_signed"), ("\u00e9ric", "_ric"), ("x" * 64, "x" * 32)],
)  # fmt: skip
def test_a_person_s_name_is_the_nearest_that_fits(unix: str, person: str) -> None:
    assert Approver(unix).person == person


def test_approvers_are_a_list_as_people_write_one() -> None:
    assert approvers_of(" alice , bob=4711,") == (Approver("alice"), Approver("bob", 4711))
    with pytest.raises(AnswerError, match="'a_b' is there twice"):
        approvers_of("a.b,a_b")


def test_all_keys_that_are_not_set_are_there_to_be_uncommented() -> None:
    """As an operator does it: the # before each key is taken away, and what comes of it is the schema's own example."""
    text = written({"rules": [{"name": "a"}, {"name": "b"}]}, {"a": "the first", "b": "the second"})
    whole = yaml.safe_load("\n".join(line.replace("#", "", 1) if _is_key(line) else line for line in text.splitlines()))
    known = schema()["properties"]
    assert whole.keys() == known.keys()
    assert whole["rules"][0].keys() == known["rules"]["items"]["properties"].keys()
    assert whole["audit"] == known["audit"]["examples"][0]


def _is_key(line: str) -> bool:
    return line.lstrip().startswith("#") and not line.lstrip().startswith("# ")


def test_a_planned_host_is_the_host_and_what_is_to_be_made() -> None:
    host = PlannedHost(("new", "root"), ("crew",), (("new", "crew"), ("old", "crew")), AnyHost(("old",)))
    new, old = host.user("new"), host.user("old")
    assert new is not None
    assert old is not None
    assert host.user("root") == ROOT
    assert host.user("nobody-else") is None
    assert host.gid("crew") not in (None, host.gid("nothing"), new.gid)
    assert host.gids_of(new) == {new.gid, host.gid("crew")}
    assert host.gids_of(old) == {old.gid, host.gid("crew")}


def test_the_block_is_the_example_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/opt/gitlab-runner-gate/bin/python")
    example = (CHECKOUT / "runner-config.example.toml").read_text(encoding="utf-8")
    said = block.runner_block("/etc/gitlab-runner-gate/gate.yaml")
    assert said.startswith("[[runners]]\n")
    assert example.endswith(f"{said}\n")


@given(st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1))
def test_the_block_is_toml_for_any_path(name: str) -> None:
    (runner,) = tomllib.loads(block.runner_block(f"/{name}"))["runners"]
    assert {runner["custom"][f"{stage}_args"][1] for stage in ("config", "prepare", "run", "cleanup")} == {f"/{name}"}
    assert runner["custom"]["prepare_exec"] == block.program("gate-executor")


def test_packages_and_gate_init_make_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the lines that systemd-sysusers and systemd-tmpfiles read; what is people's own is no package's."""
    monkeypatch.setattr(os.path, "lexists", lambda path: path in {"/", "/etc", "/home", "/var", "/var/lib"})
    etc, state_dir = os.path.dirname(DEFAULT_CONFIG), "/var/lib/gitlab-runner-gate"
    answers = Answers(f"{etc}/gate.yaml", "a", (Approver("alice"),), "gitlab-job", state_dir, page=True, runner=ROOT)
    made = plan.resources(answers, AnyHost(("alice",)))
    of_packages = [each for each in made if "alice" not in each.name]
    for name, maker in (("sysusers", SYSUSERS), ("tmpfiles", TMPFILES)):
        text = (CHECKOUT / "packaging" / f"{name}.d" / "gitlab-runner-gate.conf").read_text(encoding="utf-8")
        lines = [line for line in text.splitlines() if not line.startswith("#")]
        assert lines == [each.line for each in of_packages if each.maker == maker]


@pytest.mark.parametrize(
    ("path", "said"),
    [("/srv/a-b_c.d", "/srv/a-b_c.d"), ("/srv/a b", '"/srv/a b"'), ("/srv/50%", "/srv/50%%"), ("/srv/%h d", '"/srv/%%h d"'),
     ('/srv/"', '"/srv/\\""'), ("/srv/\\n", '"/srv/\\\\n"'), ("/srv/'x", "\"/srv/'x\""), ("/srv/\u00fc", '"/srv/\u00fc"')],
)  # fmt: skip
def test_a_directory_s_line_has_its_path_and_nothing_of_it_means_more(path: str, said: str) -> None:
    assert Directory(path, "root", None, 0o700).line == f"d {said} 0700 root -"


@given(st.lists(st.from_regex(schema()["$defs"]["directory"]["pattern"], fullmatch=True), min_size=1, max_size=3))
@settings(max_examples=20, deadline=None)
def test_directories_of_any_name_are_made(names: list[str]) -> None:
    need("systemd-tmpfiles")
    me = pwd.getpwuid(os.geteuid()).pw_name
    with tempfile.TemporaryDirectory() as base:
        assume(all(len(part.encode()) < 200 for name in names for part in name.split("/")))
        wanted = [Directory(f"{base}/{index}{name}", me, None, 0o750) for index, name in enumerate(names)]
        lines = "".join(f"{each.line}\n" for each in wanted).encode()
        done = subprocess.run(TMPFILES, input=lines, check=False, capture_output=True)
        assert [each for each in wanted if not each.is_there(SystemHost())] == [], done.stderr


def test_a_program_that_is_not_there_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "TOOL_PATH", "/nonexistent")
    answers = Answers("/etc/gate.yaml", "a", (Approver("alice"),), None, "/srv/state", page=False, runner=ROOT)
    missing: tuple[Thing, ...] = (Group("crew"), Member("alice", "crew"), Directory("/srv/state", "root", None, 0o755))
    assert [each for each in preflight.making(answers, missing) if "is not installed" in each] == [
        "systemd-sysusers is not installed: install the package systemd or systemd-standalone-sysusers",
        "gpasswd is not installed: install the package passwd or shadow-utils",
        "systemd-tmpfiles is not installed: install the package systemd or systemd-standalone-tmpfiles",
    ]


@pytest.mark.parametrize(
    ("kind", "said"), [("ext4", ""), ("nfs4", "is on nfs4"), (None, "is on an unknown file system")]
)
def test_state_is_kept_off_network_file_systems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str | None, said: str
) -> None:
    monkeypatch.setattr(preflight, "file_system", lambda _path: kind)
    me = User("me", os.geteuid(), os.getegid(), "/")
    answers = Answers(f"{tmp_path}/gate.yaml", "a", (Approver("me"),), None, f"{tmp_path}/state", page=False, runner=me)
    assert said in "\n".join(preflight.places(answers))
    assert bool(said) == any("--state-dir" in each for each in preflight.places(answers))


def test_a_first_job_by_gitlab_s_defaults_has_all_the_time_that_its_rule_gives() -> None:
    hour_s, prepare_s = 3600, 86_400  # GitLab's default job timeout, and that of runner-config.example.toml
    rule = rule_of(decide_within_s=seconds(DECIDE_WITHIN), reserve_s=None)
    assert not deadline(rule, 0, prepare_s, hour_s).shortened
