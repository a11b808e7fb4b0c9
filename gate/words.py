"""Words for people: durations, and text by others made harmless."""

from __future__ import annotations

SHOWN_MAX_CHARACTERS = 200
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def shown(text: object, limit: int = SHOWN_MAX_CHARACTERS) -> str:
    """Text that somebody else wrote, on one line and harmless in a job log or a terminal.

    Control characters, line ends, bidirectional marks and invalid UTF-8 appear as backslash escapes; a backslash is
    doubled, so that what is shown can be told from what was escaped. Without ESC and CR, no ANSI sequence and no
    section marker of GitLab's survives (threats T29). Longer text is cut, and says so.
    """
    text = str(text)
    cut = text[:limit]
    harmless = "".join(c if c.isprintable() and c != "\\" else c.encode("unicode_escape").decode() for c in cut)
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
