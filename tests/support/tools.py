"""Programs that some tests need: where one is missing, they are skipped, and say which package has it.

With GATE_TESTS_DEMAND_ALL=1 a skip is a failure (tests/conftest.py), so that in CI none is missing unseen.
"""

from __future__ import annotations

import re
import shutil

import pytest

_PACKAGES = {
    "chattr": "e2fsprogs",
    "curl": "curl",
    "git": "git",
    "mkfs.ext4": "e2fsprogs",
    "openssl": "openssl",
    "setfacl": "acl",
    "ssh-keygen": "openssh-client",
    "strace": "strace",
    "systemd-analyze": "systemd",
    "systemd-sysusers": "systemd",
    "systemd-tmpfiles": "systemd",
}
_WORD = re.compile(r"[a-z0-9.-]+")


def need(*programs: str) -> None:
    """Skip the test that asks where one of these is not on PATH."""
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"NO {program.upper()} on PATH: apt install {_PACKAGES.get(program, program)}")


def need_for(script: str) -> None:
    """Skip where shell lines have a program of those above that is not there."""
    need(*sorted({*_WORD.findall(script)} & {*_PACKAGES}))
