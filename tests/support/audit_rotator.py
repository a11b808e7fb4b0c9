"""A process that begins a new segment of an audit log: `audit_rotator.py DIRECTORY` says the head that it was given.

Before it does, and has imported all that it needs, it makes one call to nowhere, which shows in strace's record. Runs
under `python -I -S`, as the stages do.
"""

import os
import sys
from contextlib import suppress
from os.path import abspath, dirname

sys.path.insert(0, dirname(dirname(dirname(abspath(__file__)))))

import errno  # noqa: F401
import mmap  # noqa: F401

from audit.errors import AuditError
from audit.rotate import rotate

MARK = b"from here on"
FAILED = 33

if __name__ == "__main__":
    with suppress(OSError):
        os.write(-1, MARK)
    try:
        head = rotate(sys.argv[1], 1, version="0")
    except AuditError as error:
        print(f"failed {error}", flush=True)
        os._exit(FAILED)
    if head:
        with suppress(OSError):
            print(f"{head.seq} {head.sha256}", flush=True)
    os._exit(0)
