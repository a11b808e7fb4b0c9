"""A little of the disk, kept for when it is full: so that "no space" can still be decided and recorded.

Each job that comes fills it again where it is gone and there is room. It is freed only where a wait ends and its end
cannot be written: never to let a job through.
"""

from __future__ import annotations

import os

from audit.descriptor import Held, held_directory
from gate.store.files import StateError

NAME = "reserve"
BYTES = 1024 * 1024


def fill(state_dir: str) -> None:
    """Have the reserve there; where there is no room for it, there is none."""
    try:
        with held_directory(state_dir) as directory:
            if NAME not in os.listdir(directory):
                _make(directory)
    except OSError:
        return


def _make(directory: int) -> None:
    with Held(os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600, dir_fd=directory)) as reserved:
        os.posix_fallocate(reserved, 0, BYTES)
        # src_dir_fd makes Python call linkat(2) with AT_SYMLINK_FOLLOW, as in gate/store/files.py.
        os.link(f"/proc/self/fd/{reserved}", NAME, src_dir_fd=directory, dst_dir_fd=directory)


def free(state_dir: str) -> bool:
    """Give the reserve back to the disk; False where there was none.

    Raises:
        StateError: it cannot be removed.
    """
    path = os.path.join(state_dir, NAME)
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StateError(f"cannot remove {path}: {error.strerror}") from error
    return True
