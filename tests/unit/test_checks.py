"""The checks of `gate check` by themselves: what is read of config.toml and of units, and the commands that mend."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shlex
import socket
import subprocess
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from config.accounts import SystemHost
from executor import runner_config
from executor.checks import edits, host, page, people, runner_unit
from executor.checks.all import CHECKS
from executor.checks.context import Context, GateYaml
from executor.checks.finding import Edit, fail, ok, warn
from executor.checks.runner import capacity, sandbox, service, timeouts
from executor.runner_config import Runner, RunnerConfig
from tests.support.parts import part
from tests.support.tools import need

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKOUT = Path(__file__).parents[2]
EXAMPLE = (CHECKOUT / "runner-config.example.toml").read_text(encoding="utf-8")
VALUES = st.one_of(
    st.integers(-(2**40), 2**40), st.booleans(), st.text(max_size=20), st.lists(st.text(max_size=8), max_size=3)
)
JOB_USER: Any = {"run_as": "gitlab-job", "uid": 1001, "gid": 1001, "home": "/home/gitlab-job"}
POLICY: Any = {"state_dir": "/var/lib/gitlab-runner-gate", "backend": JOB_USER,
               "rules": [{"name": "all", "decide_within_s": 3600, "run_as": None}]}  # fmt: skip


class FakeSystem:
    """A host that has these files, and a systemd that says this of the runner's unit."""

    def __init__(self, files: dict[str, str], live: str | None = None, said: str = "") -> None:
        self._files, self._live, self._said = files, live, said

    def text(self, path: str) -> str | None:
        return self._files.get(path)

    def output(self, *command: str) -> str | None:
        if command[0] == "systemd-analyze":
            return self._merged(command[1:])
        return self._live if command == ("systemctl", "cat", "gitlab-runner.service") else None

    def _merged(self, words: tuple[str, ...]) -> str:
        """What the real one says where these files are all that there is."""
        need("systemd-analyze")
        with tempfile.TemporaryDirectory() as root:
            for path, content in self._files.items():
                place = Path(root + path)
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(content, encoding="utf-8")
            command = ["systemd-analyze", f"--root={root}", *words]
            return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout

    def said(self, *_command: str) -> str:
        return self._said

    def clock_is_set(self) -> bool | None:
        return True

    def now_s(self) -> float:
        return 0.0


def config_of(text: str, path: str = "/etc/gitlab-runner/config.toml") -> RunnerConfig:
    return RunnerConfig(path, text=text, tables=tomllib.loads(text))


def context_of(text: str = EXAMPLE, **changes: Any) -> Context:
    policy = changes.pop("policy", POLICY)
    yaml = GateYaml("/etc/gitlab-runner-gate/gate.yaml", policy)
    return Context(yaml, config_of(text), 0, 0, host=SystemHost(), system=FakeSystem({}), **changes)


# the reference page


def test_the_reference_page_tells_of_exactly_the_checks_that_there_are() -> None:
    page = (CHECKOUT / "docs" / "reference" / "checks.md").read_text(encoding="utf-8")
    rows = re.findall(r"^- `([a-z-]+)`: (.*?)\n  - \*Why:\* .+?\n  - \*Fix:\* .", page, re.MULTILINE | re.DOTALL)
    assert [(name, " ".join(looks_at.split())) for name, looks_at in rows] == [(c.name, c.looks_at) for c in CHECKS]


def test_the_changelog_counts_them() -> None:
    assert f"`gate check`: {len(CHECKS)} named checks" in (CHECKOUT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_sysctl_that_is_packaged_is_the_one_that_is_told() -> None:
    name = Path(capacity.SYSCTL_FILE).name
    lines = (CHECKOUT / "packaging" / "sysctl.d" / name).read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not line.startswith("#")] == [
        f"{capacity.SYSCTL} = {capacity.INSTANCES}",
        f"{host.HARD_LINKS} = 1",
    ]


