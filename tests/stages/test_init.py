"""`gate init`, as an operator runs it: as root on a host of its own, with users that it makes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING

import pytest

from tests.support.host_namespace import ENVIRONMENT, GATE, PrivateHost
from tests.support.set_up import CONFIG, ETC, PLACES, STATE, TOLD, TREE, accounts, done, everything, refused, rehearsed

if TYPE_CHECKING:
    from collections.abc import Iterator

STEPS = 4  # commands that `gate init` runs on a host where nothing of it is there


@pytest.fixture
def host() -> Iterator[PrivateHost]:
    with PrivateHost() as made:
        yield made


def test_a_host_is_set_up(host: PrivateHost) -> None:
    said = done(host.gate(*TOLD))
    assert host.tree(*PLACES) == TREE
    assert "a.example+" in said
    checked = host.gate("check")
    assert (checked.returncode, checked.stderr) == (0, "")
    users = {line.split(":")[0]: line.split(":")[4:] for line in host.text("/etc/passwd").splitlines()}
    assert users["gitlab-job"][1:] == ["/home/gitlab-job", "/usr/sbin/nologin"]
    assert users["gitlab-gate"][1:] == ["/nonexistent", "/usr/sbin/nologin"]
    assert re.search(r"^gate-approvers:x:\d+:gitlab-gate,alice,bob$", host.text("/etc/group"), re.MULTILINE)


def test_the_first_job_finds_all_as_it_makes_it(host: PrivateHost) -> None:
    """The printed block is a runner's: rehearsed with it, a job waits for alice, and runs as gitlab-job."""
    block = json.loads(done(host.gate(*TOLD, "--json")))["runner_block"]
    host.at("/etc/config.toml").write_text(block, encoding="utf-8")
    assert "Job succeeded" in rehearsed(host, "--runner-config", "/etc/config.toml")
    made = host.tree(*PLACES)
    assert {path: made[path] for path in TREE} == TREE
    assert "gitlab-job" in {owner for _kind, owner, _group, _mode in host.tree(f"{STATE}/cache").values()}
    assert done(host.gate("audit", "verify"))


def test_what_was_done_is_data(host: PrivateHost) -> None:
    told = json.loads(done(host.gate(*TOLD, "--json")))
    assert {each["state"] for each in told["resources"]} == {"made"}
    assert told["gate_yaml"] == host.text(CONFIG)
    assert told["verifier_key"] == done(host.gate("audit", "key")).strip()
    (runner,) = tomllib.loads(told["runner_block"])["runners"]
    program = runner["custom"]["run_exec"]
    assert (os.path.dirname(program), os.access(program, os.X_OK)) == (os.path.dirname(sys.executable), True)
    assert runner["custom"]["run_args"] == ["--config", CONFIG, "run"]


def test_without_a_page_there_is_none(host: PrivateHost) -> None:
    done(host.gate(*TOLD, "--no-page"))
    assert host.tree(*PLACES) == {path: place for path, place in TREE.items() if not path.endswith("/page")}
    assert "gitlab-gate" not in accounts(host)
    assert json.loads(done(host.gate("config", "show", "--json"))).get("page") is None


def test_a_dry_run_changes_nothing(host: PrivateHost) -> None:
    before = everything(host)
    for words in ([], ["--json"]):
        done(host.gate(*TOLD, "--dry-run", *words))
        assert done(host.gate(*TOLD, "--dry-run", *words, user="alice"))
    assert everything(host) == before


@pytest.mark.parametrize("by", [None, "alice"])
def test_what_a_dry_run_prints_does_the_same(host: PrivateHost, by: str | None) -> None:
    script = done(host.gate(*TOLD, "--dry-run", user=by))
    key = done(host.run(["sh", "-e"], input=script))
    assert key.splitlines()[-1].startswith("a.example+")
    with PrivateHost() as other:
        done(other.gate(*TOLD))
        assert host.tree(*PLACES) == other.tree(*PLACES) == TREE
        assert accounts(host) == accounts(other)
        assert host.text(CONFIG) == other.text(CONFIG)
    before = everything(host)
    last = script[script.index("(set -C") :]
    assert host.run(["sh", "-e"], input=last).returncode != 0
    assert everything(host) == before


