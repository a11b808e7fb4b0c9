"""The stage's side of `executor/shell/init.py`: starts it, passes signals on to it, and hears how the script ended."""

from __future__ import annotations

import os
import sys

from executor.shell import namespaces

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from types import FrameType
    from typing import NoReturn, Self
else:
    import _signal as signal  # what `signal` wraps: its enums alone cost 4 ms

# How init stands apart: pid 1 of a namespace, as a fork of the stage or a program of its own; or, without a namespace,
# a program in a session of its own. A fork costs half as much, and has the memory of R's stage (docs/adr/0038-fork.md).
FORK, PROGRAM, GROUP = "fork", "program", "group"
_INIT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "init.py")
_PROGRAM = (sys.executable, "-I", "-S", _INIT)
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_LONGEST_REPORT = 4096


def run_under_init(
    kind: str, script: int, places: list[str], command: list[str], env: dict[str, str]
) -> tuple[bytes, int]:
    """Run `command` under init, and wait for the end of both.

    `kind` is how init stands apart: FORK, PROGRAM or GROUP. `places` are the job's tree, its cache, gate.yaml's home
    and its user's, its cgroups. Returns the end of what they said (init.py's docstring has its form) and the wait
    status. `script` is the one descriptor that the command gets beside 0, 1 and 2. Raises OSError or ValueError if
    nothing could be started.
    """
    for standard in (0, 1, 2):
        os.fstat(standard)  # were one closed, a pipe of ours would take its number
    control, control_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    report, report_write = os.pipe2(os.O_CLOEXEC)
    stderr = os.dup(2)
    words = ["group" if kind == GROUP else "namespace", str(control), str(stderr), str(script), *places, *command]
    try:
        with _SignalsAsBytes(control_write) as signals:
            try:
                for descriptor in (control, stderr, script):
                    os.set_inheritable(descriptor, True)
                child = _start_init(kind, words, env, report_write)
            finally:
                _close(report_write, stderr)
            signals.let_in()
            said = _read_to_end(report)
            return said, _status(child)  # where init is pid 1, its end is that of all in its namespace
    finally:
        _close(control, control_write, report)


def _start_init(kind: str, words: list[str], env: dict[str, str], report: int) -> int:
    if kind == GROUP:
        return _spawn([*_PROGRAM, *words], env, report, own_session=True)
    return _fork_apart(report, lambda: _be_init(kind, words, env))


def _be_init(kind: str, words: list[str], env: dict[str, str]) -> None:
    if kind == PROGRAM:
        os.execve(_PROGRAM[0], [*_PROGRAM, *words], env)  # noqa: S606
    from executor.shell import init

    init.main_of_fork(words, env)


def _fork_apart(report: int, work: Callable[[], object]) -> int:
    """Have `work` done by a child that is pid 1 of a new namespace, with nothing as stdin, and `report` as stderr."""
    own = namespaces.split_children()
    try:
        child = os.fork()
        if child == 0:
            _in_child(report, work)
        return child
    finally:
        namespaces.rejoin_children(own)


def _in_child(report: int, work: Callable[[], object]) -> NoReturn:
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.pthread_sigmask(signal.SIG_SETMASK, _ENDING)  # held back, as in _spawn
        os.dup2(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC), 0)
        os.dup2(report, 2)
        work()
        code = 0
    except BaseException as fault:  # noqa: BLE001  whatever it is, the stage must hear of it
        why = fault.strerror if isinstance(fault, OSError) else str(fault)
        os.write(report, str(why).encode(errors="backslashreplace"))
    finally:
        os._exit(code)


def why_no_namespace() -> str | None:
    """Why no init could be pid 1 of a namespace here, or None; really makes one."""
    report, report_write = os.pipe2(os.O_CLOEXEC)
    try:
        try:
            child = _fork_apart(report_write, namespaces.enter)
        finally:
            _close(report_write)
        return _why_failed("a process in a new namespace", _read_to_end(report), _status(child))
    finally:
        _close(report)


def reason_of_failure(argv: list[str]) -> str | None:
    """Run a harmless command; what it said on stderr if it failed, else None.

    Raises OSError if it cannot be started.
    """
    report, report_write = os.pipe2(os.O_CLOEXEC)
    try:
        try:
            child = _spawn(argv, {"LANG": "C"}, report_write, own_session=False)
        finally:
            _close(report_write)
        return _why_failed(argv[0], _read_to_end(report), _status(child))
    finally:
        _close(report)


def _why_failed(what: str, said: bytes, status: int) -> str | None:
    return None if status == 0 else last_line(said) or f"{what} ended with wait status {status}"


def last_line(said: bytes) -> str:
    """The last line of a tool's or a traceback's output: that is where the reason stands."""
    lines = said.decode(errors="backslashreplace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


class _SignalsAsBytes:
    """While entered, SIGTERM, SIGINT and SIGHUP do nothing but go into a pipe, as bytes, once they are let in.

    Python's wakeup descriptor does that from C, at once, even while this thread is blocked in read().
    """

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def __enter__(self) -> Self:
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
        self._handlers = [(number, signal.signal(number, _do_nothing)) for number in _ENDING]
        self._wakeup = signal.set_wakeup_fd(self._pipe, warn_on_full_buffer=False)
        return self

    def let_in(self) -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._handlers:
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)


def _do_nothing(_number: int, _frame: FrameType | None) -> None:
    pass


def _spawn(argv: list[str], env: dict[str, str], stderr: int, own_session: bool) -> int:
    # The signals are held back until init has its handlers: none is lost.
    # What a Python that does not start writes to its stderr is the reason that people need to see.
    return os.posix_spawn(
        argv[0],
        argv,
        env,
        file_actions=[(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0), (os.POSIX_SPAWN_DUP2, stderr, 2)],
        setsid=own_session,
        setsigmask=_ENDING,
        setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
    )


def _read_to_end(pipe: int) -> bytes:
    said = b""
    while part := os.read(pipe, _LONGEST_REPORT):
        said = (said + part)[-_LONGEST_REPORT:]
    return said


def _status(child: int) -> int:
    try:
        return os.waitpid(child, 0)[1]
    except ChildProcessError:  # the process that started us ignores SIGCHLD
        return 0


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
