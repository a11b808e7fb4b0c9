"""The help of our commands, as docs/reference/command-line.md quotes it.

`python -m tests.support.help_text` renews it.
"""

from __future__ import annotations

import copy
import re
from pathlib import Path

import click
from click.testing import CliRunner

from executor.checks.command import check
from executor.main import USAGE
from executor.rehearsal.command import rehearse
from gate.commands import gate

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "command-line.md"
WIDTH = 78  # what click takes of a terminal with 80 columns
_BLOCK = re.compile(r"^```\n\$ (gate[^\n]*)\n(.*?)```$", re.MULTILINE | re.DOTALL)


def quoted(page: str) -> dict[str, str]:
    """Each command of a `$ gate …` block, and what the page says that it prints."""
    return dict(_BLOCK.findall(page))


def said(command: str) -> str:
    """What `gate … --help`, or `gate-executor` alone, really prints."""
    if command == "gate-executor":
        return f"gate: {USAGE}\n"
    return CliRunner().invoke(whole(), command.split()[1:], prog_name="gate", terminal_width=WIDTH).output


def commands() -> list[str]:
    """The help of every command and subcommand that there is."""
    found = ["gate --help"]
    for name, command in sorted(whole().commands.items()):
        found.append(f"gate {name} --help")
        if isinstance(command, click.Group):
            found += [f"gate {name} {inner} --help" for inner in sorted(command.commands)]
    return found


def whole() -> click.Group:
    """The command as gitlab_runner_gate.gate_main puts it together, without touching the one that others use."""
    group = copy.copy(gate)
    group.commands = {**gate.commands, "check": check, "rehearse": rehearse}
    return group


def renewed(page: str) -> str:
    """The page with every block as it should be."""
    return _BLOCK.sub(lambda block: f"```\n$ {block[1]}\n{said(block[1])}```", page)


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
