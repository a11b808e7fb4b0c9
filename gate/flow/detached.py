"""Runs a command in the background: the job, the step that starts it and the runner do not wait for it.

Whatever still holds the runner's stdout holds up the stage, and whatever holds the heartbeat's descriptor keeps its
lock. So a courier is forked twice, into a session of its own, and lets go of all that it inherited before it does
anything else. It starts the command, and stays with it for TIMEOUT_S at the most.
"""

from __future__ import annotations

import errno
import os
import signal
from contextlib import suppress

from gate import TOOL_PATH
from gate.model.words import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from subprocess import Popen

TIMEOUT_S = 60
LAST_WORDS_S = 1
STDERR_KEPT_BYTES = 4096
# A courier outlives a command that reads nothing, and subprocess gives the last two back to the command by itself.
_KEPT = (signal.SIGKILL, signal.SIGSTOP, signal.SIGPIPE, signal.SIGXFSZ)


def detach(work: Callable[[], None]) -> None:
    """Have `work` done by a detached process, which holds nothing of ours; returns once that is started.

    Raises:
        OSError: it could not be started.
    """
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setsid()
            if os.fork() == 0:
                _let_go()
                work()
            code = 0
        finally:
            os._exit(code)
    with suppress(ChildProcessError):  # the process that started us ignores SIGCHLD
        if os.waitpid(child, 0)[1] != 0:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def run(command: list[str], message: bytes) -> str:
    """Run `command` in a session of its own, `message` on its stdin; in words why it failed, or "" where it did not.

    Its environment is PATH, LANG and HOME. After TIMEOUT_S its process group is killed. For a process that has been
    detached only: it starts threads, and leaves them.
    """
    import subprocess

    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(command, stdin=pipe, stdout=subprocess.DEVNULL, stderr=pipe, cwd="/",
                                   env=_environment(), start_new_session=True)  # fmt: skip
    except OSError as error:
        return f"cannot be started: {error.strerror}"
    last_words = _attend(process, message)
    try:
        status = process.wait(TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return f"killed, for it took over {TIMEOUT_S} s{last_words()}"
    if status == 0:
        return ""
    return (f"exit status {status}" if status > 0 else f"ended by signal {-status}") + last_words()


def _let_go() -> None:
    """Detach this process: default signals, no descriptor but /dev/null, no directory of the runner's."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - set(_KEPT):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # that of the listing itself
            os.close(int(descriptor))
    null = os.open("/dev/null", os.O_RDWR)  # 0, the lowest that is free
    os.dup2(null, 1)
    os.dup2(null, 2)
    os.chdir("/")


def _environment() -> dict[str, str]:
    """Nothing of the runner's, where the job's variables are, nor of the gate's own."""
    import pwd

    try:
        home = pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        home = "/"
    return {"PATH": TOOL_PATH, "LANG": "C.UTF-8", "HOME": home}


def _attend(process: Popen[bytes], message: bytes) -> Callable[[], str]:
    """Feed the command, and listen, in threads: it may do neither, and what it leaves running may hold its stderr."""
    from threading import Thread

    said: list[bytes] = [b""]
    listener = Thread(target=_listen, args=(process, said), daemon=True)
    for thread in (listener, Thread(target=_feed, args=(process, message), daemon=True)):
        thread.start()

    def last_words() -> str:
        listener.join(LAST_WORDS_S)
        line = said[0].decode(errors="backslashreplace").strip().rpartition("\n")[2]
        return f": {shown(line)}" if line else ""

    return last_words


def _feed(process: Popen[bytes], message: bytes) -> None:
    assert process.stdin  # noqa: S101
    with suppress(BrokenPipeError), process.stdin as pipe:
        pipe.write(message)


def _listen(process: Popen[bytes], said: list[bytes]) -> None:
    assert process.stderr  # noqa: S101
    while part := os.read(process.stderr.fileno(), STDERR_KEPT_BYTES):
        said[0] = (said[0] + part)[-STDERR_KEPT_BYTES:]
