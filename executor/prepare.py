"""`prepare`: hold the job until it is decided. This process only waits; each step of work is a fork of it.

- It starts as a failure. One line, marked below, makes it a 0, after release.json is durably there.
- A step (executor/steps.py) runs in a forked child, imports what it needs, and ends. A step that dies or fails is a
  fault of the gate: said, waited out, tried again until the deadline. A fault is never an answer.
- Another version of the gate may be installed meanwhile. A step is of one version, the one that is there then; this
  process stays what it was, so it imports all that it needs when it starts.
- It wakes when its bell is rung (gate/store/bell.py), by the deadline, by a signal, when a reminder is due, and every
  POLL_MS as a net; most wake-ups end after a glance at the few names that could be an answer, without a fork
  (executor/glance.py). It lists no directory that a person fills, crosses no mount there (gate/store/beneath.py), and
  looks for no one more often than executor/pace.py says. Two of all that wait ring the others (executor/lookout.py).
- A step that hangs is left behind (executor/forked.py). Where it hung, the next look passes over; and at the deadline,
  if a look hangs then, the step `expiring` decides without one.
- SIGTERM says that the runner has ended the wait. A death signal alone proves nothing (it comes when the parent's
  *thread* ends, prctl(2)), so it only makes us look at getppid().
"""

from __future__ import annotations

import marshal
import os
import select
import sys

from executor import forked
from executor.glance import Glance
from executor.lookout import Lookout
from executor.pace import GAP_MS, Pace
from executor.runner_contract import (
    EXEC_TIMEOUT_S,
    StageError,
    build_failure_code,
    say,
    system_failure_code,
    tell_exit_code,
)
from gate.clock import boottime_ms
from gate.model.words import duration
from gate.store import bell, heartbeat

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Sequence
    from typing import Any

    from gate.shapes import StepContext, StepName, StepResult
else:
    import _signal as signal  # what `signal` wraps: its enums bring in collections and re, half a MiB that waits

POLL_MS = 10_000
POLL_UNHEARD_MS = 1000  # where no lookout would ring
FAULT_RETRY_MS = 10_000
STEP_WITHIN_MS = 60_000
LOOK_WITHIN_MS = 10_000
LATE_LOOK_MS = 750  # with what it then takes to decide, a deadline is met within 1 s
TALK_AFTER_MS = (60_000, 120_000, 300_000, 600_000, 1_200_000, 1_800_000)
_OWN_CODE = ("executor", "gate", "audit", "config")
_OWN_PLACE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
_PR_SET_PDEATHSIG = 1
_END_OF_PROGRESS = b"\0"


class Signals:
    """What the runner has told us by signals. A forked step inherits the handlers, and sees `ended` as well."""

    def __init__(self) -> None:
        """Install the handlers; from here on no signal ends this process by itself, but SIGKILL."""
        self.ended = False
        self.parent = os.getppid()
        self.wake, wake_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_end, warn_on_full_buffer=False)
        for number in _ENDING_SIGNALS:
            signal.signal(number, self._on_end)
        signal.signal(signal.SIGUSR1, lambda _number, _frame: None)
        # A read lease on a drop that somebody opens for writing is broken by SIGIO, which would end us.
        signal.signal(signal.SIGIO, signal.SIG_IGN)
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGUSR1), 0, 0, 0)

    def _on_end(self, _number: int, _frame: object) -> None:
        self.ended = True

    def has_ended(self) -> bool:
        """Whether the runner has ended the wait. A method: it is asked again and again while a signal may come."""
        return self.ended

    def orphaned(self) -> bool:
        """Whether the runner that started us is gone."""
        return os.getppid() != self.parent

    def drain(self) -> None:
        """Read away the wake-up bytes."""
        try:
            while os.read(self.wake, 4096):
                pass
        except BlockingIOError:
            return


def prepare(config_file: str, arguments: list[str]) -> int:
    """Hold the job; returns prepare's exit code."""
    signals = Signals()
    context: StepContext = {
        "config_file": config_file,
        "prepare_timeout_s": _prepare_timeout(arguments),
        "runner_pid": signals.parent,
    }
    talk = Talk()
    result = step("opening", context, signals, STEP_WITHIN_MS)
    talk.about(result)
    if result["state"] == "waiting":
        result = Wait(result, context, signals, talk).until_over()
    if result["state"] == "failed":
        tell_exit_code(result["exit_code"])
        return build_failure_code()
    if result["state"] == "released" and os.path.exists(result["release"]):
        return 0  # The one line that lets a job through: its release is durable, and so are the records of it.
    return system_failure_code()