@pytest.mark.parametrize(("value", "linked", "message"), [
    ("1", False, ["no one can make hard links to the gate's files, and no one has"]),
    ("0", False, ["fs.protected_hardlinks is 0"]),
    ("1", True, ["has a second name: the log goes on"]),
    ("0", True, ["has a second name: the log goes on", "fs.protected_hardlinks is 0"]),
])  # fmt: skip
def test_hard_links_are_told_of(tmp_path: Path, value: str, linked: bool, message: list[str]) -> None:
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "audit.1.jsonl").write_text("")
    if linked:
        os.link(tmp_path / "audit" / "audit.1.jsonl", tmp_path / "second")
    context = context_of(policy=POLICY | {"state_dir": str(tmp_path)})
    context = dataclasses.replace(context, system=FakeSystem({"/proc/sys/fs/protected_hardlinks": f"{value}\n"}))

    found = list(host.hard_links(context))
    assert [each.state for each in found] == ["ok" if message[0].startswith("no one") else "warn"] * len(message)
    assert all(said in each.message for said, each in zip(message, found, strict=True))
    if linked:  # the command finds it wherever it is on that disk, and not under state_dir only
        words = shlex.split(found[0].fix)
        assert (os.path.ismount(words[1]), os.stat(words[1]).st_dev) == (True, os.stat(tmp_path).st_dev)


# commands that change config.toml

TWO = """\
concurrent = 50
[[runners]]
  name = "a"
  executor = "custom"
  limit = 5
  [runners.custom]
    run_exec = "/x/gate-executor"
    run_args = ["run"]
[[runners]]
  name = "b"
  executor = "custom"
  limit = 5
  [runners.custom]
    run_exec = "/x/gate-executor"
    run_args = ["run"]
"""
CUSTOM = "custom"
# In each, `limit` of the first runner is 5.
ODD_FORMS = [
    '[[runners]]\n"name" = "a"\nexecutor = "custom"\n"limit" = 5\n',
    '[[runners]]\nname = "a"\nexecutor = "custom"\nlimit=5#few\n',
    '[[runners]]\nname = "a"\nexecutor = "custom"\nlimit = 5',
    '[[runners]]\nexecutor = "custom"\nname = "a\u2028b\x85c"\nlimit = 5\n[[runners]]\n[runners.custom]\n',
    '[[runners]]\r\nname = "a"\r\nexecutor = "custom"\r\nlimit = 5 # few\r\n',
    '[[runners]]\nexecutor = "custom"\nlimit = 5\n[[runners]]\nexecutor = "custom"\nlimit = 5\n',
    '[[runners]]\nname = "a"\nlimit = 5\nexecutor = "custom"\n[[runners]]\nname = "a"\nexecutor = "custom"\nlimit = 5\n',
    '[[ runners ]]\nname = "a"\nexecutor = "custom"\nlimit = 5\n',
    "runners = [{name = 'a', executor = 'custom', limit = 5}]\n",
    '[[runners]]\nname = "a"\nexecutor = "custom"\nenvironment = ["""\nlimit = 5\n"""]\nlimit = 5\n',
]


def runner_of(text: str, number: int = 0) -> Runner:
    return Runner(number, tomllib.loads(text)["runners"][number])


def patched(text: str, tmp_path: Path, *wanted: Edit) -> Any:
    """What patch(1) makes of a file with the diff of these edits."""
    need("patch")
    path = tmp_path / "it's a config.toml"
    path.write_bytes(text.encode())
    diff = edits.diff(config_of(text, str(path)), wanted)
    subprocess.run(["patch", str(path)], input=diff.encode(), check=True, timeout=60, capture_output=True)
    return tomllib.loads(path.read_bytes().decode())


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize(("key", "value", "table"), [("limit", 50, ""), ("run_args", ["--config", "/it's", "run"], CUSTOM),
    ("config_exec", "/opt/a b/gate-executor", CUSTOM), ("request_concurrency", 4, ""), ("limit", None, "")])  # fmt: skip
def test_one_of_two_runners_is_changed_and_not_the_other(
    tmp_path: Path, number: int, key: str, value: Any, table: str
) -> None:
    wanted = tomllib.loads(TWO)
    changed = wanted["runners"][number]["custom"] if table else wanted["runners"][number]
    changed[key] = value
    if value is None:
        del changed[key]
    assert patched(TWO, tmp_path, Edit(key, value, runner_of(TWO, number), table)) == wanted


@pytest.mark.parametrize("text", ODD_FORMS)
def test_odd_forms_are_changed_rightly(tmp_path: Path, text: str) -> None:
    wanted = tomllib.loads(text)
    wanted["runners"][0]["limit"] = 50
    assert patched(text, tmp_path, Edit("limit", 50, runner_of(text))) == wanted


