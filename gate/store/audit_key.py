"""`<state_dir>/audit.key`: what this gate signs checkpoints of its audit log with. R's alone.

A key is made once and stays, also when `site` in gate.yaml changes: verifier keys that were given out stay good. It
keeps jobs and other users from making checkpoints, not root; what counts is the verifier key that is kept elsewhere.
"""

from __future__ import annotations

import os

from audit.errors import AuditError
from gate.store import layout
from gate.store.files import MissingError, StateError, read_file, write_once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from audit.keys import Signer

_FILE_MAX_BYTES = 4096
_SEED_BYTES = 32


def make(state_dir: str, site: str) -> bool:
    """Make the key, called after the site, where there is none yet; False where there is.

    Raises:
        StateError: it cannot be written.
    """
    from audit.keys import Signer

    written = Signer(site, os.urandom(_SEED_BYTES)).written().encode() + b"\n"
    return write_once(state_dir, os.path.basename(layout.audit_key(state_dir)), written, 0o600)


def load(state_dir: str) -> Signer:
    """The key.

    Raises:
        StateError: it is not there, cannot be read, or somebody else could have.
    """
    from audit.keys import signer

    path = layout.audit_key(state_dir)
    try:
        content, found = read_file(path, _FILE_MAX_BYTES)
    except MissingError:
        raise StateError(f"{path} is not there yet: `gate audit key` makes it") from None
    if found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise StateError(
            f"{path} must be a regular file of uid {os.geteuid()}, mode 0600; who else could have read it?"
        )
    try:
        return signer(content.decode("ascii", "replace"))
    except AuditError as error:
        raise StateError(f"{path}: {error}; move it away, and `gate audit key` makes another") from error