def _prepare_timeout(arguments: list[str]) -> int:
    from gate.model.rules import MIN_PREPARE_TIMEOUT_S

    if not arguments:
        return EXEC_TIMEOUT_S
    option, _, value = " ".join(arguments).replace("=", " ", 1).partition(" ")
    if option != "--prepare-timeout" or not (value.isascii() and value.isdigit()):
        raise StageError(
            f"prepare takes --prepare-timeout SECONDS, not {' '.join(arguments)!r}; fix prepare_args in config.toml"
        )
    if int(value) < MIN_PREPARE_TIMEOUT_S:
        raise StageError(
            f"--prepare-timeout {value} leaves no time to decide: make it at least {MIN_PREPARE_TIMEOUT_S}, and "
            "no more than"
            " prepare_exec_timeout in config.toml"
        )
    return int(value)


class Wait:
    """The wait of one attempt, from the opened request until a step says that it is over."""

    def __init__(self, opened: StepResult, context: StepContext, signals: Signals, talk: Talk) -> None:
        """`opened` is the result of the step `opening`."""
        self.now, self.context, self.signals, self.talk = opened, context, signals, talk
        self.beat = heartbeat.start_beating(opened["job_dir"], opened["attempt"])
        self.beat_ms = boottime_ms()
        self.bell = -1
        self.lookout = Lookout(os.path.dirname(opened["root"]), context["config_file"])
        self.glance = Glance()
        self.pace = Pace()
        self.seen: dict[str, frozenset[object]] = {}
        self.ours: object = None
        self.recorded: list[str] = []
        self.hung: set[str] = set()
        self.woken = False
        self.looked_ms = 0
        self.woken_ms = 0
        self.look_at_ms = 0
        self.fault = ""

    def until_over(self) -> StepResult:
        """Wait; returns the result of the last step."""
        over = None
        while not over:
            self._keep_lookout()
            over = self._turn()
            if not over:
                self._sleep()
        if self.bell >= 0:
            os.close(self.bell)
        self.lookout.leave()
        return over

    def _keep_lookout(self) -> None:
        if self.bell < 0:
            self.bell = bell.hang_up(self.now["job_dir"])
        self.lookout.take()
        why = self.lookout.why or (bell.MISSING if self.bell < 0 else "")
        if why:
            self.talk.once(why)

    def _turn(self) -> StepResult | None:
        if self.signals.orphaned():
            return self._last_step("abandoning")
        if self.signals.has_ended():
            return self._last_step("canceling")
        ours, found = self._ours(), self.glance.found(self.now)
        asking = [source for source in found if found[source] - self.seen.get(source, frozenset())]
        asking += [source for source in self.pace.later() if self.woken and source not in asking]
        self.woken = False
        if not self._due(ours, asking):
            self._remind()
            self.talk.at_intervals(self.now)
            return None
        self.ours, self.seen = ours, found
        for source in asking:
            self.pace.had(source, boottime_ms())
        return self._look()

    def _due(self, ours: object, asking: list[str]) -> bool:
        """Whether to look now; if not, `look_at_ms` is when somebody who asks for it may have it."""
        now_ms = boottime_ms()
        if ours != self.ours or now_ms >= self.now["deadline_ms"] or (self.look_at_ms and now_ms >= self.look_at_ms):
            return True
        may_ms = min([self.pace.may_at_ms(source) for source in asking], default=0)
        if asking and now_ms >= may_ms:
            return True
        self.look_at_ms = min(filter(None, (self.look_at_ms, may_ms)), default=0)
        return False

    def _look(self) -> StepResult | None:
        more: StepContext = {
            "deadline_ms": self.now["deadline_ms"],
            "recorded": self.recorded,
            "hung": sorted(self.hung),
            "overdue": self.pace.overdue(boottime_ms()),
        }
        left_ms = max(self.now["deadline_ms"] - boottime_ms(), 0)
        result = self._step("looking", more, min(LOOK_WITHIN_MS, left_ms + LATE_LOOK_MS))
        self.looked_ms = boottime_ms()
        if result["state"] == "fault":
            return self._wait_out(result, late=self.looked_ms >= self.now["deadline_ms"])
        if self.fault:
            self.talk.over(self.fault)
            self.fault = ""
        self.talk.about(result)
        if result["state"] != "waiting":
            return result
        self.now = self.now | result
        self.recorded = result.get("recorded", [])
        self.pace.not_ready(result.get("later", []), self.looked_ms)
        self.look_at_ms = self.pace.again_at_ms(self.looked_ms)
        return None

    def _step(self, name: StepName, more: StepContext, within_ms: int) -> StepResult:
        own = [each for each in (self.beat, self.bell, *self.lookout.descriptors) if each >= 0]
        beside = (self.lookout.descriptor, self.lookout.hear)
        return step(name, self.context | more, self.signals, within_ms, own, beside)

    def _wait_out(self, result: StepResult, *, late: bool) -> StepResult | None:
        """A fault of the gate while it waits: say why, keep what was answered, try again until the deadline."""
        self.fault = result["lines"][0]
        self.talk.once(f"cannot decide now: {self.fault}")
        if late and not self.signals.has_ended():
            return self._expire(result)
        self.look_at_ms = boottime_ms() + FAULT_RETRY_MS
        if result.get("hung"):
            self.hung.add(result["hung"])
            self.look_at_ms = boottime_ms()
        return None

    def _expire(self, looked: StepResult) -> StepResult:
        """The time is up, and the last look failed: decide without one."""
        result = self._step("expiring", {"why": self.fault}, STEP_WITHIN_MS)
        if result["state"] == "fault":
            say("the time is up, and the gate could not record it; nobody has said no, and nothing runs")
            return looked
        self.talk.about(result)
        return result

    def _remind(self) -> None:
        """Only where nothing is to be looked at: no answer waits for a reminder."""
        if not self.now["remind_ms"] or boottime_ms() < self.now["remind_ms"]:
            return
        about: StepContext = {"deadline_ms": self.now["deadline_ms"], "progress": self.now["progress"]}
        result = self._step("reminding", about, min(LOOK_WITHIN_MS, self.now["deadline_ms"] - boottime_ms()))
        # A fault of it is no fault of the wait, so it is not said here.
        self.now["remind_ms"] = result.get("remind_ms", boottime_ms() + FAULT_RETRY_MS)

    def _last_step(self, name: StepName) -> StepResult:
        result = self._step(name, {}, STEP_WITHIN_MS)
        self.talk.about(result)
        return result

    def _ours(self) -> object:
        """What only the gate and its operator change: gate.yaml, and a decision by a newer job or a sweep."""
        return _identity(os.path.join(self.now["job_dir"], "decision.json")), _identity(self.context["config_file"])

    def _sleep(self) -> None:
        now_ms = boottime_ms()
        poll_ms = POLL_UNHEARD_MS if self.lookout.why or self.bell < 0 else POLL_MS
        due_ms = (self.now["deadline_ms"], self.look_at_ms, self.now["remind_ms"])
        wake_ms = min(now_ms + poll_ms, *(each_ms for each_ms in due_ms if each_ms)) + 1
        # Where one thing has just happened, the next is not even heard of for a moment.
        deaf_ms = min(max(self.woken_ms, self.looked_ms) + GAP_MS, wake_ms) if self.woken_ms else 0
        if not self._told(deaf_ms, self.signals.wake):
            self._told(wake_ms, self.signals.wake, self.bell)
        self.signals.drain()
        self.woken = bell.was_rung(self.bell)
        self.woken_ms = boottime_ms() if self.woken else self.woken_ms
        self._beat()

    def _told(self, until_ms: int, *descriptors: int) -> bool:
        """Wait until then, or until one of these is ready, and keep the lookout meanwhile; whether one was."""
        poller = select.poll()
        for descriptor in (*descriptors, self.lookout.descriptor):
            if descriptor >= 0:
                poller.register(descriptor, select.POLLIN)
        while (left_ms := until_ms - boottime_ms()) > 0:
            ready = {descriptor for descriptor, _event in poller.poll(left_ms)}
            if self.lookout.descriptor in ready:
                self.lookout.hear()
            if ready.intersection(descriptors):
                return True
        return False

    def _beat(self) -> None:
        if boottime_ms() - self.beat_ms < heartbeat.BEAT_EVERY_MS:
            return
        try:
            heartbeat.write_beat(self.beat)
        except OSError as error:
            self.talk.once(f"the heartbeat cannot be written: {error.strerror}")
        self.beat_ms = boottime_ms()


