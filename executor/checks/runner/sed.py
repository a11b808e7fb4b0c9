"""sed(1) scripts that change whole lines, as commands for an operator; tried out before they are shown.

Lines are named by what stands in them and never by number, so that several such commands can be run one after the other.
"""

import re
import shlex
import subprocess

WITHIN_S = 10
_DELIMITERS = "|#,%~@!"
Script = tuple[str, ...]  # each given with -e


def replaced(old: str, new: str) -> Script | None:
    """Return what puts `new` in the place of each line that is `old`; None where that cannot be written down."""
    delimiter = _delimiter(old + new)
    text = re.sub(r"([\\&])", r"\\\1", new)
    return (f"s{delimiter}^{literal(old)}${delimiter}{text}{delimiter}",) if delimiter else None


def removed(old: str) -> Script | None:
    """Return what takes away each line that is `old`."""
    place = address(old)
    return (f"{place}d",) if place else None


def added(after: str, new: str) -> Script | None:
    """Return what adds `new` below each line that is `after`."""
    place = address(after)
    return (f"{place}a\\{_backslashed(new)}",) if place else None


def first(new: str) -> Script:
    """Return what adds `new` as the first line."""
    return (f"1i\\{_backslashed(new)}",)


def within(begin: str, end_pattern: str, script: Script | None) -> Script | None:
    """Return what does `script` only from the line `begin` to the next that `end_pattern` matches."""
    start, delimiter = address(begin), _delimiter(end_pattern)
    if script is None or not start or not delimiter:
        return None
    return (f"{start},\\{delimiter}{end_pattern}{delimiter}{{", *script, "}")


def address(line: str) -> str | None:
    """Return the sed address of the lines that are `line`; None where it cannot be written down."""
    delimiter = _delimiter(line)
    return f"\\{delimiter}^{literal(line)}${delimiter}" if delimiter else None


def literal(line: str) -> str:
    """Return the basic regular expression for exactly this text."""
    return re.sub(r"([\\.*\[\]^$])", r"\\\1", line)


def command(path: str, script: Script) -> str:
    """Return the command that applies a script to a file."""
    words = " ".join(f"-e {shlex.quote(part)}" for part in script)
    return f"sed -i {words.removeprefix('-e ') if len(script) == 1 else words} {shlex.quote(path)}"


def applied(text: str, script: Script) -> str | None:
    """Return what sed really makes of `text`; None where it fails."""
    words = ["sed", *[word for part in script for word in ("-e", part)]]
    try:
        done = subprocess.run(words, input=text.encode(), capture_output=True, timeout=WITHIN_S, check=True)
        return done.stdout.decode()
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def _delimiter(text: str) -> str:
    return next((each for each in _DELIMITERS if each not in text), "") if text.replace("\t", "").isprintable() else ""


def _backslashed(text: str) -> str:
    return text.replace("\\", "\\\\")
