"""typing.NamedTuple for the lean path, which does not import typing: 4 ms for each stage (docs/architecture.md).

The type checker sees typing's own. What runs is a class statement of the same form that makes a plain namedtuple.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Generic as Generic  # noqa: PLC0414  handed on
    from typing import NamedTuple as NamedTuple  # noqa: PLC0414
else:
    from collections import namedtuple

    class _Maker(type):
        def __new__(cls, name: str, bases: tuple[type, ...], space: dict[str, object]) -> type:
            if not bases:
                return super().__new__(cls, name, bases, space)
            made = namedtuple(name, space["__annotations__"], module=space["__module__"])  # noqa: PYI024
            made.__doc__ = space["__doc__"]
            return made

    class NamedTuple(metaclass=_Maker):
        """The base of a class that has fields, without defaults, and a docstring, and nothing more."""

    class Generic:
        """Takes any parameter, and does nothing."""

        def __class_getitem__(cls, _parameter: object) -> type:
            return cls