def test_comments_and_everything_else_stay_as_they_are() -> None:
    runner = runner_of(EXAMPLE)
    changes = (
        Edit("concurrent", 60),
        Edit("limit", 60, runner),
        Edit("output_limit", 9, runner),
        Edit("x", "y", runner, CUSTOM),
    )
    lines = edits.diff(config_of(EXAMPLE), changes).splitlines()[2:]
    assert [line for line in lines if not line.startswith("@@")] == [
        "-concurrent = 50",
        "+concurrent = 60",
        "-  limit = 50                       # how many jobs may wait or run at once on this runner",
        "+  limit = 60                       # how many jobs may wait or run at once on this runner",
        "+  output_limit = 9",
        '+    x = "y"',
    ]


@given(name=st.text(max_size=20), value=VALUES, key=st.sampled_from(["limit", "shell", "executor", "output_limit"]))
def test_whatever_a_value_is_exactly_that_is_made_of_it(
    tmp_path_factory: pytest.TempPathFactory, name: str, value: Any, key: str
) -> None:
    assume("token" not in str(value))
    text = f"[[runners]]\n  name = {json.dumps(name, ensure_ascii=False)}\n  executor = \"custom\"\n  limit = 5\n  shell = 'a'\n".replace(
        "\x7f", ""
    )
    wanted = tomllib.loads(text)
    wanted["runners"][0][key] = value
    assert patched(text, tmp_path_factory.mktemp("toml"), Edit(key, value, runner_of(text))) == wanted


def test_what_an_editor_is_to_write_is_told_where_a_diff_would_show_a_secret() -> None:
    text = "runners = [{name = 'a', executor = 'custom', token = 'glrt-hush', limit = 5}]\n"
    context = context_of(text)
    wanted = Edit("limit", 50, runner_of(text)), Edit("concurrent", 60)
    assert edits.diff(context.runner_config, wanted) == ""
    assert (
        edits.command(context, wanted)
        == "${EDITOR:-vi} /etc/gitlab-runner/config.toml  # in [[runners]] of runner 'a': limit = 50; at the top: concurrent = 60"
    )


def test_what_is_left_to_an_editor_does_not_keep_the_rest_from_being_changed() -> None:
    text = "runners = [{name = 'a', executor = 'custom', token = 'glrt-hush', limit = 5}]\n"
    found = [fail("", Edit("limit", 50, runner_of(text))), ok(""), warn("", Edit("concurrent", 60))]
    diff = edits.diff_of_all(config_of(text), found)
    assert [line for line in diff.splitlines()[2:] if line[0] in "+-"] == ["+concurrent = 60"]


def test_where_there_is_no_patch_an_editor_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert edits.command(context_of(), [Edit("concurrent", 60)]).startswith("${EDITOR:-vi} ")


# the runner's unit

UNIT = "/usr/lib/systemd/system/gitlab-runner.service"
ETC = "/etc/systemd/system/gitlab-runner.service"


@pytest.mark.parametrize(("files", "kill_signal"), [
    ({UNIT: "[Service]\n"}, "SIGTERM"),
    ({UNIT: "[Service]\nKillSignal=SIGQUIT\n"}, "SIGQUIT"),
    ({UNIT: "[Service]\nKillSignal=QUIT\n"}, "SIGQUIT"),
    ({UNIT: "[Service]\nKillSignal=3\n"}, "SIGQUIT"),
    ({UNIT: "[Service]\nKillSignal=SIGQUIT\nKillSignal=\n"}, "SIGTERM"),
    ({UNIT: "[Service]\nKillSignal=SIGQUIT\n", ETC: "[Service]\n"}, "SIGTERM"),
    ({UNIT: "[Service]\n", f"{ETC}.d/a.conf": "[Service]\n# KillSignal=SIGHUP\nKillSignal = SIGQUIT\n"}, "SIGQUIT"),
    ({UNIT: "[Unit]\nKillSignal=SIGQUIT\n[Service]\nType=\\\n simple\n"}, "SIGTERM"),
    ({UNIT: "[Service]\n", f"{ETC}.d/b.conf": "[Service]\nKillSignal=SIGQUIT\n", f"{ETC}.d/a.conf": "[Service]\nKillSignal=SIGHUP\n"}, "SIGQUIT"),
    ({UNIT: "[Service]\n", f"{UNIT}.d/a.conf": "[Service]\nKillSignal=SIGQUIT\n", f"{ETC}.d/a.conf": "[Service]\n"}, "SIGTERM"),
])  # fmt: skip
def test_a_unit_is_read_as_systemd_reads_it(files: dict[str, str], kill_signal: str) -> None:
    unit = runner_unit.find(FakeSystem(files))
    assert unit is not None
    assert unit.kill_signal == kill_signal


