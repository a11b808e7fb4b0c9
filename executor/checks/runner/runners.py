"""[[runners]] that call the gate: that there is one, and that nothing in it works against the gate."""

from collections.abc import Iterator

from executor.checks.check import Need
from executor.checks.context import Context
from executor.checks.editor import in_editor
from executor.checks.finding import Edit, Finding, fail, ok, warn
from executor.runner_config import Runner
from executor.shell.backend import SHELLS

_EXAMPLE = {"url": "https://gitlab.example.com", "token": "glrt-REPLACE-ME"}  # runner-config.example.toml
_FLAG = "FF_USE_DYNAMIC_TRACE_FORCE_SEND_INTERVAL"  # stretches the runner's sign of life to 30 minutes


def find(context: Context) -> Iterator[Finding]:
    """See the module."""
    config = context.runner_config
    if config.tables is None:
        yield warn(Need.RUNNERS.value)
        return
    if not context.runners:
        fix = f"{in_editor(config.path)}  # paste the [[runners]] block that `gate config runner` prints"
        yield fail(f'no [[runners]] of {config.path} with executor = "custom" calls gate-executor', fix)
        return
    for runner in context.runners:
        faults = list(_faults(context, runner))
        yield from faults
        if not faults:
            yield ok(f"runner {runner.name} calls the gate")


def _faults(context: Context, runner: Runner) -> Iterator[Finding]:
    for key in ("url", "token"):
        value = runner.table.get(key)
        if not isinstance(value, str) or not value or value == _EXAMPLE[key]:
            message = (
                f"runner {runner.name}: {key} is {'still that of the example' if value else 'missing'}: GitLab tells "
                "it where the runner is made"
            )
            yield fail(message, f'{in_editor(context.runner_config.path)}  # {key} = "…"')
    who, shell = f"runner {runner.name}", runner.table.get("shell", SHELLS[0])
    if shell not in SHELLS:
        yield fail(
            f"{who}: shell is {shell!r}: the gate runs scripts for bash and sh", Edit("shell", SHELLS[0], runner)
        )
    for key in ("builds_dir", "cache_dir"):
        if runner.table.get(key):
            message = f"{who}: {key} is not used: the gate names a fresh directory for each job"
            yield warn(message, Edit(key, None, runner))
    flags = runner.table.get("feature_flags")
    if isinstance(flags, dict) and flags.get(_FLAG):
        message = f"{who}: {_FLAG} is on: that a waiting job was cancelled in GitLab is learned up to 30 minutes late"
        yield warn(message, Edit(_FLAG, False, runner, "feature_flags"))
    yield from _environment(context, runner)
    if _verifies_at_boot(runner):
        message = (
            f"{who}: experimental.boot_verify is on: its trial job is of no project, so the gate refuses it, "
            "and the runner"
            " ends before it has taken any job"
        )
        yield fail(message, in_editor(context.runner_config.path))


def _environment(context: Context, runner: Runner) -> Iterator[Finding]:
    given = runner.table.get("environment")
    texts = [each for each in given if isinstance(each, str)] if isinstance(given, list) else []
    own = [each for each in texts if each.upper().startswith("GATE_")]
    if own:
        names = ", ".join(each.partition("=")[0] for each in own)
        message = (
            f"runner {runner.name}: environment sets {names}: in a job's script that would win over the gate's own"
        )
        # A command that changes that line would have to show it, and the others' values with it.
        yield fail(message, f"{in_editor(context.runner_config.path)}  # take {names} out of environment")


def _verifies_at_boot(runner: Runner) -> bool:
    experimental = runner.table.get("experimental")
    boot_verify = experimental.get("boot_verify") if isinstance(experimental, dict) else None
    return isinstance(boot_verify, dict) and boot_verify.get("enabled") is True
