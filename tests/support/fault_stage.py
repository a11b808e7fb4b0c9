"""Many stages of one process, for a test that runs it under `strace -f -e inject=CALL:…:when=STRUCK`.

strace counts each process's calls from its birth. So whichever process is to be struck, at whichever of its calls,
first makes as many calls to no purpose as are missing; no other makes as many, and one strace serves a whole list of
cases.

With the call number BY_ALARM a process is ended by a signal instead, so many microseconds after its birth, and no
strace is needed.

`struck_stage.py CALL_NUMBER CONFIG MODULES`, and on stdin a line for each stage: STAGE, TARGET, IDLE_CALLS, LOG, then
NAME=VALUE of its environment, between tabs. STAGE is prepare, cleanup, or a step of prepare alone, as `step looking`.
TARGET is whom to strike: a step's name, `itself` for the stage's own process, or `-`. Says the exit code.

The stages are forks of this process, which has imported what a waiting one has, and MODULES, with commas. Without these
a step imports all that it needs, as it really does; with them a case is quicker, where the calls of importing are not
its subject.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from executor import main, prepare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MARK = b"from here on"  # a write to nowhere: shows in strace's record before the first call that counts
BY_ALARM = -1
SLEEPS = ".sleeps"
RETRY_MS, POLL_MS = 20, 200
GIVE_UP_S = 120
ITS_OWN_IMPORTS = (
    "gate.model.rules",
    "gate.model.seating",
    "gate.model.words",
)  # what the waiting process imports when it needs it
STEP_DONE, STEP_FAULT = 43, 44
LIBC = ctypes.CDLL(None)


def come_to_be_struck(number: int, idle_calls: int) -> None:
    """Make that many calls, which fail and do nothing."""
    if number == BY_ALARM:
        signal.setitimer(signal.ITIMER_REAL, idle_calls / 1_000_000)  # SIGALRM, which nobody handles, ends it
        return
    LIBC.write(-1, MARK, len(MARK))
    for _ in range(idle_calls):
        LIBC.syscall(number, -1, -1, -1, -1, -1, -1)


def strike_in(target: str, number: int, idle_calls: int) -> None:
    """Have the first step of that name come to be struck, as soon as it is born."""
    left, here = [target], list[str]()
    step, in_child = prepare.step, prepare._in_child

    def stepping(name: Any, *rest: Any) -> Any:
        here[:] = [name] if name in left else []
        left[:] = [each for each in left if each != name]
        return step(name, *rest)

    def being_born(name: Any, *rest: Any) -> None:
        if here:
            come_to_be_struck(number, idle_calls)
        in_child(name, *rest)

    prepare.step, prepare._in_child = stepping, being_born  # type: ignore[assignment]


def tell_of_sleep(mark: str) -> None:
    """Leave a mark when the waiting process has looked and goes to sleep; by a call that it does not make itself."""
    sleep = prepare.Wait._sleep

    def sleeping(wait: prepare.Wait) -> None:
        if not os.path.lexists(mark):
            os.symlink("sleeps", mark)
        sleep(wait)

    prepare.Wait._sleep = sleeping  # type: ignore[method-assign,assignment]


def one_step(name: Any, config: str) -> int:
    """One step of prepare, without the wait around it."""
    context: Any = {"config_file": config, "prepare_timeout_s": 3600, "runner_pid": os.getppid(), "deadline_ms": 2**60}
    result = prepare.step(name, context, prepare.Signals(), prepare.STEP_WITHIN_MS)
    for line in result["lines"]:
        print("gate:", line, flush=True)
    return STEP_FAULT if result["state"] == "fault" else STEP_DONE


def be(number: int, config: str, words: list[str]) -> None:
    """Be one stage; never returns."""
    stage, target, idle_calls, log, *environment = words
    signal.alarm(GIVE_UP_S)
    said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for descriptor in (1, 2):
        os.dup2(said, descriptor)
    for pair in environment:
        name, _, value = pair.partition("=")
        os.environ[name] = value
    prepare.FAULT_RETRY_MS, prepare.POLL_MS = RETRY_MS, POLL_MS
    tell_of_sleep(log + SLEEPS)
    if target == "itself":
        for module in ITS_OWN_IMPORTS:
            sys.modules.pop(module, None)
        come_to_be_struck(number, int(idle_calls))
    else:
        strike_in(target, number, int(idle_calls))
    if stage.startswith("step "):
        os._exit(one_step(stage.removeprefix("step "), config))
    main.main(["--config", config, stage])


if __name__ == "__main__":
    if sys.argv[3]:
        for module in sys.argv[3].split(","):
            importlib.import_module(module)
        prepare._forget_own_code = lambda: None
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            be(int(sys.argv[1]), sys.argv[2], line.rstrip("\n").split("\t"))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