@pytest.mark.parametrize("kind", ["file", "empty", "link", "directory"])
def test_a_gate_yaml_that_is_there_stays(host: PrivateHost, kind: str) -> None:
    path = host.at(CONFIG)
    path.parent.mkdir()
    plant = {"file": "echo mine > {}", "empty": "touch {}", "directory": "mkdir {}", "link": "ln -s /nowhere {}"}[kind]
    done(host.run(["sh", "-ec", plant.format(CONFIG)]))
    before = everything(host)
    assert "is there already" in refused(host.gate(*TOLD))
    assert everything(host) == before
    assert kind != "file" or path.read_text() == "mine\n"


def test_a_gate_yaml_that_comes_meanwhile_stays(host: PrivateHost) -> None:
    stop_at(host, STEPS - 1, WRITES)
    ran = host.gate(*TOLD)
    assert (ran.returncode, "is there by now" in ran.stderr) == (1, True)
    assert host.text(CONFIG) == "mine\n"


def test_a_key_that_others_could_have_read_is_not_used(host: PrivateHost) -> None:
    done(host.run(["sh", "-ec", f"install -d {STATE}; install -m 0644 /dev/null {STATE}/audit.key"]))
    before = everything(host)
    assert "audit.key must be a regular file of uid 0, mode 0600" in refused(host.gate(*TOLD))
    assert everything(host) == before


def test_a_second_gate_finds_users_and_groups_there(host: PrivateHost) -> None:
    done(host.gate(*TOLD))
    before = accounts(host)
    second = ("--config", f"{ETC}/second.yaml", *TOLD, "--state-dir", "/var/lib/second", "--json")
    told = json.loads(done(host.gate(*second)))
    there = [each["name"].split()[0] for each in told["resources"] if each["state"] == "there"]
    assert sorted(there) == ["alice", "bob", "directory", "gitlab-gate", "group", "user", "user"]
    assert accounts(host) == before
    done(host.gate("--config", f"{ETC}/second.yaml", "check"))


def test_all_of_a_gate_but_its_gate_yaml_is_used_on(host: PrivateHost) -> None:
    done(host.gate(*TOLD))
    host.at(CONFIG).unlink()
    key = host.at(f"{STATE}/audit.key").read_bytes()
    told = json.loads(done(host.gate(*TOLD, "--json")))
    assert {each["state"] for each in told["resources"]} == {"there"}
    assert (host.tree(*PLACES), host.at(f"{STATE}/audit.key").read_bytes()) == (TREE, key)


_STOP = """#!/bin/sh
n=$(cat {counter}); echo $((n + 1)) > {counter}
if [ "$n" != {at} ]; then exec /usr/bin/{name} "$@"; fi
{act}
"""
ACTS = {
    "fails": "echo 'no way' >&2; exit 9",
    "killed before": "kill -9 $PPID; exit 0",
    "killed half way": 'head -n 3 | /usr/bin/{name} "$@"; kill -9 $PPID',
    "killed after": '/usr/bin/{name} "$@"; kill -9 $PPID',
    "does nothing": "exit 0",
}
WRITES = f'/usr/bin/{{name}} "$@"; echo mine > {CONFIG}'


def stop_at(host: PrivateHost, step: int, act: str) -> None:
    """The `step`-th command that is run there, counted from 0, does `act`."""
    counter = host.at("/var/lib/counter")
    counter.write_text("0\n", encoding="utf-8")
    for name in ("systemd-sysusers", "gpasswd", "systemd-tmpfiles"):
        text = _STOP.format(counter="/var/lib/counter", at=step, act=act.format(name=name), name=name)
        host.at(f"/usr/local/sbin/{name}").write_text(text, encoding="utf-8")
        host.at(f"/usr/local/sbin/{name}").chmod(0o755)


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("step", range(STEPS))
def test_what_is_left_half_way_is_gone_on_from(host: PrivateHost, step: int, act: str) -> None:
    stop_at(host, step, ACTS[act])
    ran = host.gate(*TOLD)
    if act.startswith("killed"):
        assert ran.returncode == -9
    else:
        assert ran.returncode == 1
        assert re.match("gate: cannot make .*; what was made before stays, so run `gate init` again", ran.stderr)
        assert "no way" in ran.stderr or act != "fails"
    assert not host.at(CONFIG).exists()
    for wrapper in host.at("/usr/local/sbin").iterdir():
        wrapper.unlink()
    done(host.gate(*TOLD))
    assert host.tree(*PLACES) == TREE
    assert host.gate("check").returncode == 0