class Talk:
    """What the job log says: each line once in an attempt, and a sign of life at growing intervals."""

    def __init__(self) -> None:
        """Nothing is said yet."""
        self.said: set[str] = set()
        self.started_ms = boottime_ms()
        self.signs = 0

    def once(self, line: str) -> None:
        """Say a line, unless it was said before."""
        if line not in self.said:
            self.said.add(line)
            say(line)

    def over(self, fault: str) -> None:
        """Say that a fault is fixed; it is said again, should it come back."""
        self.said.discard(f"cannot decide now: {fault}")
        say("that is fixed; the wait goes on")

    def about(self, result: StepResult) -> None:
        """Say what a step has to say."""
        for line in result["lines"]:
            self.once(line)

    def at_intervals(self, now: StepResult) -> None:
        """Say that the job still waits, when it is time for that."""
        waited_ms = boottime_ms() - self.started_ms
        index = min(self.signs, len(TALK_AFTER_MS) - 1)
        due_ms = TALK_AFTER_MS[index] + (self.signs - index) * TALK_AFTER_MS[-1]
        if waited_ms < due_ms:
            return
        self.signs += 1
        left_s = (now["deadline_ms"] - boottime_ms()) / 1000
        say(f"still waiting, {duration(waited_ms / 1000)} by now, {duration(left_s)} left: {now['progress']}")


