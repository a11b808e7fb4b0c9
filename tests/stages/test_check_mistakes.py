"""Mistakes that operators make, planted in turn on a host of its own: `gate check` names each, and its command mends it.

The command is run as it was printed, by sh. Afterwards all is as it was before: nothing else is found.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

import pytest

from executor.checks.all import CHECKS
from tests.support.installed_host import BIN, CONFIG_TOML, GATE_YAML, STATE, WholeHost, is_of_the_machine
from tests.support.tools import need, need_for

if TYPE_CHECKING:
    from collections.abc import Iterator

TOML = f"sed -i {{}} {CONFIG_TOML}"
UNIT = "/etc/systemd/system/gitlab-runner.service.d/gate.conf"
OPT = "/opt/gitlab-runner-gate"
GATE = str(BIN / "gate")


def toml(script: str) -> str:
    """A line of config.toml, changed by sed."""
    return f"sed -i '{script}' {CONFIG_TOML}"


def yaml(script: str) -> str:
    """A line of gate.yaml, changed by sed."""
    return f"sed -i '{script}' {GATE_YAML}"


# what the operator did, what is found, and words of it
MISTAKES = [
    # owners and modes
    (f"chown gitlab-job {GATE_YAML}", {"gate-yaml": "fail"}, "belongs to"),
    (f"chmod 0664 {GATE_YAML}", {"gate-yaml": "fail"}, "mode 0664"),
    (f"chmod 0600 {GATE_YAML}", {"approvers": "warn"}, "people cannot get at it"),
    ("chmod 0700 /etc/gitlab-runner-gate", {"approvers": "warn"}, "people cannot get at it"),
    ("chmod g+w /etc/gitlab-runner-gate", {"gate-yaml": "fail"}, "/etc/gitlab-runner-gate can be written by others"),
    ("chmod 0777 /etc/gitlab-runner", {"runner-config": "fail", "job-user": "fail"}, "/etc/gitlab-runner can be written by others"),
    (f"chmod 0644 {CONFIG_TOML} && chmod 0755 /etc/gitlab-runner", {"runner-config": "warn", "job-user": "fail"}, "the runner's token"),
    (f"chown alice {CONFIG_TOML}", {"runner-config": "fail"}, "belongs to"),
    (f"rm -r {STATE}", {"state": "warn"}, "is not there yet"),
    (f"chmod 0777 {STATE}", {"state": "fail", "job-user": "fail"}, "has to be root 0755"),
    (f"chmod 2755 {STATE}", {"state": "fail"}, "is root 2755, and has to be root 0755"),
    (f"chmod g+w {STATE}", {"state": "fail"}, "0775"),
    (f"chown alice {STATE}", {"state": "fail"}, "is alice 0755"),
    (f"chmod 0700 {STATE}", {"state": "warn"}, "0700"),
    (f"chmod 0644 {STATE}/secret", {"state": "fail", "job-user": "fail"}, "secret is root 0644"),
    (f"head -c 5 {STATE}/secret > /run/s && cat /run/s > {STATE}/secret", {"state": "fail"}, "does not hold 32 bytes"),
    (f"chmod 0640 {STATE}/audit.key", {"state": "fail"}, "audit.key is root 0640"),
    (f"chmod 2755 {STATE}/jobs", {"state": "fail", "job-user": "fail"}, "has to be root:gate-approvers 2750"),
    (f"chgrp root {STATE}/jobs", {"state": "fail"}, "has to be root:gate-approvers 2750"),
    (f"chown -R gitlab-gate {STATE}/audit", {"state": "fail"}, "audit.1.jsonl is gitlab-gate"),
    (f"chmod 0600 {STATE}/audit/audit.1.jsonl", {"state": "warn"}, "0600"),
    (f"chmod 0777 {STATE}/drop/signed", {"state": "fail", "job-user": "fail"}, "has to be root:gate-approvers 1770"),
    (f"chown root {STATE}/page", {"state": "fail"}, "has to be gitlab-gate 0700"),
    (f"install -d -m 0777 {STATE}/notes", {"state": "fail", "job-user": "fail"}, "notes can be written by others"),
    (f"chmod 0777 {STATE}/archive", {"state": "fail", "job-user": "fail"}, "has to be root 0700"),
    (f"setfacl -d -m u:gitlab-job:rwx {STATE}/jobs", {"state": "fail"}, "has a default ACL"),
    (f"chmod 0770 {STATE}/turned-away", {"state": "fail"}, "has to be root 0700"),
    (f"mv {STATE}/work {STATE}/w && touch {STATE}/work && rmdir {STATE}/w", {"state": "fail"}, "is no directory"),
    (f"chmod 0777 {STATE}/jobs/*", {"requests": "fail"}, "has to be root:gate-approvers 2750"),
    (f"chown alice {STATE}/jobs/*/votes", {"requests": "fail"}, "votes is alice"),
    (f"echo '{{' > {STATE}/jobs/git.example-42-1001/request.json", {"requests": "fail"}, "is not valid JSON"),
    (f"touch {STATE}/jobs/notes.txt", {"requests": "fail"}, "notes.txt is no directory"),
    (f"chmod 0770 {STATE}/drop/alice", {"drops": "fail"}, "has to be alice 0700"),
    (f"chown root {STATE}/drop/bob", {"drops": "fail"}, "has to be bob 0700"),
    (f"chown alice {OPT}/bin/gate-executor", {"programs": "fail"}, "belongs to"),
    (f"chmod g+w {OPT}/bin", {"programs": "fail"}, f"{OPT}/bin can be written by others"),
    ("chmod 0644 /etc/gitlab-runner-gate/notify", {"on-event": "fail"}, "is not a program"),
    ("chown bob /etc/gitlab-runner-gate/notify", {"on-event": "fail"}, "it runs as root"),
    # who is who
    ("usermod --append --groups gate-approvers gitlab-job", {"gate-yaml": "fail"}, "in the approvers' group"),
    ("gpasswd --delete gitlab-gate gate-approvers", {"gate-yaml": "fail"}, "not in the approvers' group"),
    ("gpasswd --delete bob gate-approvers", {"approvers": "warn"}, "bob is not in gate-approvers"),
    ("userdel deployer", {"gate-yaml": "fail"}, "no Unix user 'deployer'"),
    (yaml("s/run_as: gitlab-job/run_as: root/"), {"gate-yaml": "fail"}, "'root'"),
    (yaml("s/run_as: deployer/run_as: alice/"), {"gate-yaml": "fail"}, "is the person 'alice' too"),
    ("groupadd docker && usermod --append --groups docker gitlab-job", {"job-user": "fail"}, "as good as root"),
    (f"chmod 0750 {OPT} && setfacl -m u:gitlab-job:rw {STATE}/secret", {"state": "fail", "job-user": "fail"}, "secret"),
    (f"setfacl -m u:deployer:rx /etc/gitlab-runner && setfacl -m u:deployer:r {CONFIG_TOML}", {"runner-config": "warn", "job-user": "fail"}, "can read"),
    (f"groupadd ci && usermod -aG ci gitlab-job && chgrp ci {CONFIG_TOML} && chmod 0640 {CONFIG_TOML} && chmod 0711 /etc/gitlab-runner",
     {"runner-config": "warn", "job-user": "fail"}, "gitlab-job, whom jobs run as, can read"),
    ("usermod --shell /bin/bash gitlab-job", {"job-host": "warn"}, "can log in (/bin/bash)"),
    # the log
    (f"chattr +i {STATE}/audit/audit.1.jsonl", {"append-only": "fail"}, "is immutable"),
    (f"chattr +a {STATE}/audit/*", {"append-only": "fail"}, "audit.lock is append-only"),
    (f"chattr +a {STATE}/audit", {"append-only": "warn"}, "is not append-only, and others of the log are"),
    # config.toml
    (toml("/^ *config_exec /d"), {"stages": "fail"}, "config_exec is missing"),
    (toml("/^ *prepare_exec /d"), {"stages": "fail"}, "prepare_exec is missing"),
    (toml("/^ *run_exec /d; /^ *run_args/d"), {"stages": "fail"}, "run_exec is missing"),
    (toml("/^ *cleanup_/d"), {"stages": "fail"}, "cleanup_exec is missing"),
    (toml('s|run_exec = .*|run_exec = "gate-executor"|'), {"stages": "fail"}, "write its whole path"),
    (toml('s|run_exec = .*|run_exec = "/opt/gate/bin/gate-executor"|'), {"stages": "fail"}, "there is no /opt/gate"),
    (toml('s|run_exec = .*|run_exec = "/usr/bin/env"|'), {"stages": "fail"}, "and not gate-executor"),
    (f"sed -i '1s|.*|#!/opt/gone/bin/python|' {OPT}/bin/gate-executor", {"stages": "fail"}, "does not start"),
    (f"printf '#!/bin/sh\\nexit 0\\n' > {OPT}/bin/gate-executor", {"stages": "fail"}, "does not start as the gate's"),
    (f"sed -i 's/$/\\r/' {CONFIG_TOML} && sed -i '/^shutdown_timeout/d' {CONFIG_TOML}", {"kill-timeouts": "warn"}, "shutdown_timeout is 30 s"),
    (f"sed -i '1s/^/\\xEF\\xBB\\xBF/' {CONFIG_TOML}", {"runner-config": "fail"}, "a byte order mark"),
    (f"chmod 0644 {OPT}/bin/gate-executor", {"stages": "fail"}, "cannot be executed"),
    (toml('s|"config"\\]|"--rehearsal", "config"]|'), {"stages": "fail"}, "each job would be recorded as a rehearsal"),
    (toml('s|"cleanup"\\]|"run"]|'), {"stages": "fail"}, "and not the stage cleanup"),
    (toml("s|\\(run_args = .*\\)/etc/gitlab-runner-gate/|\\1|"), {"stages": "fail"}, "--config 'gate.yaml': write its whole path"),
    (toml("s|\\(run_args = .*\\)/gate.yaml|\\1/old.yaml|"), {"stages": "fail"}, "other stages go by"),
    (toml('s/"86400"/"1h"/'), {"prepare-timeout": "fail"}, "--prepare-timeout 1h"),
    (toml('s/, "--prepare-timeout", "86400"//'), {"prepare-timeout": "fail"}, "both must be the same"),
    (toml("/prepare_exec_timeout/d"), {"prepare-timeout": "fail"}, "prepare_exec_timeout 3600"),
    (toml('s/"86400"/"7200"/; s/= 86400/= 7200/'), {"prepare-timeout": "warn"}, "rule 'production' gives 14400 s"),
    (toml('/^ *shell/a\\  prepare_timeout = "30m"'), {"prepare-timeout": "fail"}, "ends each wait after 1800 s"),
    (toml("s/graceful_kill_timeout = 60/graceful_kill_timeout = 1/"), {"kill-timeouts": "fail"}, "a job that is cancelled needs"),
    (toml("s/graceful_kill_timeout = 60/graceful_kill_timeout = 90000/"), {"kill-timeouts": "warn"}, "longer than any rule"),
    (toml("/^shutdown_timeout/d"), {"kill-timeouts": "warn"}, "shutdown_timeout is 30 s"),
    (toml("s/cleanup_exec_timeout = 300/cleanup_exec_timeout = 1/"), {"kill-timeouts": "warn"}, "cleanup_exec_timeout is 1 s"),
    (toml("s/^concurrent = 50/concurrent = 1/"), {"places": "warn"}, "concurrent is 1"),
    (toml("s/^ *limit = 50.*/  limit = 2/"), {"places": "warn"}, "limit is 2"),
    (toml("s/^concurrent = 50/concurrent = 20/"), {"places": "warn"}, "cannot be reached"),
    (toml("/request_concurrency/d"), {"places": "warn"}, "request_concurrency is 1"),
    (toml('s/^concurrent = 50/concurrent = "50"/'), {"runner-config": "fail"}, "write a whole number"),
    (toml('s/shell = "bash"/shell = "pwsh"/'), {"runners": "fail"}, "for bash and sh"),
    (toml('/^ *shell/a\\  builds_dir = "/builds"'), {"runners": "warn"}, "builds_dir is not used"),
    # the runner's unit
    (f"rm {UNIT}", {"runner-unit": "warn"}, "is stopped with SIGTERM"),
    (f"sed -i s/mixed/control-group/ {UNIT}", {"runner-unit": "warn"}, "get the SIGQUIT, too"),
    (f"sed -i s/25h/90s/ {UNIT}", {"runner-unit": "warn"}, "is killed 90 s after"),
    (f"echo RestrictNamespaces=yes >> {UNIT}", {"runner-unit": "fail"}, "no process-id namespace"),
    (f"echo User=alice >> {UNIT}", {"runner-unit": "fail"}, "runs as alice, and the gate's files are root's"),
    (f"echo RestrictSUIDSGID=yes >> {UNIT} && echo ProtectSystem=strict >> {UNIT}", {"runner-unit": "fail"}, "cannot be written there"),
    (f"echo LimitNOFILE=256 >> {UNIT}", {"runner-unit": "warn"}, "LimitNOFILE is 256"),
]  # fmt: skip
# what is wrong with the host's own directories: no command is printed, since only people can tell what is right there
OF_THE_HOST = [
    ("chmod 0750 /var/lib", {"approvers": "warn"}, "let people pass it, if that is right for this host, or move"),
    (
        "chmod g+w /var/lib",
        {"state": "fail"},
        "/var/lib can be written by others than its owner (mode 0775): chmod go-w it if that is right",
    ),
    ("chown alice /var/lib", {"state": "fail"}, "or move what the gate has there elsewhere"),
    ("chmod g+w /opt", {"programs": "fail"}, "/opt can be written by others"),
    (
        f"mv /etc/gitlab-runner-gate/notify /home/ && chmod 0666 /home/notify && {yaml('s|/etc/gitlab-runner-gate/notify|/home/notify|')}",
        {"on-event": "fail", "job-user": "fail"},
        "deployer, whom jobs run as, can write /home/notify: take that right",
    ),
]
# what only a person can mend
BY_HAND = [
    (toml('s/token = ".*"/token = "glrt-REPLACE-ME"/'), {"runners": "fail"}, "token is still that of the example"),
    (toml("/^ *url = /d"), {"runners": "fail"}, "url is missing"),
    (toml(r"s/\(prepare_exec_timeout = .*\)/\1\r/; s/= 86400/= 7200/"), {"prepare-timeout": "fail"}, "both must be the same"),
    (f"mv {STATE} /var/lib/there && ln -s /var/lib/there {STATE}", {"state": "fail"}, "is a symbolic link to /var/lib/there: name that one"),
    ("install -d /var/lib/systemd/linger && touch /var/lib/systemd/linger/gitlab-job", {"job-user": "warn"}, "outlives its stage"),
    (toml('/^ *shell/a\\  environment = ["A=hush", "GATE_COMMENT=hush"]'), {"runners": "fail"}, "environment sets GATE_COMMENT"),
    (toml(r"/^\[\[runners/,$d"), {"runners": "fail"}, "no [[runners]]"),
    (toml("s/^concurrent.*/concurrent = /"), {"runner-config": "fail"}, "is not TOML"),
    (toml('s/name = "gate"/name = ["gate"]/'), {"runner-config": "fail"}, "name is ['gate']: write one text"),
    (toml("s/prepare_exec = .*/prepare_exec = 1/"), {"runner-config": "fail", "stages": "fail"}, "prepare_exec is 1"),
    (toml(r"/^ *shell/a\  experimental = {boot_verify = {enabled = true}}"), {"runners": "fail"}, "boot_verify is on"),
    (yaml(r"s/release-managers: \[alice, bob\]/release-managers: [alice, robert]/"), {"gate-yaml": "fail"}, "robert"),
    (yaml("s/, 4711//"), {"gate-yaml": "warn"}, "no numeric GitLab id"),
    (yaml("s/^  run_as: gitlab-job/  allow_same_user: true/"), {"job-user": "warn"}, "allow_same_user is on"),
    # other runners
    (f"printf '[[runners]]\nname = \"b\"\ntoken = \"glrt-of-this-host\"\nexecutor = \"docker\"\n' >> {CONFIG_TOML}",
     {"other-runners": "fail"}, "runner 'b' has the token of 'gate'"),
    (f"printf '[[runners]]\nname = \"b\"\nexecutor = \"shell\"\n' >> {CONFIG_TOML}", {"other-runners": "fail"}, "a job there runs as root"),
    (f"printf '[[runners]]\nexecutor = \"docker\"\n[runners.docker]\nvolumes = [\"/var/run/docker.sock:/d\"]\n' >> {CONFIG_TOML}",
     {"other-runners": "fail"}, "can start a container"),
    # rules
    (yaml('s|ref: main|ref: "/^main$/"|'), {"rules": "fail"}, 'write "main"; until then, jobs that it may be meant for are refused'),
    (yaml("s|ref: main|ref: refs/heads/main|"), {"rules": "fail"}, 'write "main"'),
    (yaml('s|project: "shop/.", ref|project: shop, ref|'), {"rules": "fail"}, 'write "shop/*" for all projects of that group'),
    (yaml(r's|ref: main|ref: "main\|master"|'), {"rules": "warn"}, "looks like a regular expression"),
    (yaml("0,/count: 1/s/count: 1/count: 2/; /run_as: deployer/d"), {"rules": "warn"},
     "rule 'branches' gets the jobs that miss rule 'production' by ref or protected alone, and asks for less"),
    (yaml("s/bob: {unix: bob,/bob: {/; 0,/count: 1/s/count: 1/count: 2/"), {"rules": "fail", "gate-yaml": "warn", "people": "warn"}, "and bob cannot answer in any way"),
    (yaml("s/bob: {unix: bob,/bob: {unix: robert,/; s/unix: alice, //"), {"rules": "fail", "gate-yaml": "warn", "people": "warn"}, "alice and bob cannot answer in any way"),
    (f"rm {GATE_YAML}", {"gate-yaml": "fail"}, "no such file"),
    ("rm /etc/gitlab-runner-gate/notify", {"on-event": "fail"}, "no such file"),
    (f"rm -r {STATE}/audit && touch {STATE}/jobs/git.example-42-1001/decision.json", {"audit-log": "fail"}, "look who took it away"),
    (f"sed -i 's/a record/a lie/' {STATE}/audit/audit.1.jsonl && cp {STATE}/audit/audit.1.jsonl {STATE}/audit/audit.3.jsonl",
     {"audit-log": "fail"}, "is not what was written"),
    (yaml(r"$aaudit: {copy_to: journald}"), {"audit-log": "warn"}, "nothing listens at /run/systemd/journal/socket"),
    (f"echo 'ExecStart=/usr/bin/gitlab-runner run --config /etc/gitlab-runner/b.toml' >> {UNIT}",
     {"runner-unit": "warn"}, "b.toml, and this looked at"),
    ("rm -r /etc/systemd/system/gitlab-runner.service*", {"runner-unit": "warn"}, "no gitlab-runner.service"),
    (toml("s|-gate/gate.yaml|-gate-lab/gate.yaml|"), {"stages": "warn"}, "goes by /etc/gitlab-runner-gate-lab/gate.yaml"),
    (f"rm {CONFIG_TOML}", {"runner-config": "warn"}, "config.toml: no such file or directory: name the runner's own"),
]  # fmt: skip


@pytest.fixture
def host() -> Iterator[WholeHost]:
    with WholeHost() as host:
        yield host


def faults(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is not ok, but for the page, which test_check_page.py has.

    A check that could not be made for want of another's is no fault of its own.
    """
    odd = [each for each in found if each["state"] != "ok" and each["check"] != "page" and not is_of_the_machine(each)]
    return [each for each in odd if not each["message"].startswith("not looked at: ")]


