"""Entry points of gitlab-runner-gate; the only public module (docs/adr/0001-layout.md).

`gate-executor` is what GitLab Runner calls for each stage of a job, `gate` is for people. The stage word is looked for
before anything else is imported: a job starts ten or so of these processes, and one of them may wait for days.
"""

import os
import sys
from os.path import abspath, dirname, isdir, join

_HERE = dirname(abspath(__file__))
_PRIVATE = join(_HERE, "_gitlab_runner_gate")
sys.path.insert(0, _PRIVATE if isdir(_PRIVATE) else _HERE)
# On a full disk Python would keep a bytecode file that was cut short, and fail to import it ever after.
sys.dont_write_bytecode = True


def executor_main() -> None:
    """Run the stage that the command line names; ends the process with the stage's exit code."""
    try:
        from executor.main import main
    except Exception as error:  # noqa: BLE001
        # Python would exit 1, which tells the runner that the job has failed, for good; executor/runner_contract.py
        # says more.
        print(f"gate: cannot read its own code: {error}", file=sys.stderr, flush=True)
        code = os.environ.get("SYSTEM_FAILURE_EXIT_CODE", "")
        os._exit(int(code) if code.isascii() and code.isdigit() and 0 < int(code) < 256 else 2)  # noqa: PLR2004
    main(sys.argv[1:])


def gate_main() -> None:
    """Run the `gate` command: gate's own subcommands, and those that look at everything, the stages too."""
    from executor.checks.command import check
    from executor.rehearsal.command import rehearse
    from gate.commands import main

    main([check, rehearse])


if __name__ == "__main__":
    executor_main()
