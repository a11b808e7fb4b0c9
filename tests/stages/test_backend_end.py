"""How a script under the shell backend ends: by signals, with leftovers, with its stage killed.

And who is left alone.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from executor.shell import init
from tests.stages.test_backend_run import FAILED, NOBODY, Site
from tests.stages.test_backend_run import passable as passable  # noqa: PLC0414  a fixture
from tests.stages.test_backend_run import site as site  # noqa: PLC0414  a fixture

WITHIN_S = 30.0  # against hanging; what should have been killed sleeps for longer
LIKE_THE_RUNNERS = "trap exit 1 TERM\nset -o errexit\n: | eval $'echo ready\\n{}'\nexit 0"
FOREVER = "while :; do :; done"


def wait_until(holds: Callable[[], bool], what: str, within_s: float = WITHIN_S) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.005)


def processes(mark: str) -> list[int]:
    """The pids of live processes whose environment or command line holds `mark`."""
    found = []
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            seen = Path(f"/proc/{pid}/environ").read_bytes() + Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if mark.encode() in seen and int(pid) != os.getpid():
            found.append(int(pid))
    return found


def job_processes(site: Site) -> list[int]:
    return processes(f"HOME={site.work}/home")  # so has an init that is a program of its own


def init_of(stage: "subprocess.Popen[str]") -> int:
    """The stage's only child."""
    (pid,) = Path(f"/proc/{stage.pid}/task/{stage.pid}/children").read_text().split()
    return int(pid)


def started(site: Site, text: str, ready: str = "ready") -> "subprocess.Popen[str]":
    stage = site.start(text)
    assert stage.stdout is not None
    assert stage.stdout.readline() == f"{ready}\n"
    return stage


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (LIKE_THE_RUNNERS.format(FOREVER), 128 + signal.SIGTERM),
        (LIKE_THE_RUNNERS.format("sleep 60"), 128 + signal.SIGTERM),
        (f"echo ready; {FOREVER}", 128 + signal.SIGTERM),
        (f"trap 'exit 33' TERM; echo ready; {FOREVER}", 33),
        ("trap 'exit 34' TERM; echo ready; sleep 60 & wait", 34),
    ],
)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("to_group", [True, False])
def test_signal_ends_the_script_and_its_exit_code_counts(
    site: Site, text: str, code: int, number: signal.Signals, to_group: bool
) -> None:
    stage = started(site, text)
    (os.killpg if to_group else os.kill)(stage.pid, number)
    stage.communicate(timeout=WITHIN_S)
    assert stage.returncode == code
    assert job_processes(site) == []


def test_script_gets_one_sigterm(site: Site) -> None:
    count = "n=0; trap 'n=$((n+1))' TERM; echo ready; "
    stage = started(
        site, count + "until [ $n -gt 0 ]; do :; done; for i in {1..30}; do sleep 0.01; done; exit $((33 + n))"
    )
    os.killpg(stage.pid, signal.SIGTERM)
    stage.communicate(timeout=WITHIN_S)
    assert stage.returncode == 34


def test_script_may_outlast_sigterm(site: Site) -> None:
    stage = started(site, "trap : TERM; echo ready; for i in {1..20}; do sleep 0.02; done; echo done; exit 33")
    os.killpg(stage.pid, signal.SIGTERM)
    out, _ = stage.communicate(timeout=WITHIN_S)
    assert (stage.returncode, out) == (33, "done\n")


def test_no_sigterm_is_lost_on_the_way_in(site: Site) -> None:
    # At whatever moment of the start it comes, once run_script has begun: the script does not go on for its minute.
    for delay_ms in range(0, 40, 2):
        stage = site.start("sleep 60")
        wait_until(lambda: blocks_or_catches_sigterm(stage.pid), "the stage is in run_script")  # noqa: B023
        time.sleep(delay_ms / 1000)
        os.killpg(stage.pid, signal.SIGTERM)
        stage.communicate(timeout=WITHIN_S)
        assert stage.returncode == 128 + signal.SIGTERM, f"after {delay_ms} ms"


@pytest.mark.parametrize("to_group", [True, False])
def test_sigkill_at_any_moment_of_the_start_leaves_nothing(site: Site, to_group: bool) -> None:
    for delay_ms in range(0, 40, 2):
        stage = site.start("setsid sleep 60 & sleep 60")
        wait_until(lambda: blocks_or_catches_sigterm(stage.pid), "the stage is in run_script")  # noqa: B023
        time.sleep(delay_ms / 1000)
        (os.killpg if to_group else os.kill)(stage.pid, signal.SIGKILL)
        stage.communicate(timeout=WITHIN_S)  # at the end of its output all that could write there are gone
        wait_until(lambda: job_processes(site) == [], f"dead, killed after {delay_ms} ms")


