"""Reading JOB_RESPONSE_FILE, the one thing that says who and what a job is (architecture, invariant 4)."""

from __future__ import annotations

import os
import stat

from executor.runner_contract import StageError
from gate import hashes

MAX_BYTES = 64 * 1024 * 1024


def read_response() -> bytes:
    """The bytes of the runner's job response file.

    Raises:
        StageError: it is not what the runner makes: regular, of this uid, 0600, one link, in a 0700 directory of this
            uid.
    """
    path = os.environ.get("JOB_RESPONSE_FILE", "")
    if not os.path.isabs(path):
        raise StageError("JOB_RESPONSE_FILE is not set: this command is called by gitlab-runner's custom executor")
    try:
        return _read(path)
    except OSError as error:
        raise StageError(f"cannot read JOB_RESPONSE_FILE {path}: {error.strerror}") from error


def sha256(response: bytes) -> str:
    """The digest that a release is bound to."""
    return hashes.sha256(response).hexdigest()


def _read(path: str) -> bytes:
    directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _check(os.fstat(directory), os.path.dirname(path), stat.S_IFDIR)
        name = os.path.basename(path)
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    finally:
        os.close(directory)
    with open(descriptor, "rb") as source:
        found = os.fstat(descriptor)
        _check(found, path, stat.S_IFREG)
        content = source.read(MAX_BYTES + 1)
        after = os.fstat(descriptor)
    if len(content) > MAX_BYTES or (found.st_size, found.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise StageError(f"JOB_RESPONSE_FILE {path} is too large, or changed while it was read")
    return content


def _check(found: os.stat_result, path: str, kind: int) -> None:
    if stat.S_IFMT(found.st_mode) != kind or (kind == stat.S_IFREG and found.st_nlink != 1):
        raise StageError(f"{path} is not what gitlab-runner makes: a regular file with one link, in a directory")
    if found.st_uid != os.geteuid() or found.st_mode & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        raise StageError(f"{path} has uid {found.st_uid} and mode {mode:04o}: gitlab-runner makes it for itself alone")
