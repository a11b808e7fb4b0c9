"""Images mounted from loop devices, one after the other, at one place."""

from __future__ import annotations

import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

UNMOUNT_S = 10


@contextmanager
def mounted(image: Path, at: Path) -> Iterator[None]:
    """An image mounted from a loop device, which goes with the mount.

    No image twice: whoever made a mount namespace meanwhile (a host of another test's, a job's) holds on to the first
    mount, for as long as they live, and the second one would be what that was.
    """
    subprocess.run(["mount", "-t", "ext4", "-o", "loop", str(image), str(at)], check=True)
    try:
        yield
    finally:
        if not _soon(lambda: subprocess.run(["umount", str(at)], check=False, capture_output=True).returncode == 0):
            subprocess.run(["umount", "--lazy", str(at)], check=True)


def _soon(done: Callable[[], bool]) -> bool:
    give_up = time.monotonic() + UNMOUNT_S
    while not done():
        if time.monotonic() >= give_up:
            return False
        time.sleep(0.02)
    return True
