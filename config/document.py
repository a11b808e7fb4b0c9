"""The values of a gate.yaml, with the place of every key and value: what `config.parser` makes of the text."""

from __future__ import annotations

from config.faults import Fault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Yaml = dict[str, Any]  # what is in a file: until it is checked, anything may be missing, or be of another type

Path = tuple[str | int, ...]
Place = tuple[int, int]


class Trap:
    """A plain scalar that YAML 1.1 makes something of that gate.yaml never wants: 1.10, 4:00, 0x1F, 2026-11-24."""

    def __init__(self, kind: str) -> None:
        """Keep what it is to YAML, in a word or two."""
        self.kind = kind


class UnplacedError(Exception):
    """A fault in values that were kept without their places: only the whole load can say where it is."""


class Document:
    """The values of one file. `places` are those of values, `key_places` those of keys, `texts` scalars as written.

    All three are empty where the values were kept from an earlier load (config.compiled): each fault is then an
    `UnplacedError`.
    """

    def __init__(self, file: str, value: Any = None, faults: list[Fault] | None = None) -> None:
        """Begin with no places; `faults` are those that left the text readable."""
        self.file = file
        self.value = value
        self.faults = faults or []
        self.places: dict[Path, Place] = {}
        self.key_places: dict[Path, Place] = {}
        self.texts: dict[Path, str] = {}

    def fault(self, path: Path, message: str, fix: str = "", *, aside: bool = False) -> Fault:
        """Return a fault at the value at `path`; where there is none, at the nearest one around it.

        Raises:
            UnplacedError: the values have no places.
        """
        if not self.places:
            raise UnplacedError
        while path not in self.places:
            path = path[:-1]
        return Fault(self.file, *self.places[path], message, fix, path, aside=aside)

    def line_of(self, path: Path) -> int:
        """Return the line that the value at `path` begins in.

        Raises:
            UnplacedError: the values have no places.
        """
        if not self.places:
            raise UnplacedError
        return self.places[path][0]

    def key_fault(self, path: Path, message: str) -> Fault:
        """Return a fault at the key that `path` ends in.

        Raises:
            UnplacedError: the values have no places.
        """
        if not self.key_places:
            raise UnplacedError
        return Fault(self.file, *self.key_places[path], message)


def meaning(value: Any) -> str:
    """Return what YAML made of a scalar, in a word or two."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Trap):
        return value.kind
    return "nothing" if value is None else "a number"
