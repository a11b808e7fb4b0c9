"""`gate check` as a command: its words, its exit codes, and hosts that are not whole, or not root's to look at."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gate.store import layout
from tests.support.installed_host import BIN, GATE_YAML, STATE, WholeHost
from tests.support.site import APPROVER, IS_ROOT, Site
from tests.support.tools import need, need_for

if TYPE_CHECKING:
    from collections.abc import Iterator

GATE = str(BIN / "gate")
NO_CAPABILITY = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin", "--"]


@pytest.fixture
def host() -> Iterator[WholeHost]:
    with WholeHost() as host:
        yield host


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as site:
        yield site


def test_text_has_a_line_for_each_finding_and_one_for_its_command(host: WholeHost) -> None:
    host.sh(f"chmod 0777 {STATE} && chmod 0600 {GATE_YAML}", check=True)
    done = host.run([GATE, "check", "--only", "state", "--only", "approvers", "--only", "rules"])
    lines = done.stdout.splitlines()
    assert done.returncode == 1
    assert done.stderr == ""
    assert lines == [
        "ok    rules: production: 1 of release-managers (alice, bob)",
        "ok    rules: branches: 1 of release-managers (alice, bob)",
        f"warn  approvers: {GATE_YAML} has mode 0600: people cannot get at it, so `gate approve` and drops do not work",
        f"      chgrp gate-approvers {GATE_YAML} && chmod 0640 {GATE_YAML}",
        f"fail  state: {STATE} is root 0777, and has to be root 0755",
        f"      chmod 00755 {STATE}",
        "1 fail, 1 warn, 2 ok",
    ]


def test_what_several_checks_find_of_one_path_is_one_entry(host: WholeHost) -> None:
    place = f"{STATE}/drop/alice"
    host.sh(f"chmod 0777 {place}", check=True)
    others = "gitlab-job and deployer, whom jobs run as,"
    found = [line for line in host.run([GATE, "check"]).stdout.splitlines() if place in line]
    assert found == [
        f"fail  drops, job-user: {place} is alice 0777, and has to be alice 0700; {others} can read and write {place}",
        f"      chmod 00700 {place}",
    ]
    host.sh(found[1], check=True)
    assert place not in host.run([GATE, "check"]).stdout


def test_a_rule_that_denies_no_variables_is_warned_of(host: WholeHost) -> None:
    host.sh(f"sed -i '0,/variables: .deny/{{/variables: .deny/d}}' {GATE_YAML}", check=True)
    (found,) = [
        each
        for each in json.loads(host.run([GATE, "check", "--only", "rules", "--json"]).stdout)["findings"]
        if each["state"] != "ok"
    ]
    assert found["state"] == "warn"
    assert found["message"].startswith(
        "rule 'production' has no `variables: {deny: …}`: who starts a pipeline may set BASH_ENV"
    )


def test_warnings_alone_are_no_failure(host: WholeHost) -> None:
    host.sh(f"chmod 0600 {GATE_YAML}", check=True)
    assert host.run([GATE, "check", "--only", "approvers"]).returncode == 0


def test_an_unknown_check_is_misuse(host: WholeHost) -> None:
    done = host.run([GATE, "check", "--only", "nonsense"])
    assert done.returncode == 2
    assert "'nonsense' is not one of 'gate-yaml', " in done.stderr


def test_nothing_is_changed(host: WholeHost) -> None:
    def everything() -> str:
        return host.sh(
            f"find {STATE} /etc/gitlab-runner* /opt -printf '%p %u %g %m %T@ %C@ %s\\n' | sort", check=True
        ).stdout

    before = everything()
    host.check()
    assert everything() == before


@pytest.mark.parametrize("user", ["alice", "nobody"])
def test_others_are_told_what_they_cannot_look_at(host: WholeHost, user: str) -> None:
    done = host.run(["runuser", "-u", user, "--", GATE, "check", "--json"])
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)["findings"]
    power = {
        each["check"] for each in found if each["message"] == "not looked at: only root and the gate's own user can"
    }
    assert power == {
        "requests",
        "drops",
        "disk",
        "audit-log",
        "append-only",
        "hard-links",
        "job-user",
        "job-host",
        "namespaces",
    }
    assert {each["state"] for each in found if each["check"] in power} == {"warn"}
    assert {each["fix"] for each in found if each["check"] in power} == {f"sudo gate --config {GATE_YAML} check"}
    (runner,) = [each for each in found if each["check"] == "runner-config"]
    assert (runner["state"], runner["message"]) == ("warn", "/etc/gitlab-runner/config.toml: permission denied")


def test_a_host_with_nothing_gets_plain_findings(host: WholeHost) -> None:
    host.sh("rm -r /etc/gitlab-runner* /var/lib/* /opt/* /etc/systemd/system/gitlab-runner*", check=True)
    done = host.run([GATE, "check"])
    assert (done.returncode, done.stderr) == (1, "")
    first = done.stdout.splitlines()[0]
    assert first.startswith(f"fail  gate-yaml: {GATE_YAML}: no such file or directory: write it")
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize(
    "content", ["", "a: b", "[1", "\x00", "version: 1\nstate_dir: 3\n", "state_dir: /nowhere/at/all\n", "- " * 9000]
)
def test_a_gate_yaml_that_is_none_is_told_in_lines(host: WholeHost, content: str) -> None:
    (host.base / "etc/gitlab-runner-gate/gate.yaml").write_text(content, encoding="utf-8")
    found = host.check()
    assert {each["state"] for each in found if each["check"] == "gate-yaml"} == {"fail"}
    assert any(each["check"] == "stages" and each["state"] == "ok" for each in found)


ODD = """[[runners]]
executor = "custom"
name = 3
limit = -1
shell = 1
environment = "GATE_X"
feature_flags = 1
experimental = 1
[runners.custom]
run_exec = "gate-executor"
run_args = [1]
prepare_exec_timeout = "x"
prepare_args = 3
"""


@pytest.mark.parametrize("content", ["", "runners = 1", "[runners]\nname = 1", "[[runners]]\n[runners.custom]\n", ODD])
def test_a_config_toml_that_is_odd_is_told_in_lines(host: WholeHost, content: str) -> None:
    (host.base / "etc/gitlab-runner/config.toml").write_text(content, encoding="utf-8")
    assert "fail" in {each["state"] for each in host.check() if each["check"] in ("runner-config", "runners")}


def test_a_config_toml_that_is_named_has_to_be_there(host: WholeHost) -> None:
    (found,) = host.check("--runner-config", "/nowhere", "--only", "runner-config")
    assert (found["state"], found["message"].partition(":")[0]) == ("fail", "/nowhere")


def test_a_disk_that_takes_nothing_is_told(host: WholeHost) -> None:
    host.mounts = [f"mount --bind {STATE} {STATE}", f"mount -o remount,bind,ro {STATE}"]
    (found,) = host.check("--only", "disk")
    assert (found["state"], found["message"].rpartition(": ")[2]) == ("fail", "read-only file system")


def test_a_disk_that_does_not_write_is_told(host: WholeHost) -> None:
    need("strace")
    words = [
        "strace",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=fsync",
        "-e",
        "inject=fsync:error=EIO",
        GATE,
        "check",
        "--json",
    ]
    found = json.loads(host.run([*words, "--only", "disk"]).stdout)["findings"]
    assert (found[0]["state"], found[0]["message"].rpartition(": ")[2]) == ("fail", "input/output error")


def test_a_disk_that_is_full_is_told(host: WholeHost) -> None:
    host.mounts = [f"mount -t tmpfs -o size=8m,mode=0755 tmpfs {STATE}"]
    (found,) = host.check("--only", "space")
    assert found["state"] == "fail"
    assert found["message"].startswith("8 MiB and ")


def test_a_host_that_makes_no_namespace_is_told(host: WholeHost) -> None:
    found = json.loads(host.run([*NO_CAPABILITY, GATE, "check", "--json", "--only", "namespaces"]).stdout)["findings"]
    assert found[0]["message"].startswith("no process-id namespace can be made here: ")
    assert found[0]["state"] == "fail"


@pytest.mark.parametrize(("mistake", "verb", "fix"), [
    (f"chown deployer {STATE}/secret", "read and write", f"chown root {STATE}/secret"),
    (f"chgrp deployer {STATE}/secret && chmod 0640 {STATE}/secret", "read", f"chmod g-r {STATE}/secret"),
    (f"chmod 0602 {STATE}/audit.key", "write", f"chmod o-w {STATE}/audit.key"),
    (f"setfacl -m u:deployer:w {STATE}/audit.key", "write", f"setfacl --remove-all {STATE}/audit.key"),
])  # fmt: skip
def test_what_lets_a_job_in_is_what_is_mended(host: WholeHost, mistake: str, verb: str, fix: str) -> None:
    need_for(mistake)
    host.sh(mistake, check=True)
    found = next(each for each in host.check("--only", "job-user") if "deployer, " in each["message"])
    assert f"deployer, whom jobs run as, can {verb} {STATE}/" in found["message"]
    assert found["fix"] == fix
    host.sh(fix, check=True)
    assert [each["state"] for each in host.check("--only", "job-user")] == ["ok"]


@pytest.mark.parametrize(("change", "state"), [
    ("chmod 0700 {0} {0}/votes && chgrp root {0} {0}/votes", "ok"),
    ("chmod 0777 {0}", "fail"),
    ("chown alice {0}/votes", "fail"),
])  # fmt: skip
def test_an_ended_request_may_be_of_an_earlier_gate_yaml(host: WholeHost, change: str, state: str) -> None:
    request = f"{STATE}/jobs/git.example-42-1001"
    host.sh(f"touch {request}/ended.json && {change.format(request)}", check=True)
    assert [each["state"] for each in host.check("--only", "requests")] == [state]


def test_a_group_that_cannot_read_yet_is_no_failure(host: WholeHost) -> None:
    """As after `approvers_group` was added: the next job mends it, too."""
    host.sh(f"chmod 0700 {STATE}/jobs && chgrp root {STATE}/jobs", check=True)
    (found,) = host.check("--only", "state")
    assert found["state"] == "warn"
    host.sh(found["fix"], check=True)
    assert host.check("--only", "state")[0]["state"] == "ok"


def test_a_drop_directory_of_another_device_is_told(host: WholeHost) -> None:
    host.mounts = [f"mount -t tmpfs -o uid=alice,gid=root,mode=0700 tmpfs {STATE}/drop/alice"]
    (found,) = host.check("--only", "drops")
    assert (found["state"], found["fix"]) == ("fail", f"umount {STATE}/drop/alice")


def test_nothing_is_found_while_a_job_waits_and_after_it_ran(host: WholeHost) -> None:
    with subprocess.Popen(
        host.command([GATE, "rehearse"]), cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as job:
        assert job.stdout is not None
        line = next(line for line in job.stdout if " approve   gate approve " in line)
        waiting = host.check()
        host.run(["runuser", "-u", "alice", "--", *shlex.split(line.partition("(")[0])[2:]], check=True)
        assert "Job succeeded" in job.stdout.read()
    assert "50 jobs may run or wait at once, and 1 wait now" in [each["message"] for each in waiting]
    for found in (waiting, host.check()):
        assert {each["check"] for each in found if each["state"] != "ok"} <= {"clock", "page"}


def test_a_log_that_has_not_begun_is_no_fault(host: WholeHost) -> None:
    """The first job's directory is there before its first record."""
    host.sh(f"rm {STATE}/audit/audit.1.jsonl", check=True)
    (found,) = host.check("--only", "audit-log")
    assert (found["state"], found["message"].rpartition("; ")[2]) == ("ok", "the first job begins the log")


