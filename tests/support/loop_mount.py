"""Images mounted from loop devices, one after the other, at one place."""

from __future__ import annotations

import glob
import subprocess
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

UNMOUNT_S = 10


@contextmanager
def mounted(image: Path, at: Path) -> Iterator[None]:
    """An image mounted from a loop device, which goes with the mount."""
    # Whoever makes a mount namespace just then holds on to an unmounted one: what is mounted now would be what was before.
    _soon(lambda: not _has_loop_device(image))
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


def _has_loop_device(image: Path) -> bool:
    backing = glob.glob("/sys/block/loop*/loop/backing_file")
    for name in backing:
        with suppress(OSError), open(name, encoding="utf-8") as source:
            if source.read().rstrip("\n") == str(image):
                return True
    return False
