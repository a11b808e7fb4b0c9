"""One call of a driver, as the runner makes it.

The driver leads a process group of its own, has /dev/null as stdin and two pipes as stdout and stderr. The call is over
when the driver has exited *and* both pipes are closed, so a child that keeps one open holds it up. When its context is
done, the group gets SIGTERM, then SIGKILL; the driver's own exit code still counts.
"""

from __future__ import annotations

import dataclasses
import os
import select
import signal
import subprocess
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Protocol, Self

from executor.rehearsal.errors import BuildError, DriverError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import IO

BUILD_FAILURE_EXIT_CODE = 1
SYSTEM_FAILURE_EXIT_CODE = 2
_CHUNK = 65536


class Sink(Protocol):
    """Where one stream of a driver goes."""

    def feed(self, data: bytes) -> None: ...

    def close(self) -> None: ...


@dataclasses.dataclass(frozen=True)
class Context:
    """Until when something may run: a deadline (time.monotonic(), seconds), and what turns readable for a stop."""

    deadline: float
    stops: tuple[int, ...] = ()

    def within(self, seconds: float) -> Context:
        return dataclasses.replace(self, deadline=min(self.deadline, time.monotonic() + seconds))

    @property
    def is_late(self) -> bool:
        return time.monotonic() >= self.deadline

    @property
    def is_stopped(self) -> bool:
        return bool(select.select(self.stops, [], [], 0)[0])

    @property
    def is_done(self) -> bool:
        return self.is_late or self.is_stopped


@dataclasses.dataclass(frozen=True)
class Call:
    """A driver's command line, and how long (seconds) it may take to end after SIGTERM, then after SIGKILL."""

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str
    code_file: str
    graceful_s: float
    force_s: float


def call(driver: Call, context: Context, stdout: Sink, stderr: Sink) -> None:
    """Runs one stage.

    Raises:
        BuildError: it exited BUILD_FAILURE_EXIT_CODE; the code is what its code file says.
        DriverError: it could not be started, would not end, or exited with anything else that is not 0.
    """
    with ExitStack() as stack:
        for sink in (stdout, stderr):
            stack.callback(sink.close)
        try:
            process = _start(driver)
        except (OSError, ValueError) as error:
            raise DriverError(f"failed to start command: {error}") from error
        running = stack.enter_context(_Running(process, stdout, stderr))
        _end(running, driver, context)
    _judge(process.returncode, driver.code_file)


def _start(driver: Call) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        driver.argv,
        env=driver.env,
        cwd=driver.cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        process_group=0,
        bufsize=0,
    )


def _end(running: _Running, driver: Call, context: Context) -> None:
    if running.wait(context):
        return
    _signal_group(running.pid, signal.SIGTERM)
    if running.wait(_only(driver.graceful_s)):
        return
    _signal_group(running.pid, signal.SIGKILL)
    if not running.wait(_only(driver.force_s)):
        raise DriverError(f"failed to kill process PID={running.pid}, likely process is dormant")


def _only(seconds: float) -> Context:
    return Context(time.monotonic() + seconds)


def _signal_group(pid: int, sig: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # the driver is gone, and what holds its pipes has left the group
        os.killpg(pid, sig)


class _Running:
    """Waits for a process and the end of both its pipes, in one loop and without threads."""

    def __init__(self, process: subprocess.Popen[bytes], stdout: Sink, stderr: Sink) -> None:
        self.pid = process.pid
        self._process = process
        self._pidfd = os.pidfd_open(process.pid)
        self._pipes = {_fd(process.stdout): stdout, _fd(process.stderr): stderr}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._pidfd)
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe:
                pipe.close()

    def wait(self, context: Context) -> bool:
        """Whether the call was over before the context was done."""
        while self._process.returncode is None or self._pipes:
            exits = [] if self._process.returncode is not None else [self._pidfd]
            timeout = max(0, context.deadline - time.monotonic())
            ready, _, _ = select.select([*self._pipes, *exits, *context.stops], [], [], timeout)
            if not ready or not set(ready).isdisjoint(context.stops):
                return False
            for fd in ready:
                self._take(fd)
        return True

    def _take(self, fd: int) -> None:
        if fd == self._pidfd:
            self._process.poll()
        elif data := os.read(fd, _CHUNK):
            self._pipes[fd].feed(data)
        else:
            del self._pipes[fd]


def _fd(pipe: IO[bytes] | None) -> int:
    if pipe is None:  # never: both are asked for
        raise DriverError("no pipe")
    return pipe.fileno()


def _judge(returncode: int, code_file: str) -> None:
    if returncode == 0:
        return
    ending = f"exit status {returncode}" if returncode > 0 else f"signal: {_signal_name(-returncode)}"
    if returncode == BUILD_FAILURE_EXIT_CODE:
        _fail_build(code_file, ending)
    if returncode == SYSTEM_FAILURE_EXIT_CODE:
        raise DriverError(ending)
    raise _unknown(max(returncode, -1), ending)


def _fail_build(code_file: str, ending: str) -> None:
    try:
        with open(code_file, encoding="utf-8", errors="replace") as file:
            line = file.readline().rstrip("\r\n")
    except OSError:
        raise BuildError(ending, exit_code=BUILD_FAILURE_EXIT_CODE) from None
    try:
        code = int(line) if line == line.strip() and "_" not in line else None
    except ValueError:
        code = None
    if code is None:
        raise _unknown(SYSTEM_FAILURE_EXIT_CODE, ending)
    raise BuildError(f"exit status {line}", exit_code=code)


def _unknown(code: int, ending: str) -> DriverError:
    return DriverError(
        f"unknown Custom executor executable exit code {code}; executable execution terminated with: {ending}"
    )


def _signal_name(number: int) -> str:
    return (signal.strsignal(number) or str(number)).lower()