def test_there_are_as_many_steps_as_are_stopped_at(host: PrivateHost) -> None:
    stop_at(host, STEPS, ACTS["fails"])
    done(host.gate(*TOLD))
    assert host.text("/var/lib/counter") == f"{STEPS}\n"


WRONG = {
    "mode of state": f"install -d -m 0777 {STATE}",
    "mode of the log": f"install -d -m 0755 {STATE}; groupadd -r gate-approvers; install -d -g gate-approvers -m 2770 {STATE}/audit",
    "set-group-ID": f"install -d -m 2755 {STATE}",
    "owner of state": f"install -d -o alice -m 0755 {STATE}",
    "owner of a drop directory": f"install -d {STATE}/drop; install -d -o bob -m 0700 {STATE}/drop/alice",
    "group of jobs": f"groupadd -r gate-approvers; install -d {STATE}; install -d -m 2750 {STATE}/jobs",
    "a file": f"install -d {STATE}; touch {STATE}/work",
    "a link": f"install -d {STATE} /var/lib/elsewhere; ln -s /var/lib/elsewhere {STATE}/drop",
    "a link to nowhere": f"install -d {STATE}; ln -s nowhere {STATE}/cache",
    "a parent of gate.yaml": f"install -d -g users -m 0775 {ETC}",
    "a home of another's": "install -d -o alice /home/gitlab-job; useradd -r -d /home/gitlab-job gitlab-job",
}


@pytest.mark.parametrize("plant", WRONG.values(), ids=WRONG)
def test_what_is_there_and_wrong_is_told_with_the_command_that_mends_it(host: PrivateHost, plant: str) -> None:
    done(host.run(["sh", "-ec", plant]))
    before = everything(host)
    said = refused(host.gate(*TOLD))
    assert everything(host) == before
    for line in said.splitlines():
        done(host.run(["sh", "-ec", line.rpartition(": ")[2]]))
    done(host.gate(*TOLD))
    made = host.tree(*PLACES)
    operators = {ETC, "/home/gitlab-job"}  # their groups and modes are not ours to say
    assert {path: place for path, place in made.items() if path not in operators and not path.endswith(".old")} == {
        path: place for path, place in TREE.items() if path not in operators
    }
    assert {made[path][1] for path in operators} == {"root", "gitlab-job"}


def test_of_a_directory_of_the_host_s_own_no_command_is_told(host: PrivateHost) -> None:
    done(host.run(["chmod", "g+w", "/var/lib"]))
    said = refused(host.gate(*TOLD))
    assert (
        "/var/lib can be written by others than its owner (mode 0775): chmod go-w it, if that is right there, or "
        in said
    )
    assert "chmod go-w /var/lib" not in said


def test_directories_of_users_that_are_gone_are_told_once_the_users_are_made_anew(host: PrivateHost) -> None:
    done(host.run(["sh", "-ec", f"install -d {STATE}; install -d -o 4321 -m 0700 {STATE}/page"]))
    ran = host.gate(*TOLD)
    assert (ran.returncode, "Traceback" in ran.stderr) == (1, False)
    done(host.run(["sh", "-ec", re.search(r"(chown \S+ \S+)", ran.stderr)[1]]))  # type: ignore[index]
    done(host.gate(*TOLD))
    assert host.tree(*PLACES) == TREE


def test_a_name_that_is_none_of_a_person_s_is_made_one(host: PrivateHost) -> None:
    done(host.run(["useradd", "--badname", "no"]))
    done(host.run(["sh", "-ec", "echo '4.Dora@Example:x:4444:4444::/:/bin/sh' >> /etc/passwd"]))
    done(host.gate("init", "--approvers", "no,4.Dora@Example=9", "--site", "null"))
    shown = json.loads(done(host.gate("config", "show", "--json")))
    assert shown["people"] == {"no": {"unix": "no"}, "_4_dora_example": {"unix": "4.Dora@Example", "gitlab": [9]}}
    assert host.tree(f"{STATE}/drop/_4_dora_example").popitem()[1][1] == "4.Dora@Example"
    assert host.gate("check").returncode == 0


