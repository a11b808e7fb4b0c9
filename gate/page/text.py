"""Text that others wrote, as HTML: what they wrote, to the letter, and nothing that it could do.

What is written from right to left is confined to itself, so that the text around it stays where it is: `#1234` behind
an Arabic name would stand before it otherwise (Unicode's UAX #9 lets numbers and signs follow the letters before them).

A comment is shown as it was typed; only its addresses lead somewhere (docs/adr/0011-comments.md).
"""

from __future__ import annotations

import re
import unicodedata

from markupsafe import Markup, escape

from gate.model.words import could_deceive, duration

_KEPT = "\n\t"
_NUMBER = re.compile(r"([0-9])([a-z])")
_RIGHT_TO_LEFT = ("R", "AL", "AN")  # bidirectional classes
_NUL, _PICTURE_OF_NUL = "\0", "\u2400"
_ADDRESS = re.compile(r"https?://[^\s<>\"'`]*[^\s<>\"'`.,;:!?)\]*]")


def exactly(text: object) -> Markup:
    """Text as HTML whose text content is the same; odd characters are marked and confined, so that they change nothing.

    NUL, which HTML has no way to write, is shown as its picture.
    """
    written = str(text)
    # By the few characters that a text is made of: one of megabytes with an odd one in it must not hold the page up.
    letters = set(written)
    marked = {ord(each): _marked(each) for each in letters if _is_odd(each)}
    html = escape(written).translate(marked) if marked else escape(written)
    return Markup(_confined(str(html), letters))  # noqa: S704  escaped it is


def _confined(html: str, letters: set[str]) -> str:
    """Escaped text with each run of right-to-left words in an element of its own; no markup has such letters in it."""
    plain = [each for each in letters if not _is_odd(each)]
    turned = "".join(each for each in plain if unicodedata.bidirectional(each) in _RIGHT_TO_LEFT)
    if not turned:
        return html
    vowel_signs = "".join(each for each in plain if unicodedata.bidirectional(each) == "NSM")
    return re.sub(rf"[{re.escape(turned)}](?: *[{re.escape(turned + vowel_signs)}])*", r"<bdi>\g<0></bdi>", html)


def comment(text: object) -> Markup:
    """A comment as HTML, with the same text content."""
    pieces, at, written = [], 0, str(text)
    for found in _ADDRESS.finditer(written):
        pieces += [exactly(written[at : found.start()]), _linked(found[0])]
        at = found.end()
    return Markup("").join([*pieces, exactly(written[at:])])


def spaced_duration(seconds: float) -> str:
    """A span of time as people write it: `2 h 29 min`."""
    return _NUMBER.sub(r"\1 \2", duration(seconds))


def odd_characters(text: str) -> list[str]:
    """The code points of odd characters in a text, each once: `U+202E`."""
    return [_code(each) for each in dict.fromkeys(text) if _is_odd(each)]


def _linked(url: str) -> Markup:
    """An address as a link that opens beside the page, so that nothing that is being written is left."""
    return Markup('<a href="{}" target="_blank" rel="nofollow noopener noreferrer">{}</a>').format(url, exactly(url))


def _is_odd(character: str) -> bool:
    return character not in _KEPT and could_deceive(character)


def _marked(character: str) -> Markup:
    # A reference is kept as CR; all others stand as they are, since references to some mean other characters.
    shown = {_NUL: escape(_PICTURE_OF_NUL), "\r": Markup("&#13;")}.get(character, escape(character))
    return Markup('<span class="odd" data-code="{}">{}</span>').format(_code(character), shown)


def _code(character: str) -> str:
    return f"U+{ord(character):04X}"
