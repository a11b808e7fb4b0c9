"""Commands that change one value in config.toml, where that is safe; else the words for doing it by hand.

TOML's library keeps no positions, so a script is guessed from how such files are written, and run on the text: it is only
shown if what comes out is the very file that was wanted, with nothing else changed.
"""

import copy
import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass

from executor.checks.editor import in_editor
from executor.checks.runner import sed
from executor.runner_config import Runner, RunnerConfig, Toml

Value = str | int | bool | list[str] | None
_HEADERS = {(): "[[runners]]", ("custom",): "[runners.custom]", ("feature_flags",): "[runners.feature_flags]"}
_NEXT_RUNNER = r"^[[:space:]]*\[\[runners\]\]"


@dataclass(frozen=True)
class Edit:
    """A key of a runner's table, or, without a runner, of the file itself, and its new value; None: it goes."""

    key: str
    value: Value = None
    runner: Runner | None = None
    table: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the line to write, and where."""
        where = "at the top" if self.runner is None else f"in {_HEADERS[self.table]} of runner {self.runner.name}"
        return f"remove {self.key} {where}" if self.value is None else f"{where}: {self.key} = {written(self.value)}"


def fix(config: RunnerConfig, *edits: Edit) -> str:
    """Return the command that makes all `edits`: of sed, or of an editor with a comment that says what to write."""
    text: str | None = config.text
    whole: sed.Script = ()
    for edit in edits:
        script = _tried(text or "", edit)
        if script is None:
            return f"{in_editor(config.path)}  # {'; '.join(map(str, edits))}"
        whole += script
        text = sed.applied(config.text, whole)
    return sed.command(config.path, whole)


def written(value: Value) -> str:
    """Return a value as TOML has it."""
    return json.dumps(value, ensure_ascii=False)  # a JSON string, number, list or boolean is a TOML one


def _tried(text: str, edit: Edit) -> sed.Script | None:
    wanted = _edited(tomllib.loads(text), edit)
    for script in _scripts(text, edit):
        result = sed.applied(text, script) if script else None
        if script and result is not None and _parsed(result) == wanted:
            return script
    return None


def _edited(tables: Toml, edit: Edit) -> Toml:
    tables = copy.deepcopy(tables)
    table = tables["runners"][edit.runner.number] if edit.runner else tables
    for name in edit.table:
        table = table.setdefault(name, {})
    if edit.value is None:
        table.pop(edit.key, None)
    else:
        table[edit.key] = edit.value
    return tables


def _parsed(text: str) -> Toml | None:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None


def _scripts(text: str, edit: Edit) -> Iterator[sed.Script | None]:
    lines = text.splitlines()
    here = [line for line in lines if re.match(rf"\s*{re.escape(edit.key)}\s*=", line)]
    headers = [line for line in lines if re.match(rf"\s*{re.escape(_HEADERS[edit.table])}\s*(#.*)?$", line)]
    yield from (_changed(line, edit) for line in here)
    if edit.runner is None:
        yield sed.first(_line("", edit))
        return
    names = [line for line in lines if _names(line, edit.runner.table.get("name"))]
    for begin in names:
        yield from (sed.within(begin, _NEXT_RUNNER, _changed(line, edit)) for line in here)
    for header in headers:
        line = _line(f"{_indent(header)}  ", edit)
        yield sed.added(header, line)
        yield from (sed.within(begin, _NEXT_RUNNER, sed.added(header, line)) for begin in names)


def _changed(line: str, edit: Edit) -> sed.Script | None:
    return sed.removed(line) if edit.value is None else sed.replaced(line, _line(_indent(line), edit))


def _line(indent: str, edit: Edit) -> str:
    return f"{indent}{edit.key} = {written(edit.value)}"


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _names(line: str, name: object) -> bool:
    found = _parsed(line) if re.match(r"\s*name\s*=", line) else None
    return found is not None and found.get("name") == name
