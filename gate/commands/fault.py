"""What goes wrong at the command line: a class for each kind, with its exit code and its words."""

from __future__ import annotations

from gate.errors import GateError

PREFIX = "gate: "
INTERRUPTED = 130
UNREAD = 141  # as of a process that SIGPIPE ended


class CommandError(GateError):
    """What was asked cannot be done; the message is for people."""

    kind = "failed"
    exit_code = 1


class NotCountingError(CommandError):
    """An answer does not count: by the rule, by its form, or by its file."""

    kind = "does-not-count"
    exit_code = 3


class NotWaitingError(CommandError):
    """The job does not wait for an answer any more; or it did, and was decided before the answer was taken."""

    kind = "not-waiting"
    exit_code = 4


class NoSuchJobError(CommandError):
    """No job of that number or key is known here."""

    kind = "unknown-job"
    exit_code = 5


class NotAPersonError(CommandError):
    """The Unix user of this command is no person of gate.yaml."""

    kind = "not-a-person"
    exit_code = 6


class BrokenGateError(CommandError):
    """The gate is broken: gate.yaml, its state or its log cannot be used, or no one takes the answer."""

    kind = "gate-broken"
    exit_code = 7


KINDS = {
    each.exit_code: each.kind
    for each in (CommandError, NotCountingError, NotWaitingError, NoSuchJobError, NotAPersonError, BrokenGateError)
}
# For --help and docs/reference/command-line.md; a test compares.
EXIT_CODES = {
    0: "done; of approve and reject: it counted, or has decided",
    1: "cannot be done; the message says why",
    2: "the command line is wrong",
    NotCountingError.exit_code: "the answer does not count, or would not",
    NotWaitingError.exit_code: "the job is not waiting: it is decided, or over",
    NoSuchJobError.exit_code: "no such job is known here",
    NotAPersonError.exit_code: "you are not listed under people in gate.yaml",
    BrokenGateError.exit_code: "the gate is broken: gate.yaml, its state or its log, or no one takes the answer",
    INTERRUPTED: "Ctrl-C, or you said no",
    UNREAD: "the reader of the output has gone, as with `| head`",
}


def prefixed(message: object) -> str:
    """A message behind the prefix, once: further lines stand below its first word."""
    return PREFIX + str(message).replace("\n", "\n" + " " * len(PREFIX))


def as_data(error: CommandError) -> dict[str, object]:
    """An error as `--json` has it."""
    return {"kind": error.kind, "exit_code": error.exit_code, "message": str(error)}