def worst(found: list[dict[str, Any]]) -> dict[str, str]:
    """The worst state of each check that has found something."""
    return {each["check"]: each["state"] for each in sorted(faults(found), key=lambda each: each["state"] == "fail")}


def test_nothing_is_found_on_a_host_that_is_set_up_as_told(host: WholeHost) -> None:
    found = host.check()
    assert faults(found) == []
    assert {each["check"] for each in found} == {check.name for check in CHECKS}


@pytest.mark.parametrize(("mistake", "expected", "words"), MISTAKES, ids=[mistake for mistake, _, _ in MISTAKES])
def test_a_mistake_is_named_and_the_printed_command_mends_it(
    host: WholeHost, mistake: str, expected: dict[str, str], words: str
) -> None:
    need_for(mistake)
    if CONFIG_TOML in mistake:
        need("patch")
    host.sh(mistake, check=True)
    found = host.check()
    assert worst(found) == expected
    assert any(words in each["message"] for each in found if each["check"] in expected)
    commands = list(dict.fromkeys(each["fix"] for each in faults(found)))
    assert strange(commands) == []
    for command in commands:
        host.sh(command, check=True)
    assert faults(host.check()) == []


CHANGES = re.compile(r"(?:chmod|chown|chgrp|setfacl|mv|mount) [^&;|#]*")
OWN = (STATE, "/etc/gitlab-runner", OPT, "/run/gitlab-runner-gate")  # /etc/gitlab-runner-gate, too


