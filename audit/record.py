"""One record of the audit log as a line of bytes, and back. Pure.

A line is ASCII JSON in one canonical form, so that whoever knows the record knows its bytes, and their hash
(docs/reference/audit-log.md). Nothing is written that would not be read back as the same record.
"""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, NoReturn

RECORD_VERSION = 1
RECORD_MAX_BYTES = 8192  # line feed included
FIRST_SEQ = 1

OWN_EVENTS = frozenset({"genesis", "recovered"})  # written by the log itself
REQUEST_EVENTS = frozenset({"requested", "vote", "decided", "released", "ended", "notice-failed"})
EVENTS = OWN_EVENTS | REQUEST_EVENTS | {"drop-turned-away"}
OWN_KEYS = frozenset({"v", "log_id", "seq", "prev", "time", "boottime", "host", "version", "torn"})

_EXACT_INTEGERS = 2**53  # RFC 8785: other JSON readers keep integers below this exactly
_DIGITS_MAX = 17
_SHOWN_MAX_CHARACTERS = 80
_TIME_SHAPE = "0000-00-00T00:00:00.000Z"
_DIGITS_TO_ZERO = str.maketrans("123456789", "0" * 9)


class AuditError(Exception):
    """The audit log could not be used; the message is one line for people."""


class UnsoundError(ValueError):
    """A line that is not a record; the message goes on after "line N "."""


def encode(record: Mapping[str, Any]) -> bytes:
    """The line that holds `record`, read back and compared before anyone may write it.

    Raises:
        AuditError: JSON would not give back what was put in (floats, tuples, keys that are not text, lone surrogates,
            integers of 2^53 and more), a key is missing or wrong, or the line is longer than RECORD_MAX_BYTES.
    """
    try:
        line = _ENCODER.encode(record).encode("ascii") + b"\n"
        given_back = decode(line)
    except UnsoundError as error:
        raise AuditError(f"this cannot go into the audit log: the record {error}") from error
    except (TypeError, ValueError, RecursionError) as error:
        raise AuditError(f"this cannot go into the audit log: {error}") from error
    if given_back != record:
        raise AuditError(
            "this cannot go into the audit log: JSON has only text keys, text, integers, booleans and lists"
        )
    return line


def decode(line: bytes) -> dict[str, Any]:
    """The record that `line` (with its line feed) holds.

    Raises:
        UnsoundError: it is not a record in canonical form, or one of its keys is missing or wrong.
    """
    if len(line) > RECORD_MAX_BYTES:
        raise UnsoundError(f"is longer than the {RECORD_MAX_BYTES} bytes that a record may have")
    if not line.endswith(b"\n"):
        raise UnsoundError("does not end in a line feed")
    try:
        text = line[:-1].decode("ascii")
        record = _DECODER.decode(text)
        canonical = _ENCODER.encode(record)
    except (ValueError, RecursionError) as error:
        raise UnsoundError(f"is not ASCII JSON as this log writes it: {error}") from error
    if not isinstance(record, dict):
        raise UnsoundError(f"holds no JSON object but {_shown(record)}")
    if canonical != text:
        raise UnsoundError(
            "is not in canonical form: keys sorted and single, no spaces, only the escapes that are needed"
        )
    fault = _text_fault(text, record) or _key_fault(record)
    if fault:
        raise UnsoundError(fault)
    return record


def parts(fields: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, bytes]:
    """For each key the bytes that a line must hold, if its record has the same value there.

    Raises:
        AuditError: a key is missing, or its value is not for JSON.
    """
    try:
        return {key: _ENCODER.encode({key: fields[key]})[1:-1].encode("ascii") for key in keys}
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise AuditError(f"cannot look for such a record in the audit log: {error!r}") from error


def _is_hex(value: object, length: int) -> bool:
    return isinstance(value, str) and len(value) == length and not value.strip("0123456789abcdef")


def _is_count(value: object, least: int = 0) -> bool:
    return type(value) is int and value >= least


def _is_torn(value: object) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"offset", "length", "sha256"}
        and _is_count(value["offset"])
        and _is_count(value["length"])
        and _is_hex(value["sha256"], 64)
    )


_RIGHT: dict[str, tuple[Callable[[Any], bool], str]] = {
    "v": (lambda value: type(value) is int and value == RECORD_VERSION, f"{RECORD_VERSION}"),
    "log_id": (lambda value: _is_hex(value, 32), "32 hex digits"),
    "seq": (lambda value: _is_count(value, FIRST_SEQ), f"an integer from {FIRST_SEQ}"),
    "prev": (lambda value: _is_hex(value, 64), "64 hex digits"),
    "time": (
        lambda value: isinstance(value, str) and value.translate(_DIGITS_TO_ZERO) == _TIME_SHAPE,
        "a UTC time with milliseconds, as 2026-11-24T01:43:41.123Z",
    ),
    "boottime": (_is_count, "milliseconds since boot"),
    "event": (lambda value: isinstance(value, str) and value in EVENTS, f"one of {', '.join(sorted(EVENTS))}"),
    "host": (lambda value: isinstance(value, str), "text"),
    "version": (lambda value: isinstance(value, str), "text"),
}


def _key_fault(record: Mapping[str, Any]) -> str:
    for key, (is_right, expected) in _RIGHT.items():
        if key not in record:
            return f"lacks {key!r}"
        if not is_right(record[key]):
            return f"has {key} {_shown(record[key])}, expected {expected}"
    event = record["event"]
    if event in REQUEST_EVENTS and not (isinstance(record.get("request"), str) and record["request"]):
        return f"is {event!r} and needs its request's key in 'request'"
    if event == "recovered" and "torn" not in record:
        return "is 'recovered' and lacks 'torn'"
    if "torn" in record and not (event in OWN_EVENTS and _is_torn(record["torn"])):
        return (
            f"has torn {_shown(record['torn'])}, which only a genesis and a recovered have, as offset, length, sha256"
        )
    return ""


def _text_fault(text: str, record: Mapping[str, Any]) -> str:
    if "\\ud" not in text:
        return ""
    try:
        json.dumps(record, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return "holds half of a surrogate pair, which is no text"
    return ""


def _shown(value: object) -> str:
    return ascii(value)[:_SHOWN_MAX_CHARACTERS]


def _integer(digits: str) -> int:
    if len(digits) > _DIGITS_MAX or abs(int(digits)) >= _EXACT_INTEGERS:
        raise ValueError(f"the integer {digits[:_DIGITS_MAX]} is not below 2^53; write it as text")
    return int(digits)


def _refuse_number(digits: str) -> NoReturn:
    raise ValueError(f"the number {digits[:_DIGITS_MAX]} is not an integer; write it as text")


_ENCODER = json.JSONEncoder(ensure_ascii=True, allow_nan=False, sort_keys=True, separators=(",", ":"))
_DECODER = json.JSONDecoder(parse_int=_integer, parse_float=_refuse_number, parse_constant=_refuse_number)
