"""One record of the audit log as a line of bytes, and back. Pure.

A line is ASCII JSON in one canonical form, so that the record determines its bytes, and their hash
(docs/reference/audit-log.md). Nothing is written that would not be read back as the same record.
"""

from __future__ import annotations

import json
import re

from audit.errors import AuditError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, NoReturn

    Record = dict[str, Any]
    # Which fields a record has goes by its event (docs/reference/audit-log.md); `decode` gives none that is not sound.

RECORD_VERSION = 1
RECORD_MAX_BYTES = 8192  # line feed included
FIRST_SEQ = 1

OWN_EVENTS = frozenset({"genesis", "recovered"})  # written by the log itself
REQUEST_EVENTS = frozenset({"requested", "vote", "decided", "released", "ended", "notice-failed"})
EVENTS = OWN_EVENTS | REQUEST_EVENTS | {"drop-turned-away"}
OWN_KEYS = frozenset({"v", "log_id", "seq", "prev", "time", "boottime", "host", "version", "torn"})

_EXACT_INTEGERS = 2**53  # RFC 8785: other JSON readers keep integers below this exactly
_DIGITS_SAFE = 16
_DIGITS_MAX = 17
_SHOWN_MAX_CHARACTERS = 80
_TIME = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{3}Z")


class UnsoundError(ValueError):
    """A line that is not a record; the message goes on after "line N "."""


def encode(record: Record) -> bytes:
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


def decode(line: bytes) -> Record:
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
        record, _end = _DECODER.raw_decode(text)
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


def is_newer(line: bytes) -> bool:
    """Whether a line is a record to a newer version of the gate only: whole, and of a version or event unknown here."""
    try:
        text = line[:-1].decode("ascii")
        record = _DECODER.decode(text)
        whole = isinstance(record, dict) and _ENCODER.encode(record) == text and _is_hex(record.get("log_id"), 32)
    except (ValueError, RecursionError):
        return False
    if not whole or type(record.get("v")) is not int:
        return False
    return bool(record["v"] > RECORD_VERSION or (record["v"] == RECORD_VERSION and record.get("event") not in EVENTS))


def canonical(value: object) -> str:
    """A value of a record, or a whole one, as it stands in the log, without a line feed."""
    return _ENCODER.encode(value)


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


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _is_torn(value: object) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"offset", "length", "sha256"}
        and _is_count(value["offset"])
        and _is_count(value["length"])
        and _is_hex(value["sha256"], 64)
    )


def _any(_text: str) -> bool:
    return True


# For each key its type, a test that runs in C where it can, since verifying does all of them for each line, and its
# words.
_RIGHT: dict[str, tuple[type, Callable[[Any], object], str]] = {
    "v": (int, RECORD_VERSION.__eq__, f"{RECORD_VERSION}"),
    "log_id": (str, re.compile("[0-9a-f]{32}").fullmatch, "32 hex digits"),
    "seq": (int, FIRST_SEQ.__le__, f"an integer from {FIRST_SEQ}"),
    "prev": (str, re.compile("[0-9a-f]{64}").fullmatch, "64 hex digits"),
    "time": (str, _TIME.fullmatch, "a UTC time with milliseconds, as 2026-11-24T01:43:41.123Z"),
    "boottime": (int, (0).__le__, "milliseconds since boot"),
    "event": (str, EVENTS.__contains__, f"one of {', '.join(sorted(EVENTS))}"),
    "host": (str, _any, "text"),
    "version": (str, _any, "text"),
}


def _key_fault(record: Record) -> str:
    for key, (kind, is_right, expected) in _RIGHT.items():
        value = record.get(key)
        if type(value) is not kind or not is_right(value):
            return f"has {key} {_shown(value)}, expected {expected}" if key in record else f"lacks {key!r}"
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


def _text_fault(text: str, record: Record) -> str:
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
    if len(digits) < _DIGITS_SAFE:
        return int(digits)
    if len(digits) > _DIGITS_MAX or abs(int(digits)) >= _EXACT_INTEGERS:
        raise ValueError(f"the integer {digits[:_DIGITS_MAX]} is not below 2^53; write it as text")
    return int(digits)


def _refuse_number(digits: str) -> NoReturn:
    raise ValueError(f"the number {digits[:_DIGITS_MAX]} is not an integer; write it as text")


_ENCODER = json.JSONEncoder(ensure_ascii=True, allow_nan=False, sort_keys=True, separators=(",", ":"))
_DECODER = json.JSONDecoder(parse_int=_integer, parse_float=_refuse_number, parse_constant=_refuse_number)
