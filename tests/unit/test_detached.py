"""A command that nobody waits for: it holds nothing of ours, and its failure is told in words."""

from __future__ import annotations

import json
import os
import pwd
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest

from gate import TOOL_PATH
from gate.flow import detached as courier
from tests.runner.gated import until
from tests.support.gate_state import in_children

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")  # the threads of xdist

PROBE = """
import json, os, sys
fields = dict(line.split(":\\t") for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
found = {
    "stdin": sys.stdin.read(), "env": dict(os.environ), "cwd": os.getcwd(), "argv": sys.argv[1:],
    "files": {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if int(fd) < 3},
    "more": len([fd for fd in os.listdir("/proc/self/fd") if int(fd) >= 3]) - 1,
    "leads": os.getsid(0) == os.getpgid(0) == os.getpid(), "session": os.getsid(os.getppid()),
    "parent": os.listdir(f"/proc/{os.getppid()}/fd"), "parent_cwd": os.readlink(f"/proc/{os.getppid()}/cwd"),
    "blocked": int(fields["SigBlk"], 16), "ignored": int(fields["SigIgn"], 16),
}
print(json.dumps(found), file=open(sys.argv[1] + ".new", "w"), flush=True)
os.rename(sys.argv[1] + ".new", sys.argv[1])
"""


def detached(tmp_path: Path, work: Callable[[], str]) -> Path:
    """The file where what `work` returns will be, once that is done."""
    result = tmp_path / "result"

    def keep() -> None:
        tmp_path.joinpath("result.new").write_text(work(), encoding="utf-8")
        tmp_path.joinpath("result.new").rename(result)

    courier.detach(keep)
    return result


def why(tmp_path: Path, command: list[str], message: bytes = b"{}\n") -> str:
    """What a detached run of that command comes to."""
    result = detached(tmp_path, lambda: courier.run(command, message))
    until(result.exists, "ended")
    return result.read_text(encoding="utf-8")


def shell(script: str, *arguments: str) -> list[str]:
    return ["/bin/sh", "-c", script, "sh", *arguments]


def go(tmp_path: Path) -> str:
    """Wait for a file, as work."""
    until((tmp_path / "go").exists, "let go", within_s=60)
    return "done"


def probed(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "probe.py").write_text(PROBE, encoding="utf-8")
    assert why(tmp_path, [sys.executable, "-I", "-S", str(tmp_path / "probe.py"), str(tmp_path / "found")]) == ""
    found: dict[str, Any] = json.loads((tmp_path / "found").read_text(encoding="utf-8"))
    return found


def test_a_command_gets_its_message_and_nothing_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CUSTOM_ENV_X", "GATE_PLAN", "JOB_RESPONSE_FILE", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONPATH"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    found = probed(tmp_path)
    assert (found["stdin"], found["argv"], found["cwd"]) == ("{}\n", [str(tmp_path / "found")], "/")
    home = pwd.getpwuid(os.geteuid()).pw_dir
    assert found["env"] == {"PATH": TOOL_PATH, "LANG": "C.UTF-8", "HOME": home}
    assert {fd: target.partition(":")[0] for fd, target in found["files"].items()} == {
        "0": "pipe",
        "1": "/dev/null",
        "2": "pipe",
    }
    assert found["more"] == 0


def test_a_command_leads_a_session_and_its_courier_is_in_none_of_ours(tmp_path: Path) -> None:
    found = probed(tmp_path)
    assert found["leads"]
    assert found["session"] != os.getsid(0)
    assert found["parent_cwd"] == "/"
    assert len(found["parent"]) <= 5  # /dev/null three times, and its ends of two pipes


def test_a_command_finds_signals_as_every_program_does(tmp_path: Path) -> None:
    """The waiting process handles some, and ignores SIGIO; subprocess alone would hand that on."""

    def within(_n: int) -> bool:
        signal.signal(signal.SIGTERM, lambda _number, _frame: None)
        for number in (signal.SIGIO, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGTERM])
        found = probed(tmp_path)
        pythons = {signal.SIGPIPE, signal.SIGXFSZ}  # the probe's own, from its start
        ignored = {number for number in signal.valid_signals() if found["ignored"] >> (number - 1) & 1}
        return found["blocked"] == 0 and ignored <= pythons

    assert in_children(1, within) == [True]


