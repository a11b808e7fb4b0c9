"""Whether two patterns have a name in common. Pure; gate.model.matching says what a pattern is."""

from __future__ import annotations

import re
from functools import cache

_STARS = ("*", "**")
Tokens = tuple[str, ...]


def meet(one: str, other: str) -> bool:
    """Whether some name is of both patterns."""
    return _meet(_tokens(one), _tokens(other))


def _tokens(pattern: str) -> Tokens:
    return tuple(re.findall(r"\*\*|.", pattern, re.DOTALL))


@cache
def _meet(one: Tokens, other: Tokens) -> bool:
    if not one or not other:
        return all(each in _STARS for each in one + other)
    if one[0] in _STARS and (_meet(one[1:], other) or (_takes(one[0], other[0]) and _meet(one, other[1:]))):
        return True
    if other[0] in _STARS and (_meet(one, other[1:]) or (_takes(other[0], one[0]) and _meet(one[1:], other))):
        return True
    is_plain = one[0] not in _STARS and other[0] not in _STARS
    return is_plain and _same(one[0], other[0]) and _meet(one[1:], other[1:])


def _takes(star: str, other: str) -> bool:
    return star == "**" or other != "/"


def _same(one: str, other: str) -> bool:
    return one == other or ("?" in (one, other) and "/" not in (one, other))