def test_where_systemd_runs_it_is_asked() -> None:
    unit = runner_unit.find(
        FakeSystem({"/proc/1/comm": "systemd\n", UNIT: "[Service]\nUser=a\n"}, "[Service]\nUser=b\n")
    )
    assert unit is not None
    assert (unit.user, unit.is_live) == ("b", True)
    assert runner_unit.find(FakeSystem({})) is None
    assert runner_unit.find(FakeSystem({f"{ETC}.d/a.conf": "[Service]\n"})) is None


@pytest.mark.parametrize(("span", "seconds"), [("90", 90), ("90s", 90), ("5min 20s", 320), ("25h", 90_000), ("1d", 86_400),
    ("infinity", float("inf")), ("0", float("inf")), ("", None), ("soon", None), ("5 lightyears", None)])  # fmt: skip
def test_time_spans_are_systemd_s(span: str, seconds: float | None) -> None:
    assert runner_unit.seconds(span) == seconds


def test_a_live_unit_is_reloaded() -> None:
    unit = runner_unit.Unit({"KillSignal": ("SIGTERM",)}, is_live=True)
    (found,) = service.find(context_of(unit=unit))
    assert found.fix.endswith("/zz-gate-stop.conf && systemctl daemon-reload")


@pytest.mark.parametrize(("said", "is_told"), [("Version:      17.8.4\nGit revision: 1\n", True), ("Version:      17.9.0\n", False),
    ("Version: 9.30.0\n", True), ("Version:      18.0.1~pre\n", False), ("Version:      development version\n", False), ("", False)])  # fmt: skip
def test_a_runner_that_is_too_old_is_told(said: str, is_told: bool) -> None:
    context = dataclasses.replace(context_of(), system=FakeSystem({}, said=said))
    assert any("17.9 or newer" in each.message for each in service.find(context)) == is_told


def test_what_is_of_a_wrong_type_is_named_and_no_secret_is_shown() -> None:
    text = '[[runners]]\nexecutor = "custom"\nenvironment = "A=hush"\nlimit = "5"\n[runners.custom]\nrun_args = 1\n'
    assert [str(each) for each in config_of(text).odd()] == [
        "runner 'number 1': limit is '5': write a whole number, without quotes",
        "runner 'number 1': environment is of another type: write a list of texts, each in quotes",
        "runner 'number 1': run_args is 1: write a list of texts, each in quotes",
    ]
    (no_table,) = config_of('[[runners]]\nexecutor = "custom"\ncustom = 5\n').odd()
    assert str(no_table).startswith("runner 'number 1': custom is 5: write a table")


STOPPED_WELL = "[Service]\nKillSignal=SIGQUIT\nKillMode=mixed\nTimeoutStopSec=25h\n"


