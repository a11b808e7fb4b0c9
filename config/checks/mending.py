"""The commands that mend, as an operator types them."""

import shlex


def in_editor(path: str, line: int = 0) -> str:
    """Return the command that opens a file, at a line."""
    return f"${{EDITOR:-vi}} {f'+{line} ' if line else ''}{shlex.quote(path)}"