def strange(commands: list[str]) -> list[str]:
    """The paths that are not the gate's own, of those that commands change."""
    paths = [
        word
        for command in commands
        for part in CHANGES.findall(command)
        for word in shlex.split(part)
        if word[0] == "/"
    ]
    return [path for path in paths if not path.startswith(OWN)]


@pytest.mark.parametrize(("mistake", "expected", "words"), OF_THE_HOST, ids=[mistake for mistake, _, _ in OF_THE_HOST])
def test_no_command_is_printed_for_what_is_the_host_s(
    host: WholeHost, mistake: str, expected: dict[str, str], words: str
) -> None:
    host.sh(mistake, check=True)
    found = host.check()
    assert worst(found) == expected
    assert any(words in each["message"] for each in faults(found))
    assert [each["fix"] for each in faults(found) if each["fix"]] == []


@pytest.mark.parametrize(("mistake", "expected", "words"), BY_HAND, ids=[mistake for mistake, _, _ in BY_HAND])
def test_a_mistake_that_no_command_mends_is_named(
    host: WholeHost, mistake: str, expected: dict[str, str], words: str
) -> None:
    host.sh(mistake, check=True)
    found = host.check()
    assert worst(found) == expected
    assert any(words in each["message"] for each in faults(found))
    assert "hush" not in str(found)