def test_without_sudo_it_says_so(host: PrivateHost) -> None:
    assert "sudo gate init" in refused(host.gate(*TOLD, user="alice"))


def test_somebody_who_is_not_root_tries_it_out(host: PrivateHost) -> None:
    home = "/home/alice/gate"
    own = ("--config", f"{home}/gate.yaml")
    done(host.gate(*own, "init", "--site", "try", "--approvers", "alice,bob", "--allow-same-user", user="alice"))
    made = host.tree(home)
    assert {owner for _kind, owner, _group, _mode in made.values()} == {"alice"}
    assert {path.removeprefix(f"{home}/state/") for path in made if "/state/" in path} == {
        "archive", "archive/removing", "audit", "audit.key", "cache", "compiled", "drop", "drop/alice", "jobs", "page", "turned-away", "work"}  # fmt: skip
    shown = json.loads(done(host.gate(*own, "config", "show", "--json", user="alice")))
    assert (shown["backend"]["allow_same_user"], shown["page"]["user"]) == (True, "alice")
    assert "approvers_group" not in shown
    assert "gate-approvers" not in accounts(host)
    assert "Job succeeded" in rehearsed(host, config=f"{home}/gate.yaml", user="alice")


def test_a_group_that_is_called_like_the_job_user_becomes_theirs(host: PrivateHost) -> None:
    done(host.run(["groupadd", "--system", "gitlab-job"]))
    done(host.gate(*TOLD))
    assert host.tree(*PLACES) == TREE


def test_one_approver_alone_is_told_of(host: PrivateHost) -> None:
    ran = host.gate("init", "--approvers", "alice=4711")
    assert (ran.returncode, ran.stderr.count("warn ")) == (0, 1)
    assert "alice: no one else can approve" in ran.stderr


def test_what_only_root_can_make_is_told_as_commands(host: PrivateHost) -> None:
    words = (
        "--config",
        "/var/lib/mine/gate.yaml",
        "init",
        "--site",
        "try",
        "--approvers",
        "alice",
        "--allow-same-user",
    )
    said = refused(host.gate(*words, user="alice"))
    done(host.run(["sh", "-ec", said.rpartition("as root: ")[2]]))
    done(host.gate(*words, user="alice"))
    assert host.tree("/var/lib/mine/gate.yaml").popitem()[1] == ("-", "alice", "alice", "0644")


def test_same_user_is_for_who_says_so(host: PrivateHost) -> None:
    done(host.gate("init", "--approvers", "alice", "--allow-same-user"))
    shown = json.loads(done(host.gate("config", "show", "--json")))
    asked = {"type": "shell", "isolate": "pid_namespace", "allow_same_user": True}
    assert {key: shown["backend"][key] for key in asked} == asked
    assert "run_as" not in shown["backend"]
    assert "gitlab-job" not in accounts(host)


def test_of_two_at_once_one_is_held_off(host: PrivateHost) -> None:
    wait = "for _ in $(seq 2500); do [ -e /var/lib/go ] || sleep 0.02; done"
    stop_at(host, 3, f'touch /var/lib/at-work; {wait}; exec /usr/bin/{{name}} "$@"')
    words = host.command([sys.executable, "-I", "-c", GATE, *TOLD])
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=ENVIRONMENT) as first:
        done(host.run(["sh", "-c", "while [ ! -e /var/lib/at-work ]; do sleep 0.02; done"]))
        assert "another `gate init` is at work here" in refused(host.gate(*TOLD, "--json"))
        host.at("/var/lib/go").touch()
        first.communicate(timeout=120)
    assert first.returncode == 0
    assert host.tree(*PLACES) == TREE


def test_a_job_user_that_is_there_keeps_the_home_that_they_have(host: PrivateHost) -> None:
    done(host.run(["useradd", "--system", "--create-home", "gitlab-job"]))
    before = host.tree("/home/gitlab-job")
    done(host.gate(*TOLD))
    assert host.tree("/home/gitlab-job") == before