LISTENS = """\
import os, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind("/run/docker.sock")
listener.listen()
os.chmod("/run/docker.sock", int(sys.argv[1], 8))
listener.set_inheritable(True)
os.execv(sys.argv[2], sys.argv[2:])
"""


@pytest.mark.parametrize(("mode", "code"), [("0666", 1), ("0660", 0)])
def test_a_job_that_gets_at_docker_is_told(host: WholeHost, mode: str, code: int) -> None:
    done = host.run([sys.executable, "-c", LISTENS, mode, GATE, "check", "--only", "job-user"])
    assert done.returncode == code
    message = "gitlab-job and deployer, whom jobs run as, can connect to /run/docker.sock, by which it is root: take that right away"
    assert (message in done.stdout) == bool(code)
    assert "chmod" not in done.stdout  # the socket is the engine's


@pytest.mark.parametrize(("mount", "words"), [("tmpfs -o mode=755", "lies on tmpfs, which is gone after a reboot"),
    ("tmpfs -o mode=755,noexec", "is mounted noexec")])  # fmt: skip
def test_a_disk_that_keeps_nothing_or_runs_nothing_is_told(host: WholeHost, mount: str, words: str) -> None:
    host.mounts.append(f"mount -t {mount} none {STATE}")
    (found,) = [each for each in host.check("--only", "disk") if words in each["message"]]
    assert found["state"] == "warn"
    assert "noexec" not in words or found["fix"].startswith(f"mount -o remount,exec {STATE}  #")


