"""A mounted file system that never answers: FUSE, with a daemon that reads no request.

Whatever asks it waits for ever. `allow_other`, which a user's own mount may have, too, lets root be the one who asks.
"""

from __future__ import annotations

import ctypes
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_MS_NOSUID, _MS_NODEV = 2, 4
_MNT_DETACH = 2
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def silent_mount(path: str, uid: int) -> Iterator[None]:
    """Mount one over `path`, a directory or a file, as if it were that user's; what waits for it goes on afterwards."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    try:
        device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        pytest.skip(f"there is no FUSE here: {error}")
    kind = stat.S_IFMT(os.lstat(path).st_mode)
    options = f"fd={device},rootmode={kind | 0o700:o},user_id={uid},group_id={uid},allow_other"
    if _libc.mount(b"silent", os.fsencode(path), b"fuse", _MS_NOSUID | _MS_NODEV, options.encode()) != 0:
        os.close(device)
        pytest.skip(f"mounting is not allowed here: {os.strerror(ctypes.get_errno())}")
    try:
        yield
    finally:
        os.close(device)  # with its daemon gone, each question to it fails
        _libc.umount2(os.fsencode(path), _MNT_DETACH)
