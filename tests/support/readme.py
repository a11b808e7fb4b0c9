"""The code blocks of README.md, in their order, for the test that follows them word for word."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_BLOCK = re.compile(
    r"^```(?P<kind>\w*)\n(?P<fenced>.*?)^```$|(?P<indented>(?:^ {4}[^\n]*\n(?:\n(?= {4}))?)+)", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """One block; `kind` is `shell` for an indented one, else what stands behind its fence."""

    section: str
    kind: str
    text: str


def blocks(page: Path) -> list[Block]:
    """Every code block of a page, with the section that it stands in."""
    found = []
    for part in re.split(r"^## ", page.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        section = part.partition("\n")[0]
        for block in _BLOCK.finditer(part):
            text = block["fenced"] if block["indented"] is None else textwrap.dedent(block["indented"])
            found.append(Block(section, block["kind"] or "shell" if block["indented"] else block["kind"] or "", text))
    return found
