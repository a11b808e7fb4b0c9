"""What the tests of faults need: a strace that may trace, and root, for disks of their own."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from tests.support.recorded_disk import RecordedDisk
from tests.support.site import IS_ROOT

# `make soak` sets it: so many times the rounds and the power cuts; from 2 on, each byte and each kind of fault
# everywhere.
SOAK = int(os.environ.get("GATE_SOAK", "1"))


@pytest.fixture(scope="session")
def strace() -> str:
    """The path of strace."""
    found = shutil.which("strace")
    if found is None or subprocess.run([found, "-o", "/dev/null", "true"], check=False).returncode != 0:
        pytest.skip("NO STRACE that may trace (apt install strace): no fault of a single system call is tried")
    return found


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Mounting a disk of one's own needs root, mkfs.ext4, loop devices and FUSE."""
    without = "no full, failing, read-only or powerless disk is tried"
    if not IS_ROOT:
        pytest.skip(f"NOT ROOT: {without}; run the tests as root")
    if shutil.which("mkfs.ext4") is None:
        pytest.skip(f"NO MKFS.EXT4 (apt install e2fsprogs): {without}")
    scratch = tmp_path_factory.mktemp("probe")
    (scratch / "at").mkdir()
    try:
        with RecordedDisk(scratch).mounted(scratch / "at"):
            pass
    except (OSError, AssertionError, subprocess.CalledProcessError) as error:
        pytest.skip(f"NO DISK CAN BE MOUNTED, from /dev/fuse and a loop device: {without}; {error}")
