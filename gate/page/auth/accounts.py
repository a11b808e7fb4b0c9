"""Passwords of people who log in on TCP: `page/accounts/<person>.json`, the page's own, with an argon2id hash.

They are written as the page's user, by root, too: in a directory of somebody else's, root could be led by a link to
write anywhere. One writer at a time, by a lock beside the directory; who reads needs none, since a file is replaced
whole.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import argon2
from filelock import FileLock, Timeout

from gate.errors import GateError
from gate.model.words import whole
from gate.store import layout
from gate.store.files import StateError, fsync_directory, make_directory, read_json

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD_MIN_CHARACTERS = 12
PASSWORD_MAX_BYTES = 1024
LOCKED_WITHIN_S = 30  # a writer holds the lock for one fsync; the kernel lets go of a killed one's
_HASHER = argon2.PasswordHasher()  # argon2id with the parameters of RFC 9106, low memory
# Checked where there is no such account, so that the time does not tell who has one (threats T26).
_NOBODY = _HASHER.hash("nobody's")


class AccountError(GateError):
    """An account or a password that cannot be; the message is one line for people."""


@dataclass(frozen=True)
class Account:
    """Somebody's password, hashed.

    `hashed` also tells a session whether the password is still the one it began with.
    """

    person: str
    hashed: str


class Accounts:
    """The accounts in one directory, which is made where it is missing."""

    def __init__(self, page_dir: str) -> None:
        """`page_dir` is `page/` of the state directory."""
        self.directory = layout.accounts(page_dir)
        self._lock_file = os.path.join(page_dir, "accounts.lock")

    def get(self, person: str) -> Account | None:
        """The account of somebody whom gate.yaml names.

        Raises:
            StateError: it is there and cannot be read.
        """
        found = read_json(self._path(person))
        if found is None:
            return None
        if not isinstance(found.get("hash"), str):
            raise StateError(f"{self._path(person)} has no hash in it: `gate user remove {person}`, and add them again")
        return Account(person, found["hash"])

    def people(self) -> list[str]:
        """Everybody who has one."""
        names = os.listdir(self.directory) if os.path.isdir(self.directory) else []
        return sorted(name.removesuffix(".json") for name in names if name.endswith(".json"))

    def set_password(self, person: str, password: str, *, exists: bool | None = None) -> None:
        """Make an account, or give it another password; `exists` says which of the two it must be.

        Raises:
            AccountError: the password is too short or too long, or no text, or there is no memory left to hash it; or
                the account exists, and should not, or the other way round.
            StateError: it cannot be written.
        """
        if len(password) < PASSWORD_MIN_CHARACTERS:
            raise AccountError(f"a password has at least {PASSWORD_MIN_CHARACTERS} characters; nothing was changed")
        if password != whole(password):
            raise AccountError("a password is UTF-8 text, and that was none; nothing was changed")
        if len(password.encode()) > PASSWORD_MAX_BYTES:
            raise AccountError(f"a password has at most {PASSWORD_MAX_BYTES} bytes; nothing was changed")
        try:
            hashed = _HASHER.hash(password)
        except argon2.exceptions.HashingError as error:
            raise AccountError(f"the password cannot be hashed here ({error}); nothing was changed") from error
        content = {"v": 1, "person": person, "hash": hashed, "changed_wall_s": int(time.time())}
        with self._locked():
            make_directory(self.directory, 0o700)
            if exists is not None and exists != os.path.lexists(self._path(person)):
                changed = "was removed meanwhile" if exists else "has got a password meanwhile"
                raise AccountError(f"{person} {changed}; nothing was changed")
            self._replace(person, json.dumps(content, sort_keys=True).encode() + b"\n")

    def remove(self, person: str) -> bool:
        """Remove an account; False where there was none.

        Raises:
            StateError: it cannot be removed.
        """
        try:
            with self._locked():
                os.unlink(self._path(person))
                fsync_directory(self.directory)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StateError(f"cannot remove {self._path(person)}: {error.strerror}") from error
        return True

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other writers out.

        Raises:
            StateError: another one does not let go, or the lock cannot be had at all.
        """
        lock = FileLock(self._lock_file, timeout=LOCKED_WITHIN_S, mode=0o600)
        try:
            lock.acquire()
        except Timeout as error:
            words = f"another process has held it for {LOCKED_WITHIN_S} s; nothing was changed"
            raise StateError(f"{self._lock_file}: {words}") from error
        except (OSError, NotImplementedError) as error:
            words = getattr(error, "strerror", None) or str(error)
            raise StateError(f"cannot lock {self._lock_file}: {words}; nothing was changed") from error
        try:
            yield
        finally:
            lock.release()

    def _path(self, person: str) -> str:
        return os.path.join(self.directory, f"{person}.json")

    def _replace(self, person: str, content: bytes) -> None:
        fresh = f"{self._path(person)}.new"
        try:
            with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as target:
                target.write(content)
                target.flush()
                os.fsync(target.fileno())
            os.rename(fresh, self._path(person))
            fsync_directory(self.directory)
        except OSError as error:
            raise StateError(f"cannot write {self._path(person)}: {error.strerror}") from error


def is_right(account: Account | None, password: str) -> bool:
    """Whether this is the account's password; takes as long where there is no account."""
    sent = password.encode("utf-8", "replace")
    if len(sent) > PASSWORD_MAX_BYTES:
        return False
    try:
        _HASHER.verify(account.hashed if account else _NOBODY, sent)
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False
    return account is not None
