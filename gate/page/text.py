"""Text that others wrote, as HTML: what they wrote, to the letter, and nothing that it could do.

A comment is plain Markdown, and stays plain: `**strong**`, `code` in backticks and addresses look like it, and every
character is still there, so that what is read is what the audit log has (docs/adr/0011-comments.md).
"""

from __future__ import annotations

import re

from markupsafe import Markup, escape

from gate.model.words import could_deceive

_KEPT = "\n\t"
_NUL, _PICTURE_OF_NUL = "\0", "\u2400"
_PIECE = re.compile(r"(`[^`\n]+`)|(\*\*[^*\n]+\*\*)|(https?://[^\s<>\"'`]*[^\s<>\"'`.,;:!?)\]])")


def exactly(text: object) -> Markup:
    """Text as HTML whose text content is the same; odd characters are marked, and confined, so that they change nothing.

    NUL, which HTML has no way to write, is shown as its picture.
    """
    written = str(text)
    # By the few characters that a text is made of: one of megabytes with an odd one in it shall hold nobody up.
    marked = {ord(each): _marked(each) for each in set(written) if _is_odd(each)}
    return Markup(escape(written).translate(marked) if marked else escape(written))  # noqa: S704  escaped it is


def comment(text: object) -> Markup:
    """A comment as HTML, with the same text content."""
    pieces, at, written = [], 0, str(text)
    for found in _PIECE.finditer(written):
        pieces += [exactly(written[at : found.start()]), _styled(found)]
        at = found.end()
    return Markup("").join([*pieces, exactly(written[at:])])


def odd_characters(text: str) -> list[str]:
    """The code points of odd characters in a text, each once: `U+202E`."""
    return [_code(each) for each in dict.fromkeys(text) if _is_odd(each)]


def _styled(found: re.Match[str]) -> Markup:
    code, strong, url = found.groups()
    if code:
        return Markup("<code>{}</code>").format(exactly(code))
    if strong:
        return Markup("<strong>{}</strong>").format(exactly(strong))
    return Markup('<a href="{}" rel="nofollow noopener noreferrer">{}</a>').format(url, exactly(url))


def _is_odd(character: str) -> bool:
    return character not in _KEPT and could_deceive(character)


def _marked(character: str) -> Markup:
    # A reference is kept as CR; all others stand as they are, since references to some mean other characters.
    shown = {_NUL: escape(_PICTURE_OF_NUL), "\r": Markup("&#13;")}.get(character, escape(character))
    return Markup('<span class="odd" data-code="{}">{}</span>').format(_code(character), shown)


def _code(character: str) -> str:
    return f"U+{ord(character):04X}"
