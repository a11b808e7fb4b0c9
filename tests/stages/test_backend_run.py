"""Real scripts through the shell backend, in both kinds of isolation and, as root, as a real second user."""

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from executor.shell import backend, cgroup, init, supervise, work_tree
from gate import TOOL_PATH

CHECKOUT = Path(__file__).resolve().parents[2]
MODES = ["pid_namespace", "process_group"]
NOBODY = pwd.getpwnam("nobody")
STAGE = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
from executor.shell import backend
try:
    code = backend.run_script(*json.loads(sys.argv[2]))
except backend.BackendError as fault:
    print(fault, file=sys.stderr)
    code = 222
sys.stderr.write(f"returned {code}\\n")
os._exit(code)
"""
FAILED = 222


def policy(mode: str = "process_group", **changes: object) -> Any:
    """A policy's `backend`: nobody's where we are root, our own user's otherwise."""
    me = pwd.getpwuid(os.geteuid())
    if os.geteuid() == 0:
        user: dict[str, object] = {"uid": NOBODY.pw_uid, "gid": NOBODY.pw_gid, "run_as": "nobody", "home": "/"}
    else:
        user = {"uid": me.pw_uid, "gid": me.pw_gid, "run_as": None, "home": me.pw_dir}
    return {"type": "shell", **user, "isolate": mode, "allow_same_user": os.geteuid() != 0, **changes}


def skip_without_root(what: str = "this") -> None:
    if os.geteuid() != 0:
        pytest.skip(f"{what} needs root: run the tests as root to see it")


def skip_where_impossible(mode: str) -> None:
    if mode == "pid_namespace":
        skip_without_root("a process-id namespace")


class Site:
    """A directory that the job's user can pass through, a work tree in it, and scripts that only we can read."""

    def __init__(self, root: Path, mode: str, **changes: object) -> None:
        skip_where_impossible(mode)
        self.root, self.mode, self.policy = root, mode, policy(mode, **changes)
        self.work, self.cache = root / "work" / "key", root / "cache" / "project"
        for parent in (self.work.parent, self.cache.parent):
            parent.mkdir(mode=0o711)
        backend.make_work(self.policy, str(self.work), str(self.cache))

    @property
    def tmp(self) -> str:
        return "/tmp" if self.mode == "pid_namespace" else work_tree.short_tmp(str(self.work))

    def script(self, text: str, shell: str = "bash") -> str:
        path = self.root / "script"
        path.write_text(f"#!/usr/bin/env {shell}\n\n{text}\n")
        path.chmod(0o700)
        return str(path)

    def start(
        self, text: str, env: dict[str, str] | None = None, pass_fds: tuple[int, ...] = ()
    ) -> "subprocess.Popen[str]":
        """A stage, as the runner starts it: a group of its own, pipes for its output."""
        arguments = json.dumps([self.policy, self.script(text), str(self.work), str(self.cache), env or {}])
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", STAGE, str(CHECKOUT), arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
            pass_fds=pass_fds,
            env={**os.environ, "CANARY": "sings-in-the-mine"},
        )

    def run(self, text: str, env: dict[str, str] | None = None, pass_fds: tuple[int, ...] = ()) -> tuple[int, str]:
        stage = self.start(text, env, pass_fds)
        out, err = stage.communicate(timeout=60)
        return stage.returncode, out + err.replace(f"returned {stage.returncode}\n", "")


@pytest.fixture
def passable() -> Iterator[Path]:
    root = Path(tempfile.mkdtemp(dir="/tmp"))
    root.chmod(0o711)
    yield root
    for state in (root, root / "state", root / "gitlab-runner-gate"):
        cgroup.sweep(str(state), [])  # of jobs that no cleanup came for
    backend.remove_work(str(root))


@pytest.fixture(params=MODES)
def site(request: pytest.FixtureRequest, passable: Path) -> Site:
    return Site(passable, request.param)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("true", 0),
        ("exit 7", 7),
        ("exit 255", 255),
        ("kill -KILL $$", 128 + signal.SIGKILL),
        ("kill -SEGV $$", 128 + signal.SIGSEGV),
        ("no-such-command-33", 127),
        ("exec setpriv --no-new-privs true", 0),
        ("exec sleep 0", 0),
        ("exit 34 & wait $!; exit $?", 34),
    ],
)
def test_exit_code_is_the_scripts(site: Site, text: str, code: int) -> None:
    assert site.run(text)[0] == code


def test_sh_script_runs_in_sh(site: Site) -> None:
    assert "returned 33" in run_here(site, 'exit "$(case "$SHELL" in */sh) echo 33;; *) echo 34;; esac)"', "sh")


def run_here(site: Site, text: str, shell: str) -> str:
    code = backend.run_script(policy(site.mode), site.script(text, shell), str(site.work), str(site.cache), {})
    return f"returned {code}"