def test_the_diff_makes_all_changes_and_shows_no_token(host: WholeHost) -> None:
    need("patch")
    host.sh(f"{toml('s/^concurrent = 50/concurrent = 5/; s/limit = 50 /limit = 2 /; /^ *config_args/d')}", check=True)
    done = host.run([GATE, "config", "runner", "--diff"], check=True)
    assert {"-concurrent = 5", "+concurrent = 50"} < {*done.stdout.splitlines()}
    assert "glrt-" not in done.stdout
    assert host.run([GATE, "config", "runner", "--diff"]).stdout == done.stdout  # nothing was changed by it
    host.sh(f"{GATE} config runner --diff | patch {CONFIG_TOML}", check=True)
    assert host.run([GATE, "config", "runner", "--diff"], check=True).stdout == ""
    assert "how many jobs may wait" in host.sh(f"cat {CONFIG_TOML}").stdout


@pytest.mark.parametrize(("mistake", "said"), [
    (f"rm {CONFIG_TOML}", "config.toml: no such file or directory; see `gate check`"), (toml("1s/^/[/"), "config.toml: not TOML: ")
])  # fmt: skip
def test_a_config_toml_of_which_there_is_no_diff_is_one_line(host: WholeHost, mistake: str, said: str) -> None:
    host.sh(mistake, check=True)
    done = host.run([GATE, "config", "runner", "--diff"])
    assert (done.returncode, done.stdout, done.stderr.count("\n"), said in done.stderr) == (1, "", 1, True)


def test_a_group_that_is_gone_is_mended_step_by_step(host: WholeHost) -> None:
    host.sh("groupdel gate-approvers && groupadd --system something-else", check=True)
    said = []
    while found := faults(host.check()):
        said.append(found[0]["message"])
        assert len(said) <= 3  # the group, who is in it, and what is for it
        for command in dict.fromkeys(each["fix"] for each in found):
            host.sh(command, check=True)
    assert "no Unix group 'gate-approvers'" in said[0]


def test_where_there_is_no_gate_yaml_init_is_shown(host: WholeHost) -> None:
    host.sh(f"rm {GATE_YAML}", check=True)
    (found,) = faults(host.check("--only", "gate-yaml"))
    assert found["fix"].endswith(f"--config {GATE_YAML} init")
