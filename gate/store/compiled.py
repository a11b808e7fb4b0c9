"""`compiled/`: what stages keep of gate.yaml, see config/compiled.py; of one gate.yaml only, the newest."""

from __future__ import annotations

import os

from gate.store import layout
from gate.store.files import StateError, write_once

MODE = 0o600


def keep(state_dir: str, key: str, content: bytes) -> None:
    """Keep `content` under `key`, in place of all that is there. Where that fails, the next job tries again.

    A file of that name is there only where it was not believed, so it goes first.
    """
    directory = layout.compiled(state_dir)
    try:
        for name in os.listdir(directory):
            os.unlink(os.path.join(directory, name))
        write_once(directory, key, content, MODE)
    except (OSError, StateError):
        return  # it costs time, and no more
