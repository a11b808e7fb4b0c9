"""Runs one script and outlives everything that it starts: a fork of the stage, or this file under `python -I -S`.

As pid 1 of a process-id namespace it reaps, passes SIGTERM on, and takes the rest of the namespace with it when it
exits. Without a namespace (`process_group`) it is a child subreaper in a session of its own, and ends what descends
from it itself.

`-I` leaves no path to our packages; in a namespace it is given one, last, for what makes namespace and view alone.
Words on the command line: `namespace` or `group`; the numbers of three inherited descriptors (control, stderr, script);
the job's tree, its cache, gate.yaml's home and its user's, its cgroups' directories with ':' between them, the last
three maybe empty; the command. What it has to say goes to the descriptor that it was given as stderr, as the last thing
there: NUL, then `exit <0..255>` or `fault <text>`.
"""

import errno
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal  # what `signal` wraps: its enums alone cost 4 ms, half of Python's own start

ENDING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
END_WITHIN_S = 10.0
JOB_UMASK = 0o022
_PR_SET_DUMPABLE, _PR_SET_CHILD_SUBREAPER = 4, 36  # prctl(2)
_ENVIRONMENT = (50, 51)  # proc_pid_stat(5): env_start and env_end, of the fields counted from 1
_KEYCTL_JOIN_SESSION_KEYRING = 1  # keyctl(2); glibc has no function for it, so it goes by its number
_KEYCTL_NUMBERS = {"x86_64": 250, "aarch64": 219, "riscv64": 219, "loongarch64": 219, "ppc64le": 271, "s390x": 280}
_COMM_LENGTH = 15  # proc_pid_comm(5)
_OOM_NEVER = "-1000"  # proc_pid_oom_score_adj(5)


class InitError(Exception):
    """The script could not be run or ended; one plain line."""


class StageGoneError(InitError):
    """The stage that started us has ended: its end of the control pipe is closed."""


def main_of_fork(words: list[str], environment: dict[str, str]) -> None:
    """As `main`, in a fork of R's stage; its job is another user's without privileges, and can read nothing of it."""
    _hide()
    main(words, environment)


def main(words: list[str], environment: dict[str, str]) -> None:
    """Run the script that `words` describe with that environment, report how it ended, and end this process."""
    report = os.dup(2)  # not inheritable: the job must not be able to speak for us
    try:
        said = f"exit {_run(words, environment, report)}"
    except BaseException as fault:  # noqa: BLE001  whatever it is, the stage must hear of it
        said = f"fault {fault if isinstance(fault, InitError) else repr(fault)}"
    try:
        os.write(report, b"\0" + said.encode(errors="backslashreplace"))
    finally:
        os._exit(0)


def _run(words: list[str], environment: dict[str, str], report: int) -> int:
    isolate, control, stderr, script, work_dir, cache_dir, named_home, own_home, cgroups, *command = words
    os.dup2(int(stderr), 2)
    close_all_but({0, 1, 2, report, int(control), int(script)})
    os.set_inheritable(int(control), False)
    os.umask(JOB_UMASK)
    _join_new_keyring()
    _enter_cgroups(cgroups)
    if isolate == "group":
        _become_subreaper()
    else:
        _enter_namespace()
        _make_view(work_dir, cache_dir, named_home, own_home)
    _enter(work_dir)
    wake = _catch_signals()
    child = _start(command, environment)
    _spare_from_oom()
    os.close(int(script))
    try:
        return _wait(child, command, int(control), wake)
    finally:
        if isolate == "group":
            end_descendants(child)