def test_environment_is_exactly_the_list(site: Site) -> None:
    code, out = site.run("/usr/bin/env -u SHLVL -u _ -u PWD", {"EXTRA": "of the gate\nand more"})
    user = str(policy()["run_as"] or pwd.getpwuid(os.geteuid()).pw_name)
    assert code == 0
    assert sorted(out.splitlines()) == sorted(
        [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            f"HOME={site.work}/home",
            f"USER={user}",
            f"LOGNAME={user}",
            f"SHELL={shutil.which('bash', path=TOOL_PATH)}",
            "LANG=C.UTF-8",
            f"TMPDIR={site.tmp}",
            "EXTRA=of the gate",
            "and more",
        ]
    )


def test_script_stands_in_its_own_tree(site: Site) -> None:
    code, out = site.run('pwd; stat -Lc %a . builds "$TMPDIR"; touch builds/x && mktemp; umask')
    assert code == 0
    assert out.splitlines()[:4] == [str(site.work), "700", "700", "1777"]
    assert out.splitlines()[4].startswith(f"{site.tmp}/")
    assert len(os.listdir(site.work / "tmp")) >= 1
    assert out.splitlines()[5] == "0022"


def test_stdin_is_empty(site: Site) -> None:
    assert site.run("cat; readlink /proc/self/fd/0") == (0, "/dev/null\n")


def test_output_can_be_opened_anew(site: Site) -> None:
    assert site.run("echo one >/dev/stdout; echo two | tee /dev/stderr >/dev/null") == (0, "one\ntwo\n")


def test_job_runs_without_privileges(site: Site) -> None:
    asked = "id -u; id -g; id -G; grep -E 'NoNewPrivs|CapEff|CapBnd' /proc/self/status | tr -d '\\t'"
    code, out = site.run(asked)
    found = out.splitlines()
    expected = policy()
    assert code == 0
    assert found[:2] == [str(expected["uid"]), str(expected["gid"])]
    assert "NoNewPrivs:1" in found
    if os.geteuid() == 0:
        groups = os.getgrouplist("nobody", NOBODY.pw_gid)
        assert sorted(map(int, found[2].split())) == sorted(groups)
        assert {"CapEff:0000000000000000", "CapBnd:0000000000000000"} <= set(found)


