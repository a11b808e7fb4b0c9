"""What PyYAML says of a file that is no YAML, in the operator's words."""

import yaml
from yaml.reader import ReaderError

from config.faults import Fault, quoted

_DEFAULT_HINT = "check the quotes, brackets and indentation around here"
_HINTS = {
    "found another document": "gate.yaml is one document, remove the '---' and what follows",
    "'\\t'": "indent with spaces, not tabs",
    "expected alphabetic or numeric": "put a text that begins with * or & in quotes",
    "cannot start any token": "put a text that begins with this character in quotes",
    "mapping values are not allowed": "check the indentation, or put a text that has ': ' in it in quotes",
    "could not find expected ':'": "write a colon and a space after the key",
    "expected ',' or": "add the missing comma or closing bracket",
    "expected <block end>": "indent this line like its neighbours",
    "unexpected end of stream": "close the quotes",
}


def explain(error: Exception, data: bytes, file: str, reached: tuple[int, int]) -> Fault:
    """Return the one fault that a failed parse comes to; `reached` is where PyYAML stood when it failed."""
    if isinstance(error, UnicodeDecodeError):
        seen = error.object  # without the byte-order mark
        return _at(seen[: error.start].decode("utf-8"), file, _not_utf8(seen[error.start]))
    if isinstance(error, ReaderError):
        return _at(data.decode("utf-8-sig")[: error.position], file, _unprintable(error))
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        return Fault(file, mark.line + 1, mark.column + 1, _sentence(error))
    return Fault(file, *reached, f"not YAML: an escape or a number here is out of range: {_DEFAULT_HINT}")


def _at(before: str, file: str, message: str) -> Fault:
    return Fault(file, before.count("\n") + 1, len(before) - before.rfind("\n"), message)


def _not_utf8(byte: int) -> str:
    return f"not UTF-8: byte 0x{byte:02x} stands here: save the file as UTF-8"


def _unprintable(error: ReaderError) -> str:
    character = error.character if isinstance(error.character, str) else chr(error.character)
    return f"the character {quoted(character)} is not allowed in YAML: remove it"


def _sentence(error: yaml.MarkedYAMLError) -> str:
    problem = str(error.problem).encode("ascii", "backslashreplace").decode()
    hint = next((hint for words, hint in _HINTS.items() if words in problem), _DEFAULT_HINT)
    return f"not YAML: {problem.removeprefix('but ')}: {hint}"