def _enter_cgroups(directories: str) -> None:
    for directory in filter(None, directories.split(":")):
        try:
            procs = os.open(f"{directory}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(procs, b"0")  # itself, in whatever process-id namespace
            finally:
                os.close(procs)
        except OSError as fault:
            raise InitError(f"cannot enter the cgroup {directory!r}: {fault.strerror}") from fault


def _hide() -> None:
    """Be read by root alone, leave no core file, and forget the environment, the one in /proc/<pid>/environ too."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise InitError(f"cannot hide its memory: {os.strerror(ctypes.get_errno())}")
    os.environ.clear()
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    start, end = (int(fields[number - 3]) for number in _ENVIRONMENT)
    ctypes.memset(start, 0, end - start)


def _enter_namespace() -> None:
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    from executor.shell import namespaces

    try:
        namespaces.enter()
    except OSError as fault:
        raise InitError(fault.strerror) from fault


def _make_view(work_dir: str, cache_dir: str, named_home: str, own_home: str) -> None:
    from executor.shell.view import View

    try:
        View(work_dir, cache_dir, named_home, own_home).make()
    except OSError as fault:
        place = fault.filename or work_dir
        raise InitError(f"cannot give the job files of its own: {fault.strerror}: {place!r}") from fault


def _join_new_keyring() -> None:
    # keyctl(2): otherwise all jobs of one runner would possess the session keyring that it was started with.
    import ctypes

    number = _KEYCTL_NUMBERS.get(os.uname().machine)
    if number is None:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    joined = libc.syscall(ctypes.c_long(number), ctypes.c_long(_KEYCTL_JOIN_SESSION_KEYRING), None)
    if joined < 0 and ctypes.get_errno() not in (errno.ENOSYS, errno.EPERM):  # no keys here, for the job neither
        raise InitError(f"cannot join a new session keyring: {os.strerror(ctypes.get_errno())}")


def _enter(work_dir: str) -> None:
    try:
        os.chdir(work_dir)
    except OSError as fault:
        raise InitError(f"cannot enter {work_dir!r}: {fault.strerror}") from fault


def close_all_but(wanted: set[int]) -> None:
    """Close every descriptor that is not in `wanted`, such as one the runner forgot to mark close-on-exec."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in wanted:
            try:
                os.close(int(name))
            except OSError:  # the one that listdir itself used
                continue


def _become_subreaper() -> None:
    # Orphans then come to us rather than to the host's init, so that none of them is ever out of our tree.
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise InitError(f"cannot become a child subreaper: {os.strerror(ctypes.get_errno())}")


def _catch_signals() -> int:
    # The stage blocked these signals before it started us, so none was lost on the way: what came is delivered here.
    # Each leaves its number as a byte in the pipe, from C, so no signal falls between looking and going to sleep.
    wake, wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    for number in (*ENDING, signal.SIGCHLD):
        signal.signal(number, lambda _number, _frame: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
    return wake


def _start(command: list[str], environment: dict[str, str]) -> int:
    # A session of its own: SIGTERM can be sent to all of it and to nothing else. Python ignores SIGPIPE, and what is
    # ignored when a shell starts cannot be trapped in it: everything goes back to its default.
    default = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
    try:
        return os.posix_spawn(command[0], command, environment, setsid=True, setsigmask=(), setsigdef=default)
    except OSError as fault:
        raise InitError(f"cannot start {command[0]}: {fault.strerror}") from fault


def _spare_from_oom() -> None:
    # Where a job's cgroup is out of memory, the kernel ends the largest process in it: never this one, whose end would
    # take the rest along, and look like a fault of the host. Not before the script has started, which would inherit it.
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write(_OOM_NEVER)
    except OSError:  # without CAP_SYS_RESOURCE: then it takes its chance, being small
        return


def _wait(script: int, command: list[str], control: int, wake: int) -> int:
    import select

    poller = select.poll()
    poller.register(control, select.POLLIN)
    poller.register(wake, select.POLLIN)
    passed_on = False
    while True:
        code = _ended(script, command)
        if code is not None:
            return code
        for descriptor, _ in poller.poll():
            signals = os.read(descriptor, 512)
            if not signals:
                raise StageGoneError("the stage has gone")
            # Sent to the group, a signal reaches us and the stage, which passes it on too: the script gets one SIGTERM.
            if not passed_on and not ENDING.isdisjoint(signals):
                passed_on = True
                os.killpg(script, signal.SIGTERM)


def _ended(script: int, command: list[str]) -> int | None:
    # Reaps all but the script: while that stays a zombie, its number is still the number of its process group.
    while True:
        dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if dead is None:
            return None
        if dead.si_pid == script:
            if dead.si_code != os.CLD_EXITED:
                return 128 + dead.si_status
            _look_for_failed_start(script, command, dead.si_status)
            return dead.si_status
        os.waitpid(dead.si_pid, 0)


def _look_for_failed_start(script: int, command: list[str], status: int) -> None:
    # setpriv exits 1, 126 or 127 when it fails, and so do scripts. A zombie keeps the name of the last program that it
    # was.
    with open(f"/proc/{script}/comm", "rb") as file:
        name = file.read().rstrip(b"\n")
    first = os.path.basename(command[0])[:_COMM_LENGTH]
    if status != 0 and name == first.encode():
        raise InitError(f"{first} could not start the script (exit code {status}): it said why on stderr")


def end_descendants(script: int) -> None:
    """SIGKILL and reap every process that descends from this one; raises InitError if some live on after END_WITHIN_S.

    Only children of our own are ever signalled, one generation after the other: until we reap it, a child's number
    cannot come to mean a neighbour's process, as a grandchild's can between looking and killing. What a killed child
    leaves behind becomes ours. A child forked meanwhile is ours too once its parent is dead, so the next round finds
    it, and ECHILD, not an empty list, says that nothing is left (the kernel's list may miss some while others exit).
    """
    # First the script's own group: the kernel lets no member fork out of a group signal, so a fork bomb ends here.
    # The script is alive or a zombie of ours; either way the number is still its own.
    os.killpg(script, signal.SIGKILL)
    deadline = time.monotonic() + END_WITHIN_S
    pause_s = 0.0
    while True:
        for pid in children():
            os.kill(pid, signal.SIGKILL)
        if not _reap():
            return
        if time.monotonic() > deadline:
            raise InitError(f"processes of the job live on after SIGKILL: {children()}")
        time.sleep(pause_s)  # no pause at first: something that forks and exits all the time must be overtaken
        pause_s = min(pause_s + 0.0002, 0.02)


def _reap() -> bool:
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        return False
    return True


def children(proc: str = "/proc") -> list[int]:
    """The pids of our own children, zombies included; where the kernel keeps no list of them, from every stat file."""
    try:
        with open(f"{proc}/thread-self/children", "rb") as file:
            return [int(pid) for pid in file.read().split()]
    except FileNotFoundError:
        return [pid for pid in map(int, filter(str.isdecimal, os.listdir(proc))) if _parent(proc, pid) == os.getpid()]


def _parent(proc: str, pid: int) -> int | None:
    try:
        with open(f"{proc}/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])  # the name before it may hold anything
    except OSError:
        return None


if __name__ == "__main__":
    main(sys.argv[1:], dict(os.environ))
