"""`gate-executor [--config FILE] config|prepare|run|cleanup …`: one stage of one job, then the process ends.

Every way out goes through `main`, which starts from a system failure: an exception, a bug or an odd exit can fail a
job, never let one through.
"""

from __future__ import annotations

import os
import sys

from executor.entry import entry_point
from executor.runner_contract import STDERR, StageError, in_words, say, system_failure_code
from gate import DEFAULT_CONFIG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

REHEARSAL = "--rehearsal"  # said by `gate rehearse`

USAGE = (
    "usage: gate-executor [--config FILE] [--rehearsal]"
    " config | prepare [--prepare-timeout SECONDS] | run SCRIPT STAGE | cleanup"
)


def main(arguments: list[str]) -> NoReturn:
    """Run the stage that `arguments` name and end the process with its exit code."""
    os.umask(0o077)
    code = system_failure_code()
    try:
        code = _run_stage(arguments)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001
        say(in_words(error), STDERR)
    # No interpreter shutdown: it could still turn the code into another one (120, when a closed stdout is flushed).
    os._exit(code)


def _run_stage(arguments: list[str]) -> int:
    config_file, stage, rest = split(arguments)
    rehearsal = REHEARSAL in arguments[: len(arguments) - len(rest)]
    if rehearsal and stage != "config":
        raise StageError(f"{REHEARSAL} is for config alone; {USAGE}")
    if stage == "run":
        from executor.run import run

        return run(rest)
    if stage == "prepare":
        if not sys.flags.no_site:
            _start_again_small(arguments)
        from executor.prepare import prepare

        return prepare(config_file, rest)
    if stage == "config":
        from executor.config_stage import config

        return config(config_file, rehearsal=rehearsal)
    if stage == "cleanup":
        from executor.cleanup import cleanup

        return cleanup(config_file)
    if stage == "policy":
        from executor.config_stage import print_policy

        return print_policy(config_file)
    raise StageError(USAGE)  # --help, too: only a release makes a stage succeed


def split(arguments: list[str]) -> tuple[str, str, list[str]]:
    """(gate.yaml's path, stage, the stage's own arguments) of a command line."""
    config_file = os.environ.get("GATE_CONFIG") or DEFAULT_CONFIG
    rest = list(arguments)
    while rest and rest[0].startswith("--"):
        option = rest.pop(0)
        if option == REHEARSAL:
            continue
        name, equals, value = option.partition("=")
        if option == "--help" or name != "--config" or not (equals or rest):
            raise StageError(USAGE if option == "--help" else f"unknown option {option!r}; {USAGE}")
        config_file = value if equals else rest.pop(0)
    return os.path.abspath(config_file), rest.pop(0) if rest else "", rest


def _start_again_small(arguments: list[str]) -> NoReturn:
    """The same process, without site-packages and with no PYTHON* variable heeded: what waits for days is small."""
    os.execv(sys.executable, [sys.executable, "-I", "-S", entry_point(), *arguments])  # noqa: S606