def test_a_clock_behind_the_log_is_told(host: WholeHost) -> None:
    log = host.base / "var/lib/gitlab-runner-gate/audit/audit.1.jsonl"
    log.write_text(log.read_text(encoding="ascii").replace('"time":"20', '"time":"21'), encoding="ascii")
    found = host.check("--only", "clock")
    assert (found[0]["state"], "behind the audit log" in found[0]["message"]) == ("fail", True)


def test_names_of_any_bytes_are_shown_harmlessly(host: WholeHost) -> None:
    odd = os.fsencode(host.base) + b"/var/lib/gitlab-runner-gate/jobs/\xff\x1b[31m\n"
    os.mkdir(odd, 0o777)
    done = host.run([GATE, "check", "--only", "requests"])
    assert done.returncode == 1
    assert r"\udcff\x1b[31m\n is root" in done.stdout
    assert host.check("--only", "requests")[0]["state"] == "fail"


def test_a_runner_of_another_gate_is_not_looked_at(host: WholeHost) -> None:
    example = host.base / "etc/gitlab-runner/config.toml"
    text = example.read_text(encoding="utf-8")
    other = (
        text[text.index("\n[[runners]]") :]
        .replace("-gate/gate.yaml", "-gate-lab/gate.yaml")
        .replace('"gate"', '"lab"')
        .replace("-of-this-host", "-of-the-lab")
    )
    example.write_text(text + other.replace("run_exec =", "gone ="), encoding="utf-8")
    found = host.check()
    assert [each["check"] for each in found if "runner 'gate'" in each["message"]] == [
        "runners",
        "stages",
        "prepare-timeout",
        "kill-timeouts",
    ]
    assert not [each for each in found if "'lab'" in each["message"]]


