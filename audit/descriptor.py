"""Descriptors that are closed at the end of a `with`; most files here are opened relative to an open directory."""

from __future__ import annotations

import os


class Held:
    """`with Held(os.open(…)) as descriptor`."""

    def __init__(self, descriptor: int) -> None:
        """Take it over."""
        self._descriptor = descriptor

    def __enter__(self) -> int:
        """Hand it out."""
        return self._descriptor

    def __exit__(self, *_: object) -> None:
        """Close it."""
        os.close(self._descriptor)


def held_directory(path: str, access: int = os.O_RDONLY) -> Held:
    """A directory, for `with`; `access` may be O_PATH, or have O_NOFOLLOW.

    Raises:
        OSError: it cannot be opened.
    """
    return Held(os.open(path, access | os.O_DIRECTORY | os.O_CLOEXEC))
