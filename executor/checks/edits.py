"""config.toml with some values changed and the rest as it is, comments too: a diff, and the command to apply it."""

from __future__ import annotations

import difflib
import re
import shlex
import shutil
import tomllib
from typing import TYPE_CHECKING, Any

from executor.checks.editor import in_editor
from executor.runner_config import DEFAULT_PATH

if TYPE_CHECKING:
    from collections.abc import Iterable

    from executor.checks.context import Context
    from executor.checks.finding import Edit, Finding
    from executor.runner_config import RunnerConfig

_SECRET = re.compile("token|environment")  # such a line holds a secret


def command(context: Context, edits: Iterable[Edit]) -> str:
    """Return the command that makes these edits, with those of all other findings, and says what these write.

    It opens an editor where no diff can be made, or there is no patch(1).
    """
    config = context.runner_config
    what = f"  # {'; '.join(map(str, edits))}"
    if not diff(config, edits) or not shutil.which("patch"):
        return f"{in_editor(config.path)}{what}"
    path = shlex.quote(config.path)
    named = "" if config.path == DEFAULT_PATH else f" --runner-config {path}"
    return f"{context.with_config(context.gate_yaml.path)} config runner --diff{named} | patch {path}{what}"


def diff_of_all(config: RunnerConfig, found: Iterable[Finding]) -> str:
    """Return the diff that makes the edits of all findings, but for those that are left to an editor."""
    edits: list[Edit] = []
    for each in found:
        more = [*edits, *each.edits]
        edits = more if each.edits and diff(config, more) else edits
    return diff(config, edits)


def diff(config: RunnerConfig, edits: Iterable[Edit]) -> str:
    """Return the unified diff that makes all `edits` and nothing else; empty where that is not certain.

    Only the lines that change are in it: those around them can hold the token.
    """
    changed = _edited(config.text, list(edits))
    lines = difflib.unified_diff(_lines(config.text), _lines(changed), config.path, config.path, n=0)
    told = [line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines]
    return "" if any(map(_SECRET.search, told[2:])) else "".join(told)


def _edited(text: str, edits: Iterable[Edit]) -> str:
    """Return the changed text; the same where tomlkit makes anything else of it than what was asked for."""
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    wanted = tomllib.loads(text)
    try:
        document = tomlkit.parse(text)
        for edit in edits:
            _make(edit, wanted, edit.value)
            _make(edit, document, tomlkit.item("" if edit.value is None else edit.value))
        changed = tomlkit.dumps(document)
        return changed if tomllib.loads(changed) == wanted else text
    except (TOMLKitError, tomllib.TOMLDecodeError):
        return text


def _make(edit: Edit, tables: Any, value: Any) -> None:
    table = tables["runners"][edit.runner.number] if edit.runner else tables
    table = table.setdefault(edit.table, {}) if edit.table else table
    if edit.value is None:
        table.pop(edit.key, None)
        return
    beside = [each for each in table.values() if hasattr(each, "trivia") and not isinstance(each, dict | list)]
    is_new = edit.key not in table
    table[edit.key] = value
    if beside and is_new:  # a new line looks as those beside it; tomlkit would indent some of them twice
        value.trivia.indent, value.trivia.trail = beside[-1].trivia.indent, beside[-1].trivia.trail


def _lines(text: str) -> list[str]:
    """Lines as patch(1) has them: only a newline ends one."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)
