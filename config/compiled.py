"""What is kept of a gate.yaml that had no fault: its values, after YAML and the schema, and before the host is asked.

`<state_dir>/compiled/<key>` is R's, for R: 0600 in a directory of mode 0700. The key is the SHA-256 of all that the
values come from: the file's bytes, the code and the schema in this package, and the Python. So what was made by another
version, or of another file, is never found. The first line is the SHA-256 of the second, which is the values as JSON.

A stage would otherwise spend two thirds of its time on importing jsonschema. Whatever is odd about what is there counts
as nothing kept, and the next job keeps it again.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys

from config.host import path_problems

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.document import Yaml

DIRECTORY = "compiled"
FORM = b"1"  # of these files
MODE = 0o600
MAX_BYTES = 4 * 1024 * 1024
_HERE = os.path.dirname(os.path.abspath(__file__))
_CODE = (".py", ".json")
_STATE_DIR = b"state_dir:"


class Compiled:
    """Values to be kept, and under which key."""

    def __init__(self, key: str, text: bytes) -> None:
        """Keep both; `text` is the values as JSON."""
        self.key, self.text = key, text

    def content(self) -> bytes:
        """The bytes of the file."""
        return b"%s\n%s\n" % (hashlib.sha256(self.text).hexdigest().encode(), self.text)


def of(key: str, value: Yaml) -> Compiled | None:
    """Return `value`, to be kept under `key`.

    None where JSON would give back another (it joins halves of surrogates).
    """
    try:
        text = json.dumps(value).encode()
        return Compiled(key, text) if json.loads(text) == value else None
    except (TypeError, ValueError, RecursionError):
        return None


def key_of(data: bytes, code: str) -> str:
    """Return the key for the bytes of a gate.yaml and a `code_digest`.

    "", under which nothing is kept, where that is "".
    """
    return _digest(FORM, sys.version.encode(), data, code.encode()) if code else ""


def code_digest() -> str:
    """Return the SHA-256 of the code and the schema in this package, as they are on disk.

    "" where they cannot be read.
    """
    try:
        return _digest(*_code())
    except OSError:  # an upgrade is under way
        return ""


def _digest(*parts: bytes) -> str:
    whole = hashlib.sha256()
    for part in parts:
        whole.update(b"%d:" % len(part))  # so that no two lists of parts are the same bytes
        whole.update(part)
    return whole.hexdigest()


def _code() -> Iterator[bytes]:
    for name in sorted(os.listdir(_HERE)):
        if name.endswith(_CODE):
            yield name.encode()
            with open(os.path.join(_HERE, name), "rb") as file:
                yield file.read()


def find(data: bytes, key: str, uid: int) -> Yaml | None:
    """Return the values that the gate's `uid` has kept of the gate.yaml with these bytes and this key, or None."""
    try:
        return _find(data, key, uid)
    except (OSError, ValueError, RecursionError):
        return None


def _find(data: bytes, key: str, uid: int) -> Yaml | None:
    state_dir = _state_dir(data)
    directory = os.path.join(state_dir, DIRECTORY)
    if not (key and state_dir) or not is_private(directory, uid):
        return None
    digest, _, text = _content(directory, key, uid).removesuffix(b"\n").partition(b"\n")
    if hashlib.sha256(text).hexdigest().encode() != digest:
        return None
    value = json.loads(text)
    return value if isinstance(value, dict) and value.get("state_dir") == state_dir else None


def is_private(directory: str, uid: int) -> bool:
    """Return whether only `uid` can write there or replace it; root can do what root wants.

    Raises:
        OSError: it cannot be looked at.
    """
    found = os.lstat(directory)
    return (
        stat.S_ISDIR(found.st_mode)
        and found.st_uid == uid
        and not found.st_mode & 0o077
        and not path_problems(directory, uid)
    )


def _state_dir(data: bytes) -> str:
    """Where the file seems to have its state directory, in the plainest way of writing that; "" where it has another.

    Only a hint where to look: the values that are found there must name the same one.
    """
    for line in data.split(b"\n"):
        if line.startswith(_STATE_DIR):
            written = line[len(_STATE_DIR) :].partition(b" #")[0].strip()
            return written.decode("ascii", "replace") if written.startswith(b"/") else ""
    return ""


def _content(directory: str, name: str, uid: int) -> bytes:
    descriptor = os.open(os.path.join(directory, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        is_ours = found.st_uid == uid and stat.S_IMODE(found.st_mode) == MODE and found.st_nlink == 1
        return file.read(MAX_BYTES) if stat.S_ISREG(found.st_mode) and is_ours else b""
