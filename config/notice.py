"""`on_event`, the command for notices: an absolute path, to a program that no one else can exchange.

It runs as the gate, so one that somebody else could write stops the gate. One that has gone stops nothing: no job waits
for a notice.
"""

from __future__ import annotations

import os
import stat

from config.faults import quoted
from config.host import reason, weaknesses_so_far

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.document import Document, Yaml
    from config.faults import Fault


def check(document: Document, value: Yaml) -> Iterator[Fault]:
    """Yield the faults of meaning in `on_event`."""
    command = value.get("on_event") or [None]
    if command[0] is not None and not os.path.isabs(command[0]):
        message = f"{quoted(command[0])} is no absolute path: begin with the whole path of the command"
        yield document.fault(("on_event", 0), message)


def exposed(path: str, uid: int) -> list[str]:
    """Return why somebody beside root and `uid`, whom the gate runs as, could say what runs at `path`, a line each.

    Also where nothing is there yet: a user who can write to a directory on the way could put something there.
    """
    return [f"{each.message}; on_event would run what somebody else put there" for each in weaknesses_so_far(path, uid)]


def unusable(path: str) -> str:
    """Return why the program at `path` cannot be run, or "": a notice is then not sent, and nothing waits for that."""
    try:
        state = os.stat(path)
    except OSError as error:
        return f"on_event: {path}: {reason(error)}: no notices are sent"
    if not stat.S_ISREG(state.st_mode):
        return f"on_event: {path} is no file: no notices are sent"
    if not state.st_mode & 0o111:
        return (
            f"on_event: {path} is not a program: no notices are sent; chmod +x it, and begin it with #!/bin/sh or such"
        )
    return ""