@pytest.mark.parametrize(("lines", "told"), [
    ("", ""), ("NoNewPrivileges=yes\nPrivateTmp=yes\nProtectSystem=full\nLimitNOFILE=infinity\nTasksMax=infinity", ""),
    ("RestrictNamespaces=yes", "RestrictNamespaces"), ("RestrictNamespaces=no", ""), ("RestrictNamespaces=yes\nRestrictNamespaces=", ""),
    ("RestrictNamespaces=~pid", "RestrictNamespaces"), ("RestrictNamespaces=~user net", ""),
    ("RestrictNamespaces=user mnt", "RestrictNamespaces"), ("RestrictNamespaces=mnt pid ipc", ""),
    ("PrivateUsers=self", "PrivateUsers"), ("DynamicUser=yes", "DynamicUser"), ("RestrictSUIDSGID=true", "RestrictSUIDSGID"),
    ("CapabilityBoundingSet=CAP_CHOWN", "CapabilityBoundingSet"), ("CapabilityBoundingSet=~CAP_SYS_ADMIN", "CapabilityBoundingSet"),
    ("CapabilityBoundingSet=~CAP_SYS_TIME\nCapabilityBoundingSet=~cap_setuid", "CapabilityBoundingSet"),
    ("CapabilityBoundingSet=~CAP_SYS_TIME CAP_BPF", ""), ("CapabilityBoundingSet=", "CapabilityBoundingSet"),
    ("CapabilityBoundingSet=CAP_CHOWN\nCapabilityBoundingSet=~", ""),
    (f"CapabilityBoundingSet={' '.join(sandbox.CAPABILITIES[:4])}\nCapabilityBoundingSet={' '.join(sandbox.CAPABILITIES[4:])}", ""),
    ("ProtectSystem=strict", "ProtectSystem"), ("ProtectSystem=strict\nReadWritePaths=/srv -/var/lib/", ""),
    ("ProtectSystem=strict\nReadWritePaths=/var/lib/gitlab-runner", "ProtectSystem"),
    ("ReadOnlyPaths=/", "ReadOnlyPaths"), ("ReadOnlyPaths=/usr\nReadOnlyPaths=-/var", "ReadOnlyPaths"), ("ReadOnlyPaths=/usr", ""),
    ("ReadOnlyPaths=/\nReadWritePaths=/var", ""), ("InaccessiblePaths=/etc", "InaccessiblePaths"), ("InaccessiblePaths=/boot", ""),
    ("TemporaryFileSystem=/var/lib:ro", "TemporaryFileSystem"), ("ProtectHome=tmpfs", "ProtectHome"), ("RootDirectory=/srv/jail", "RootDirectory"),
    ("SystemCallFilter=@system-service", "SystemCallFilter"), ("TasksMax=50", "TasksMax"), ("TasksMax=5000", ""),
    ("TimeoutSec=90", "is killed 90 s after"), ("TimeoutSec=90\nTimeoutStopSec=25h", ""),
])  # fmt: skip
def test_a_sandbox_that_is_in_the_gate_s_way_is_told_and_its_drop_in_opens_it(lines: str, told: str) -> None:
    files = {UNIT: f"{STOPPED_WELL}{lines}\n"}
    found = list(service.find(context_of(unit=runner_unit.find(FakeSystem(files)))))
    assert len(found) == 1
    assert (
        found[0].message.startswith(told or "gitlab-runner.service runs as root, and waits")
        or f" {told} " in found[0].message
    )
    assert (found[0].state == "ok") == (told == "")
    if told:
        words = shlex.split(found[0].fix)
        files[words[-1]] = words[words.index("printf") + 1].replace("\\n", "\n")
        (mended,) = service.find(context_of(unit=runner_unit.find(FakeSystem(files))))
        assert mended.state == "ok"


# people


