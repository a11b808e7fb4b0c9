"""Pid 1 of a job's namespace: what it has of the stage that it is a fork of, and who can read that (threats T13)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from executor.shell import backend, supervise
from tests.stages.test_backend_end import WITHIN_S, init_of, started, wait_until
from tests.stages.test_backend_run import CHECKOUT, STAGE, Site, policy, skip_without_root
from tests.stages.test_backend_run import passable as passable  # noqa: PLC0414  a fixture

NAMESPACE = "pid_namespace"
CANARY = "sings-in-the-mine"  # in the environment of each stage of Site
SAME_USER = {"uid": 0, "gid": 0, "run_as": None, "home": "/root", "allow_same_user": True}
READ_PID_1 = """
for file in environ mem maps auxv stack syscall personality; do cat /proc/1/$file >/dev/null && echo read $file; done
ls /proc/1/fd /proc/1/map_files && echo listed
/usr/bin/python3 -I -S -c "$ATTACH" && echo attached
exit 33
"""
ATTACH = "import ctypes, sys; sys.exit(ctypes.CDLL(None).ptrace(16, 1, None, None) != 0)"  # PTRACE_ATTACH
# Whether the memory of pid 1 has the word, which is not on its own command line as a whole.
SEARCH_PID_1 = """
import re
word, found = b"sings-in-" + b"the-mine", False
with open("/proc/1/maps") as maps, open("/proc/1/mem", "rb", 0) as memory:
    for line in maps:
        start, end, mode = re.match(r"([0-9a-f]+)-([0-9a-f]+) (r?)", line).groups()
        if mode and "[v" not in line:
            memory.seek(int(start, 16))
            found = found or word in memory.read(int(end, 16) - int(start, 16))
print("found" if found else "clean")
"""


def pipes(pid: int) -> dict[str, list[int]]:
    """The descriptors of each pipe that a process can write to, but for its standard output."""
    found: dict[str, list[int]] = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        flags = next(line for line in Path(f"/proc/{pid}/fdinfo/{name}").read_text().splitlines() if "flags" in line)
        if int(name) > 2 and int(flags.split()[1], 8) & os.O_ACCMODE == os.O_WRONLY:
            found.setdefault(os.readlink(f"/proc/{pid}/fd/{name}"), []).append(int(name))
    return found


def files(pid: int) -> list[str]:
    """What a process holds but for pipes and directories."""
    held = [os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")]
    return [name for name in held if not (name.startswith("pipe:") or os.path.isdir(name))]


def test_pid_1_holds_no_descriptor_of_the_stage(passable: Path) -> None:
    site, leaked = Site(passable, NAMESPACE), os.open("/etc/passwd", os.O_RDONLY)
    stage = site.start("echo ready; sleep 60", pass_fds=(leaked,))
    os.close(leaked)
    assert stage.stdout is not None
    assert stage.stdout.readline() == "ready\n"
    init = init_of(stage)
    wait_until(lambda: not any("memfd" in name for name in files(init)), "it has closed the script, too")
    assert files(init) == ["/dev/null"]
    assert "/etc/passwd" in files(stage.pid)
    # The stage's end of the control pipe: with it held here, the end of the stage would not be seen.
    assert pipes(init).keys() & pipes(stage.pid).keys() == set()
    stage.kill()
    stage.communicate(timeout=WITHIN_S)


def test_pid_1_forgets_the_environment_of_the_stage(passable: Path) -> None:
    stage = started(Site(passable, NAMESPACE), "echo ready; sleep 60")
    assert CANARY.encode() in Path(f"/proc/{stage.pid}/environ").read_bytes()
    assert Path(f"/proc/{init_of(stage)}/environ").read_bytes().strip(b"\0") == b""
    stage.kill()
    stage.communicate(timeout=WITHIN_S)


def test_fork_leaves_no_core_and_can_be_read_by_nobody_of_its_own_user() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(CHECKOUT)!r})\n"
        "import ctypes, os\nfrom executor.shell import init\ninit._hide()\n"
        "print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), os.environ, open('/proc/self/environ').read().strip(chr(0)))"
    )
    command = [sys.executable, "-I", "-S", "-c", code]
    done = subprocess.run(command, env={"A": "b"}, capture_output=True, text=True, check=True)
    assert done.stdout == "0 environ({}) \n"


def test_job_can_neither_read_nor_trace_pid_1(passable: Path) -> None:
    site = Site(passable, NAMESPACE)
    code, out = site.run(READ_PID_1, {"ATTACH": ATTACH})
    assert code == 33
    assert [line for line in out.splitlines() if line.startswith(("read", "listed", "attached"))] == []


@pytest.mark.parametrize("changes", [SAME_USER, {"no_new_privileges": False, **SAME_USER}])
def test_job_that_can_read_pid_1_finds_nothing_of_the_stage(passable: Path, changes: dict[str, object]) -> None:
    """It is a program of its own there; a fork would have the stage's environment in its memory."""
    skip_without_root()
    site = Site(passable, NAMESPACE, **changes)
    code, out = site.run('/usr/bin/python3 -I -S -c "$SEARCH"', {"SEARCH": SEARCH_PID_1})
    assert (code, out) == (0, "clean\n")


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, supervise.FORK),
        ({"no_new_privileges": False}, supervise.PROGRAM),
        (SAME_USER, supervise.PROGRAM),
        ({"isolate": "process_group"}, supervise.GROUP),
    ],
)
def test_pid_1_is_a_fork_only_where_its_job_gains_nothing(changes: dict[str, object], kind: str) -> None:
    skip_without_root("a second user")
    assert backend._kind(policy(NAMESPACE, **changes)) == kind


@pytest.mark.parametrize("changes", [{}, {"no_new_privileges": False}])
def test_namespace_that_cannot_be_made_is_said_and_is_never_the_scripts_exit_code(
    passable: Path, changes: dict[str, object]
) -> None:
    site = Site(passable, NAMESPACE, **changes)
    arguments = json.dumps([site.policy, site.script("exit 33"), str(site.work), str(site.cache), {}])
    checked = STAGE.replace("try:\n", "print(backend.check(json.loads(sys.argv[2])[0]), flush=True)\ntry:\n")
    without = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-all", sys.executable, "-I", "-S", "-c", checked]
    done = subprocess.run([*without, str(CHECKOUT), arguments], capture_output=True, text=True, check=False)
    why = "no process-id namespace can be made here: Operation not permitted"
    assert done.returncode == 222
    assert why in done.stderr
    assert why in done.stdout
    assert "isolate: process_group" in done.stdout