def test_a_gate_without_root_is_looked_at_by_its_own_user_and_by_root(host: WholeHost) -> None:
    """For trying out: all is bob's, and jobs run as bob, too."""
    yaml = "version: 1\nsite: x\nstate_dir: /home/bob/state\npeople: {bob: {unix: bob, gitlab: [4712]}}\nbackend: {type: shell, isolate: process_group, allow_same_user: true}\n"
    rules = "rules: [{name: all, match: {}, approvals: [{count: 1, of: [bob]}], decide_within: 1h}]\n"
    home = host.base / "home/bob"
    home.mkdir()
    (home / "gate.yaml").write_text(yaml + rules, encoding="utf-8")
    host.sh("install -d /home/bob/state && chown -R bob /home/bob", check=True)
    for who in ([], ["runuser", "-u", "bob", "--"]):
        done = host.run(
            [*who, GATE, "--config", "/home/bob/gate.yaml", "check", "--json", "--only", "state", "--only", "job-user"]
        )
        found = json.loads(done.stdout)["findings"]
        assert [(each["check"], each["state"]) for each in found] == [("state", "ok"), ("job-user", "warn")]
        assert "allow_same_user is on" in found[1]["message"]


def test_a_gate_of_these_tests_is_looked_at_by_whoever_runs_them(site: Site) -> None:
    """Also without root."""
    from config.load import load_policy

    layout.make(load_policy(str(site.yaml))[0])
    words = [GATE, "--config", str(site.yaml), "check", "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    told = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    states = {each["check"]: each["state"] for each in told["findings"]}
    assert states["state"] == states["requests"] == states["disk"] == states["namespaces"] == "ok"
    assert states["job-user"] == ("ok" if IS_ROOT else "warn")


def test_people_can_check_too(site: Site) -> None:
    done = site.gate(APPROVER, "check", "--json")
    assert done.returncode == 0
    assert Path(site.yaml).name in json.loads(done.stdout)["findings"][0]["message"]