def step(
    name: StepName,
    context: StepContext,
    signals: Signals,
    within_ms: int,
    own: Sequence[int] = (),
    beside: tuple[int, Callable[[], None]] = forked.NOTHING_BESIDE,
) -> StepResult:
    """Do one step of work in a forked child; returns its result, or state "fault" where it failed, died or hung.

    `own` are descriptors that no child keeps, such as that of the heartbeat; `beside` is what goes on meanwhile, as
    forked.read_all has it. `hung` in the result is the source that the child was at when it took longer than
    `within_ms`.
    """
    forked.reap()
    try:
        reader, writer = os.pipe2(os.O_CLOEXEC)
    except OSError as error:
        return fault(f"cannot start a process: {error.strerror}")
    try:
        child = os.fork()
    except OSError as error:
        os.close(reader)  # otherwise an hour without free processes would use up the descriptors of a job that waits
        os.close(writer)
        return fault(f"cannot start a process: {error.strerror}")
    if child == 0:
        _in_child(name, context, signals.has_ended, writer, own)
    os.close(writer)
    content, ended = forked.read_all(reader, child, within_ms, beside)
    os.close(reader)
    progress, _, content = content.partition(_END_OF_PROGRESS)
    if not ended:
        at = progress.decode().split("\n")[-2:][0]
        return fault(f"a process of the gate hung while {name}{f', at the answers of {at}' if at else ''}") | {
            "hung": at
        }
    try:
        result: StepResult = marshal.loads(content)  # noqa: S302  it needs no import, and comes from our own child
    except (EOFError, ValueError, TypeError):
        return fault(f"a process of the gate died while {name}")
    return result


def fault(why: str) -> StepResult:
    """The result of a step that could not do its work."""
    return {"state": "fault", "lines": [why]}


def _in_child(
    name: StepName, context: StepContext, interrupted: Callable[[], bool], writer: int, own: Sequence[int]
) -> None:
    """Never returns: whatever happens, the child ends here and says only what it wrote to the pipe.

    That is a line for each source that it comes to, and then the result.
    """
    try:
        forked.let_go(*own)
        context["at"] = lambda source: os.write(writer, f"{source}\n".encode())
        result: Any = _result(name, context, interrupted)  # marshal's types know no TypedDict
        content = _END_OF_PROGRESS + marshal.dumps(result)
        while content:
            content = content[os.write(writer, content) :]
    finally:
        os._exit(0)


def _result(name: StepName, context: StepContext, interrupted: Callable[[], bool]) -> StepResult:
    _forget_own_code()
    try:
        from executor import steps
        from executor.runner_contract import in_words
    except (ImportError, SyntaxError, OSError) as error:
        return fault(f"the gate's own code cannot be read; is it being upgraded? ({error})")
    try:
        result: StepResult = getattr(steps, name)(context, interrupted)
    except Exception as error:  # noqa: BLE001
        return fault(in_words(error))
    return result


def _forget_own_code() -> None:
    """Have a step import all of our code again: what this process has of it may be another version's by now."""
    for module in [each for each in sys.modules if each.partition(".")[0] in _OWN_CODE]:
        del sys.modules[module]
    for path in [each for each in sys.path_importer_cache if each.startswith(_OWN_PLACE)]:
        del sys.path_importer_cache[path]


def _identity(path: str) -> tuple[int, ...]:
    try:
        found = os.lstat(path)
    except OSError:
        return ()
    return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_nlink, found.st_uid)
