"""`gate check`: the command around the checks."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import shutil
import sys
from collections import Counter
from typing import TYPE_CHECKING

import click

from config.accounts import SystemHost
from config.load import state_dir_of
from executor import runner_config
from executor.checks import edits, gate_yaml, runner_unit
from executor.checks.all import CHECKS, OF_CONFIG_TOML
from executor.checks.context import Context
from executor.checks.finding import FAIL, OK, WARN, Finding
from executor.checks.system import HostSystem
from gate.commands.config import config as config_group
from gate.commands.fault import CommandError
from gate.commands.target import waiting_requests
from gate.setup.runner_block import runner_block
from gate.store import layout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from executor.checks.runner_unit import Unit

_PUBLIC = ("check", "state", "message", "fix")
_PACKAGES = ("audit", "config", "executor", "gate")


_config_toml = click.option(
    "--runner-config",
    metavar="FILE",
    help=f"The runner's config.toml; without it, {runner_config.DEFAULT_PATH} where there is one.",
)


@click.command()
@_config_toml
@click.option(
    "--only",
    metavar="NAME",
    multiple=True,
    type=click.Choice([check.name for check in CHECKS]),
    help="This check only; may be given often.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_obj
def check(config: str, runner_config: str | None, only: tuple[str, ...], as_json: bool) -> None:
    """Check gate.yaml, the runner's config.toml, and this host: what is wrong, and what fixes it.

    Each finding is ok, warn or fail; the exit status is 1 if one is fail. docs/reference/checks.md describes each
    check. Changes nothing. Run it as root, or as the user that the runner runs as.
    """
    context = _context(config, runner_config)
    found = [finding for each in CHECKS if not only or each.name in only for finding in each.run(context)]
    counts = Counter(finding.state for finding in found)
    if as_json:
        findings = [{key: getattr(finding, key) for key in _PUBLIC} for finding in found]
        click.echo(json.dumps({"ok": not counts[FAIL], "findings": findings}, indent=2))
    else:
        shown = _together(found)
        counts = Counter(finding.state for finding in shown)
        for line in _lines(shown):
            click.echo(line)
        click.echo(", ".join(f"{counts[state]} {state}" for state in (FAIL, WARN, OK)))
    sys.exit(1 if counts[FAIL] else 0)


@config_group.command()
@click.option("--diff", "is_diff", is_flag=True, help="What `gate check` would change in config.toml, for patch(1).")
@_config_toml
@click.pass_obj
def runner(config: str, runner_config: str | None, is_diff: bool) -> None:
    """Print the `[[runners]]` block for the runner's config.toml on this host.

    With --diff, print what the findings of `gate check` need changed in config.toml, and change nothing:
    `gate config runner --diff | patch /etc/gitlab-runner/config.toml` does that. Only lines that change are printed.
    """
    if not is_diff:
        click.echo(runner_block(os.path.abspath(config)))
        return
    context = _context(config, runner_config)
    if context.runner_config.tables is None:
        raise CommandError(f"{context.runner_config.path}: {context.runner_config.fault}; see `gate check`")
    found = [finding for check in OF_CONFIG_TOML for finding in check.run(context)]
    click.echo(edits.diff_of_all(context.runner_config, found).encode(), nl=False)


def _together(found: list[Finding]) -> list[Finding]:
    """One for what several checks find alike, or of one path: of that, the first knows what fixes all."""
    alike: dict[object, list[Finding]] = {}
    for each in found:
        alike.setdefault((each.state, each.place) if each.place else dataclasses.replace(each, check=""), []).append(
            each
        )
    return [_one(each) for each in alike.values()]


def _one(alike: list[Finding]) -> Finding:
    first = alike[0]
    checks, messages = (dict.fromkeys(getattr(each, key) for each in alike) for key in ("check", "message"))
    fixes = dict.fromkeys(each.fix for each in alike if each.check == first.check and each.fix)
    return Finding(", ".join(checks), first.state, "; ".join(messages), " && ".join(fixes))


def _lines(found: list[Finding]) -> Iterator[str]:
    for each in found:
        yield _printable(f"{each.state:<5} {each.check}: {each.message}")
        if each.fix:
            yield _printable(f"      {each.fix}")


def _printable(text: str) -> str:
    """Names of files can hold anything."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def _context(config: str, runner_file: str | None) -> Context:
    system, host = HostSystem(), SystemHost()
    unit = runner_unit.find(system)
    runner_uid = _runner_uid(config, unit)
    loaded = gate_yaml.loaded(config, runner_uid, host)
    gate = os.path.join(os.path.dirname(sys.executable), "gate")
    here = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return Context(
        gate_yaml=loaded,
        runner_config=runner_config.read(runner_file),
        runner_uid=runner_uid,
        own_uid=os.geteuid(),
        unit=unit,
        executor=os.path.join(os.path.dirname(sys.executable), "gate-executor"),
        gate="gate" if shutil.which("gate") else shlex.quote(gate),
        code=tuple(os.path.join(here, package) for package in _PACKAGES),
        waiting=_waiting(loaded.policy["state_dir"]) if loaded.policy else None,
    )


def _runner_uid(config: str, unit: Unit | None) -> int:
    """R: who owns most of what should be R's, so that one wrong owner is not taken for R.

    Otherwise the user of the unit.
    """
    top = state_dir_of(config)
    places = [config]
    if top:
        own = (
            os.path.join(top, "secret"),
            layout.audit_key(top),
            layout.turned_away(top),
            layout.jobs(top),
            layout.audit(top),
        )
        places = [top, *own, config]
    owners = Counter(os.lstat(place).st_uid for place in places if os.path.lexists(place))
    if owners:
        return owners.most_common(1)[0][0]
    named = SystemHost().user(unit.user) if unit else None
    return named.uid if named else os.geteuid()


def _waiting(state_dir: str) -> int | None:
    try:
        return len(waiting_requests(state_dir)[0])
    except OSError:
        return None