def test_job_has_the_groups_of_its_name(
    site: Site, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    skip_without_root("a change of groups")
    monkeypatch.setattr(os, "getgrouplist", lambda name, gid: [gid, {"nobody": 4711}[name]])
    assert run_here(site, "id -G", "bash") == "returned 0"
    assert capfd.readouterr().out == f"{NOBODY.pw_gid} 4711\n"


def test_only_the_script_is_open_in_it(site: Site) -> None:
    leaked = os.open("/etc/passwd", os.O_RDONLY)  # the stage gets it, as if the runner had forgotten close-on-exec
    try:
        code, out = site.run(
            "for d in /proc/$$/fd/*; do readlink $d; done; ls /proc/self/fd | wc -l", pass_fds=(leaked,)
        )
    finally:
        os.close(leaked)
    *files, count = out.splitlines()
    assert code == 0
    assert [name.partition(":")[0] for name in files if "memfd" not in name] == ["/dev/null", "pipe", "pipe"]
    assert count == "5"  # 0, 1, 2, the script, and the directory that ls itself reads


@pytest.mark.parametrize("attack", ["echo exit 34 >>$0", "echo exit 34 >&${0##*/}", ": >$0", "truncate -s 0 $0"])
def test_job_cannot_change_its_script(site: Site, attack: str) -> None:
    code, out = site.run(f"{attack} || echo held back; exit 33")
    assert code == 33
    assert "held back" in out


def test_job_cannot_read_the_script_on_disk(site: Site) -> None:
    skip_without_root("a second user")
    code, out = site.run(f"cat {site.root}/script || exit 33")
    assert code == 33
    assert ("No such file" if site.mode == "pid_namespace" else "Permission denied") in out


def test_long_script_arrives_whole(site: Site) -> None:
    line = ": " + "x" * 1000 + "\n"
    assert site.run(line * 3000 + "exit 33")[0] == 33


@pytest.mark.parametrize("first", ["#!/usr/bin/env pwsh", "#!/bin/bash -e", "true", "", "#!", "#!/usr/bin/env"])
def test_other_interpreter_is_named(site: Site, first: str) -> None:
    (site.root / "other").write_text(f"{first}\ntrue\n")
    with pytest.raises(backend.BackendError, match=r"only bash and sh scripts work") as fault:
        backend.run_script(policy(site.mode), str(site.root / "other"), str(site.work), str(site.cache), {})
    assert repr(first) in str(fault.value)


@pytest.mark.parametrize("kind", ["missing", "link", "fifo", "directory"])
def test_script_must_be_a_regular_file(site: Site, kind: str) -> None:
    odd = site.root / "odd"
    if kind == "link":
        odd.symlink_to(site.script("true"))
    elif kind == "fifo":
        os.mkfifo(odd)
    elif kind == "directory":
        odd.mkdir()
    with pytest.raises(backend.BackendError, match="odd"):
        backend.run_script(policy(site.mode), str(odd), str(site.work), str(site.cache), {})


@pytest.mark.parametrize("variable", ["LD_PRELOAD", "GLIBC_TUNABLES", "A=B"])
def test_variable_that_reaches_our_own_tools_is_refused(site: Site, variable: str) -> None:
    with pytest.raises(backend.BackendError):
        backend.run_script(policy(site.mode), site.script("true"), str(site.work), str(site.cache), {variable: "x"})


@pytest.mark.parametrize("tool", ["setpriv", "bash"])
@pytest.mark.parametrize("mode", MODES)
def test_missing_tool_is_named(passable: Path, monkeypatch: pytest.MonkeyPatch, mode: str, tool: str) -> None:
    site = Site(passable, mode)
    here = passable / "bin"
    here.mkdir()
    for name in {"setpriv", "bash", "true"} - {tool}:
        (here / name).symlink_to(shutil.which(name) or "")
    monkeypatch.setattr(backend, "TOOL_PATH", str(here))
    with pytest.raises(backend.BackendError, match=f"'{tool}' is not in {here}"):
        backend.run_script(policy(mode), site.script("true"), str(site.work), str(site.cache), {})
    assert f"'{tool}' is not in" in str(backend.check(policy(mode)))


@pytest.mark.parametrize("code", [1, 126, 127])
def test_setpriv_that_fails_is_never_the_scripts_exit_code(
    site: Site, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    real = shutil.which("setpriv")
    monkeypatch.setattr(backend, "_privileges", lambda _: [real, "--no-such-option"])
    with pytest.raises(backend.BackendError, match="setpriv could not start the script"):
        backend.run_script(policy(site.mode), site.script(f"exit {code}"), str(site.work), str(site.cache), {})


def fake_tool(root: Path, monkeypatch: pytest.MonkeyPatch, tool: str, text: str) -> None:
    here = root / "bin"
    here.mkdir()
    (here / tool).write_text(f"#!/bin/bash\n{text}\n")
    (here / tool).chmod(0o755)
    monkeypatch.setattr(backend, "TOOL_PATH", f"{here}:{TOOL_PATH}")


def test_missing_work_directory_is_said(site: Site) -> None:
    with pytest.raises(backend.BackendError, match="no-such-directory"):
        backend.run_script(
            policy(site.mode), site.script("true"), str(site.root / "no-such-directory"), str(site.cache), {}
        )


def test_init_that_does_not_start_is_said(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "_PROGRAM", (sys.executable, "-I", "-S", str(site.root / "no-init.py")))
    with pytest.raises(backend.BackendError, match=r"could not be started.*no-init\.py"):
        backend.run_script(
            policy(site.mode, no_new_privileges=False), site.script("true"), str(site.work), str(site.cache), {}
        )


def test_caller_is_left_as_it_was(site: Site) -> None:
    def state() -> tuple[object, ...]:
        handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
        return (handlers, signal.pthread_sigmask(signal.SIG_BLOCK, ()), len(os.listdir("/proc/self/fd")))

    before = state()
    assert "returned 33" in run_here(site, "exit 33", "bash")
    assert state() == before


@pytest.mark.parametrize("mode", MODES)
def test_check_accepts_what_works(mode: str) -> None:
    skip_where_impossible(mode)
    assert backend.check(policy(mode)) is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"uid": os.geteuid(), "allow_same_user": False}, "like the gate itself"),
        ({"uid": None, "run_as": None, "allow_same_user": False}, "like the gate itself"),
        ({"uid": None, "run_as": "nobody-33"}, "'nobody-33' is not a user"),
        ({"isolate": "cgroup"}, "'cgroup' is neither"),
    ],
)
def test_policy_that_cannot_work_is_refused(site: Site, changes: dict[str, object], said: str) -> None:
    asked = policy(site.mode, **changes)
    assert said in str(backend.check(asked))
    with pytest.raises(backend.BackendError, match=said):
        backend.run_script(asked, site.script("true"), str(site.work), str(site.cache), {})


def test_other_user_needs_root(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = policy(uid=NOBODY.pw_uid, run_as="nobody", gid=NOBODY.pw_gid)
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    assert "uid 4711 cannot run anything as 'nobody'" in str(backend.check(asked))


def test_children_are_the_same_from_both_sources() -> None:
    child = subprocess.Popen(["sleep", "60"])
    try:
        assert child.pid in init.children()
        stats = [
            pid
            for pid in map(int, filter(str.isdecimal, os.listdir("/proc")))
            if init._parent("/proc", pid) == os.getpid()
        ]
        assert set(init.children()) == set(stats)
    finally:
        child.kill()
        child.wait()


def test_children_come_from_stat_where_the_kernel_has_no_list(tmp_path: Path) -> None:
    for pid, parent in ((33, os.getpid()), (34, 1)):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "stat").write_text(f"{pid} (a) S 7) S {parent} 33 33 0")
    assert init.children(str(tmp_path)) == [33]
