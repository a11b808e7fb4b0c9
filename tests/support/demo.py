"""`make demo`: a sample deployment waits for your answer; `make demo ANSWER=approve|reject` answers by itself.

Exit status: 0 when the outcome is the expected one, 1 when it is not, 2 for a wrong ANSWER. Signals only set a flag
that the demo looks at ten times a second: everything that it started is ended, and its directory removed, before it
goes.
"""

from __future__ import annotations

import os
import signal
import sys

ANSWERS = ("approve", "reject")


class Interruption:
    """Whether somebody has had enough: Ctrl-C, SIGTERM, or a terminal that was closed."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, self._come)

    def _come(self, number: int, _frame: object) -> None:
        self.signal = self.signal or signal.Signals(number)


def main(arguments: list[str]) -> int:
    if arguments and (len(arguments) > 1 or arguments[0] not in ANSWERS):
        print(f"make demo: ANSWER={' '.join(arguments)!r} is neither approve nor reject", file=sys.stderr)
        return 2
    interruption = Interruption()
    from tests.support import demo_run  # after the handlers: Ctrl-C during an import would be a traceback

    try:
        status = demo_run.run(arguments[0] if arguments else None, interruption)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read along has gone; what was started has ended by now
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        status = 1
    if interruption.signal:
        signal.signal(interruption.signal, signal.SIG_DFL)
        os.kill(os.getpid(), interruption.signal)  # so that make, and the shell, know why
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
