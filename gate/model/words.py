"""Words for people: durations, and text by others made harmless."""

from __future__ import annotations

SHOWN_MAX_CHARACTERS = 200
NOUNS = {"approve": "approval", "reject": "rejection"}
DONE = {"approve": "approved", "reject": "rejected"}
_WIDE_SPACE = "\u3000"  # of Chinese and Japanese text; no printable one to Python, and as wide as a letter
# Letters and marks that show nothing (Unicode's Default_Ignorable_Code_Point), and are printable to Python: code and
# data were hidden in them. Two selectors are left out, since emoji carry them.
_UNSEEN = frozenset(
    {
        *"\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0",
        *map(chr, range(0x180B, 0x1810)),
        *map(chr, range(0xFE00, 0xFE0E)),
        *map(chr, range(0xE0100, 0xE01F0)),
    }
)
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def could_deceive(character: str) -> bool:
    """Whether a character cannot be seen as what it is: for all places that show text by others, but for its line ends.

    Controls (ESC of ANSI sequences among them), line and paragraph ends, bidirectional and zero-width ones, blanks that
    look like a plain one, what Unicode does not know, and lone surrogates; letters of every script, and emoji, do not.
    """
    return character in _UNSEEN or not (character.isprintable() or character == _WIDE_SPACE)


def shown(text: object, limit: int = SHOWN_MAX_CHARACTERS) -> str:
    """Text that somebody else wrote, on one line and harmless in a job log or a terminal.

    What could deceive (see there), line ends included, appears as backslash escapes; a backslash is doubled, so that
    what is shown differs from what was escaped. Without ESC and CR, no ANSI sequence and no section marker of
    GitLab's survives (threats T29). Longer text is cut, and says so.
    """
    text = str(text)
    cut = text[:limit]
    harmless = "".join(c if c != "\\" and not could_deceive(c) else c.encode("unicode_escape").decode() for c in cut)
    return harmless if len(text) <= limit else f"{harmless}… ({len(text)} characters)"


def whole(text: str) -> str:
    """Text without lone surrogates, which JSON can spell and UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode()


def ascii_json_bytes(text: str) -> int:
    """The bytes that `text` takes in the audit log, as ASCII JSON without its quotes."""
    import json

    return len(json.dumps(text)) - 2


def duration(seconds: float) -> str:
    """A span of time in at most two units, rounded down: `4h`, `1h 30min`, `2min 5s`, `0s`."""
    left, parts = max(int(seconds), 0), []
    for size, unit in _UNITS:
        if left >= size:
            parts.append(f"{left // size}{unit}")
            left %= size
        elif parts:
            break
    return " ".join(parts[:2]) or "0s"


def listed(names: list[str], last: str = "or") -> str:
    """`a`, `a or b`, `a, b or c`."""
    if len(names) < 2:  # noqa: PLR2004
        return "".join(names)
    return f"{', '.join(names[:-1])} {last} {names[-1]}"
