"""`on_event`, the command that is told what happens: an absolute path, to a program that nobody else can exchange."""

import os
import stat
from collections.abc import Iterator
from typing import Any

from config.document import Document
from config.faults import Fault, quoted
from config.host import path_problems, reason


def check(document: Document, value: dict[str, Any]) -> Iterator[Fault]:
    """Yield the faults of meaning in `on_event`."""
    command = value.get("on_event") or [None]
    if command[0] is not None and not os.path.isabs(command[0]):
        message = f"{quoted(command[0])} is no absolute path: begin with the whole path of the command"
        yield document.fault(("on_event", 0), message)


def problems(path: str, uid: int) -> list[str]:
    """Return why the gate, which runs as `uid`, will not run the program at `path`, a line each."""
    try:
        found = [f"{problem}; on_event would run what somebody else put there" for problem in path_problems(path, uid)]
        state = os.stat(path)
    except OSError as error:
        return [f"{path}: {reason(error)}: on_event names a command that is there"]
    if not stat.S_ISREG(state.st_mode) or not state.st_mode & 0o111:
        found.append(f"{path} is no program: make it one, with chmod +x and a first line such as #!/bin/sh")
    return found