def blocks_or_catches_sigterm(pid: int) -> bool:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    masks = [int(line.split()[1], 16) for line in lines if line.startswith(("SigBlk:", "SigCgt:"))]
    return any(mask >> (signal.SIGTERM - 1) & 1 for mask in masks)


LEFTOVERS = {
    "setsid": "setsid sleep 61 & ",
    "twice removed": "setsid setsid sh -c '(sleep 61 & sleep 61 & sleep 61) & sleep 61' & ",
    "nohup": "nohup sleep 61 & disown; ",
    "deaf to SIGTERM": "setsid bash -c 'trap \"\" TERM HUP INT; sleep 61' & ",
    "stopped": "setsid sh -c 'kill -STOP $$; sleep 61' & ",
}


@pytest.mark.parametrize("kind", LEFTOVERS)
def test_leftover_is_dead_when_the_stage_ends(site: Site, kind: str) -> None:
    stage = started(site, LEFTOVERS[kind] + "sleep 0.05; echo ready; exit 33")
    stage.communicate(timeout=WITHIN_S)  # the leftover holds stdout and stderr: their end comes with its own
    assert stage.returncode == 33
    assert job_processes(site) == []


@pytest.mark.parametrize("to_group", [True, False])
@pytest.mark.parametrize("kind", LEFTOVERS)
def test_nothing_survives_a_sigkill_of_the_stage(site: Site, kind: str, to_group: bool) -> None:
    stage = started(site, LEFTOVERS[kind] + "sleep 0.05; echo ready; sleep 62")
    assert len(job_processes(site)) >= 2  # the script and what it left
    (os.killpg if to_group else os.kill)(stage.pid, signal.SIGKILL)
    stage.wait()
    wait_until(lambda: job_processes(site) == [], "the job is dead")
    assert stage.communicate(timeout=WITHIN_S)[0] == ""


def test_what_forks_and_exits_all_the_time_is_overtaken(site: Site) -> None:
    comet = (
        'import os\\nfor _ in range(40000):\\n if os.fork(): os._exit(0)\\n os.setsid()\\nopen("tmp/burnt-out", "w")'
    )
    stage = site.start(f"python3 -I -S -c $'{comet}' & while kill -0 $! 2>/dev/null; do sleep 0.01; done; exit 33")
    _, err = stage.communicate(timeout=WITHIN_S)
    assert (stage.returncode, "not found" in err) == (33, False)
    assert job_processes(site) == []
    assert not (site.work / "tmp" / "burnt-out").exists()


def test_fork_bomb_ends_with_its_script(site: Site) -> None:
    bomb = "f() { for i in 1 2 3; do sleep 61 & done; [ $1 -gt 0 ] || return; f $(($1-1)) & f $(($1-1)) & }"
    stage = site.start(f"{bomb}; f 5; exit 33")
    stage.communicate(timeout=WITHIN_S)
    assert stage.returncode == 33
    assert job_processes(site) == []


@pytest.fixture
def neighbour() -> Iterator["subprocess.Popen[bytes]"]:
    user = NOBODY.pw_uid if os.geteuid() == 0 else None
    process = subprocess.Popen(["sleep", "63"], user=user, start_new_session=True)
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("end", ["exit 33", "sleep 60"])
def test_neighbour_of_the_same_user_lives(site: Site, neighbour: "subprocess.Popen[bytes]", end: str) -> None:
    stage = started(site, f"setsid sleep 61 & echo ready; {end}")
    if end != "exit 33":
        os.killpg(stage.pid, signal.SIGKILL)
    stage.communicate(timeout=WITHIN_S)
    wait_until(lambda: job_processes(site) == [], "the job is dead")
    assert neighbour.poll() is None


def test_init_that_is_killed_leaves_the_end_unknown(site: Site) -> None:
    stage = started(site, "echo ready; sleep 60")
    os.kill(init_of(stage), signal.SIGKILL)
    if site.mode == "process_group":  # nobody is left to end the script: this is the weaker of the two modes
        for pid in job_processes(site):
            os.kill(pid, signal.SIGKILL)
    _, err = stage.communicate(timeout=WITHIN_S)
    assert stage.returncode == FAILED
    assert "its end is unknown" in err
    assert job_processes(site) == []


def test_descendants_that_cannot_be_ended_are_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(init, "END_WITHIN_S", 0.05)
    child = subprocess.Popen(["sleep", "60"], process_group=0)
    monkeypatch.setattr(os, "kill", lambda *_: None)
    monkeypatch.setattr(os, "killpg", lambda *_: None)
    with pytest.raises(init.InitError, match=f"live on after SIGKILL.*{child.pid}"):
        init.end_descendants(child.pid)
    monkeypatch.undo()
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