@pytest.fixture
def passable() -> Iterator[Path]:
    """A directory of the test's own that others may pass, as far as the one for temporary files is."""
    with tempfile.TemporaryDirectory(prefix="gate-checks-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def programs_in(venv: Path, package: Path) -> Context:
    """What is looked at where the gate is installed in this venv."""
    (venv / "bin").mkdir(parents=True)
    (venv / "pyvenv.cfg").touch()
    (venv / "bin" / "python").symlink_to("/usr/bin/env")
    package.mkdir(parents=True)
    group = {"approvers_group": "gate-approvers", "approvers_gid": os.getegid() + 1}
    policy = {**POLICY, **group, "people": {"me": {"unix": "root"}}}
    context = context_of(policy=policy, executor=str(venv / "bin" / "gate-executor"), code=(str(package),))
    return dataclasses.replace(context, gate_yaml=dataclasses.replace(context.gate_yaml, path="/etc/passwd"))


def test_programs_that_people_cannot_use_are_told_and_the_command_opens_them(passable: Path) -> None:
    """As pip leaves them where root has umask 077."""
    venv = passable / "it's a venv"
    package = venv / "lib" / "gate"
    context = programs_in(venv, package)
    for place in (package.parent, package):
        place.chmod(0o700)
    (found,) = [each for each in people.approvers(context) if "`gate` command" in each.message]
    assert found.message.startswith(f"{package.parent} has mode 0700")
    subprocess.run(["sh", "-c", found.fix], check=True, timeout=20)
    assert [each for each in people.approvers(context) if "`gate` command" in each.message] == []


def test_for_a_closed_directory_above_the_programs_no_command_is_printed(passable: Path) -> None:
    """As /root is, with a venv or a Python in it: `chmod go+rx /root` would open all of it to everybody."""
    home = passable / "root"
    context = programs_in(home / "venv", home / "venv" / "lib" / "gate")
    home.chmod(0o700)
    (found,) = [each for each in people.approvers(context) if "`gate` command" in each.message]
    assert found.message.startswith(f"{home} has mode 0700")
    assert found.message.endswith(f"with a Python that is not below {home}")
    assert found.fix == ""


# numbers


@pytest.mark.parametrize(("waiting", "states"), [(None, ["ok"]), (0, ["ok"]), (49, ["ok"]), (50, ["warn", "warn"])])
def test_as_many_jobs_as_there_are_places_are_told(waiting: int | None, states: list[str]) -> None:
    assert [each.state for each in capacity.places(context_of(waiting=waiting))] == states


@pytest.mark.parametrize(("instances", "state"), [("128\n", "ok"), ("30\n", "ok"), ("29\n", "warn"), (None, "warn")])
def test_two_inotify_instances_suffice_for_any_number_of_jobs(instances: str | None, state: str) -> None:
    files = {"/proc/sys/fs/inotify/max_user_instances": instances} if instances else {}
    context = dataclasses.replace(
        context_of(EXAMPLE.replace("concurrent = 50", "concurrent = 1000")), system=FakeSystem(files)
    )
    assert [each.state for each in capacity.inotify(context)] == [state]


@pytest.mark.parametrize(("decide_within_s", "state"), [(86_400 - 15, "ok"), (86_400 - 14, "warn")])
def test_the_longest_rule_has_to_fit_into_the_prepare_timeout(decide_within_s: int, state: str) -> None:
    policy = {"rules": [{"name": "short", "decide_within_s": 60}, {"name": "long", "decide_within_s": decide_within_s}]}
    assert [each.state for each in timeouts.prepare(context_of(policy=policy))] == [state]


@pytest.mark.parametrize(("told", "limit", "state"), [("16", "16", "warn"), ("15", "15", "fail"), ("3600", "", "warn"), ("3601", "", "fail"),
                                                      ("-1", "3600", "fail"), ("86400", "86401", "fail")])  # fmt: skip
def test_both_prepare_timeouts_have_to_be_one(told: str, limit: str, state: str) -> None:
    text = EXAMPLE.replace('"86400"', f'"{told}"')
    text = re.sub(r"prepare_exec_timeout = 86400", f"prepare_exec_timeout = {limit}" if limit else "", text)
    assert [each.state for each in timeouts.prepare(context_of(text))] == [state]


@pytest.mark.parametrize(("words", "expected"), [
    (["prepare"], (None, ["prepare"])),
    (["--config", "/a", "run"], ("/a", ["run"])),
    (["--config=/a", "run", "x"], ("/a", ["run", "x"])),
    (["--config"], ("", [])),
    (["--configure", "x"], (None, ["--configure", "x"])),
    ([], (None, [])),
])  # fmt: skip
def test_arguments_are_split_as_gate_executor_splits_them(
    words: list[str], expected: tuple[str | None, list[str]]
) -> None:
    assert runner_config.split(words) == expected


def test_every_command_can_be_pasted_into_a_shell() -> None:
    """What the table of mistakes runs is sh; here only that quoting holds for a name that needs it."""
    config = config_of(TWO, "/etc/it's; rm -rf x/config.toml")
    context = dataclasses.replace(context_of(), runner_config=config)
    words = shlex.split(edits.command(context, [Edit("concurrent", 60)]), comments=True)
    assert words[-1] == "/etc/it's; rm -rf x/config.toml"


# the page


@pytest.mark.parametrize("has_unit", [True, False])
@pytest.mark.parametrize("backlog", [1, 0])
def test_a_page_that_hangs_is_started_again_and_not_only_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_unit: bool, backlog: int
) -> None:
    monkeypatch.setattr(page, "ANSWERS_WITHIN_S", 0.2)
    door = str(tmp_path / "page.sock")
    files = {"/etc/systemd/system/gate-page.service": "[Service]"} if has_unit else {}
    with socket.socket(socket.AF_UNIX) as deaf, socket.socket(socket.AF_UNIX) as first:
        deaf.bind(door)
        deaf.listen(backlog)
        if not backlog:
            first.connect(door)  # no more fit in
        context = dataclasses.replace(context_of(), system=FakeSystem(files))
        found = page._answer(context, part({"url": "http://gate.localhost:8420"}), door)
    assert (found.state, found.message) == ("warn", f"the page does not answer at {door} within 0.2 s: it hangs")
    assert found.fix == ("systemctl restart gate-page.service" if has_unit else "")