def test_a_reader_of_our_stdout_is_not_kept_waiting(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    result = detached(tmp_path, lambda: go(tmp_path))
    os.close(writer)
    assert os.read(reader, 1) == b""  # blocks for as long as anybody holds the other end
    os.close(reader)
    assert not result.exists()
    (tmp_path / "go").touch()
    until(result.exists, "done")


def test_nothing_is_left_to_reap(tmp_path: Path) -> None:
    def within(_n: int) -> bool:
        detached(tmp_path, lambda: go(tmp_path))
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)
        (tmp_path / "go").touch()
        return True

    assert in_children(1, within) == [True]


def test_work_that_raises_never_comes_back_here(tmp_path: Path) -> None:
    def raises() -> str:
        (tmp_path / "pid").write_text(str(os.getpid()), encoding="ascii")
        raise KeyboardInterrupt

    detached(tmp_path, raises)
    until((tmp_path / "pid").exists, "begun")
    until(lambda: not _lives((tmp_path / "pid").read_text(encoding="ascii")), "ended")


def test_no_process_left_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    true_fork, here = os.fork, os.getpid()

    def fork() -> int:
        if os.getpid() != here:
            raise BlockingIOError
        return true_fork()

    monkeypatch.setattr(os, "fork", fork)
    with pytest.raises(OSError, match="Resource temporarily unavailable"):
        courier.detach(lambda: None)


FAILURES = {
    "no such command": (["/nowhere/notify"], "cannot be started: No such file or directory"),
    "no program": (["/etc/passwd"], "cannot be started: Permission denied"),
    "a code": (shell("exit 33"), "exit status 33"),
    "a code, with words": (shell("echo first >&2; echo last >&2; echo; exit 34"), "exit status 34: last"),
    "no words after all": (shell("echo >&2; exit 34"), "exit status 34"),
    "hostile words": (shell(r"printf 'a\nb\033[31m\r\377c\n' >&2; exit 34"), "exit status 34: b\\x1b[31m\\r\\\\xffc"),
    "a signal": (shell("kill -9 $$"), "ended by signal 9"),
    "its own end of SIGTERM": (shell("kill -TERM $$; echo late >&2"), "ended by signal 15"),
    "none": (shell("echo all is well >&2"), ""),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_failure_is_told_in_words(tmp_path: Path, case: str) -> None:
    command, expected = FAILURES[case]
    assert why(tmp_path, command) == expected


def test_endless_words_are_cut(tmp_path: Path) -> None:
    said = why(tmp_path, shell("head -c 1000000 /dev/zero | tr '\\0' x >&2; exit 33"))
    assert said.startswith("exit status 33: xxx")
    assert len(said) < 300


@pytest.mark.parametrize(("script", "expected"), [("exit 0", ""), ('exit "$(($(wc -c) % 77))"', "exit status 33")])
def test_a_message_larger_than_a_pipe_may_be_read_or_not(tmp_path: Path, script: str, expected: str) -> None:
    assert why(tmp_path, shell(script), b"x" * (77 * 13_000 + 33)) == expected


def test_a_command_that_takes_too_long_is_killed_with_its_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "TIMEOUT_S", 5)
    pids = tmp_path / "pids"
    script = 'trap "" TERM; sleep 600 & echo $! $$ > "$1"; echo asleep >&2; wait'
    assert why(tmp_path, shell(script, str(pids))) == "killed, for it took over 5 s: asleep"
    for pid in pids.read_text(encoding="ascii").split():
        until(lambda pid=pid: not _lives(pid), "killed")  # type: ignore[misc]


@pytest.mark.parametrize(("code", "expected"), [(0, ""), (33, "exit status 33")])
def test_what_a_command_leaves_running_is_not_waited_for(tmp_path: Path, code: int, expected: str) -> None:
    script = 'while [ ! -e "$1/go" ] && [ -d "$1" ]; do sleep 0.05; done; : > "$1/late"'
    assert why(tmp_path, shell(f"({script}) & exit {code}", str(tmp_path))) == expected
    assert not (tmp_path / "late").exists()
    (tmp_path / "go").touch()
    until((tmp_path / "late").exists, "left alone")


def _lives(pid: str) -> bool:
    """Whether it runs; what has ended may still be there for its parent to see."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as source:
            return source.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
