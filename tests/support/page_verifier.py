"""A verifier of the audit log, written from docs/reference/audit-log.md alone: `page_verifier.py DIRECTORY [SEQ:SHA256 …]`.

It imports nothing of ours, so that tests can hold our own against it. It only says whether the log is right, and reads
whole files.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

EVENTS = {
    "genesis",
    "requested",
    "vote",
    "decided",
    "released",
    "ended",
    "drop-turned-away",
    "notice-failed",
    "recovered",
}
OF_NO_REQUEST = {"genesis", "drop-turned-away", "recovered"}
TIME = "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{3}Z"
FORMS = {"log_id": "[0-9a-f]{32}", "prev": "[0-9a-f]{64}", "time": TIME, "host": "(?s:.*)", "version": "(?s:.*)"}
COUNTS = {"v": 1, "seq": 1, "boottime": 0}  # and the least that each may be


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def is_text(value: Any, form: str) -> bool:
    return isinstance(value, str) and re.fullmatch(form, value) is not None


def is_count(value: Any, least: int) -> bool:
    return type(value) is int and value >= least


def is_exact(value: Any) -> bool:
    """Whether all numbers are integers below 2^53, and no text has half of a surrogate pair."""
    if isinstance(value, dict):
        return all(is_exact(part) for pair in value.items() for part in pair)
    if isinstance(value, list):
        return all(is_exact(part) for part in value)
    if isinstance(value, str):
        return not re.search("[\ud800-\udfff]", value)
    return value is None or isinstance(value, bool) or (isinstance(value, int) and abs(value) < 2**53)


def is_torn(value: Any) -> bool:
    if not isinstance(value, dict) or value.keys() != {"offset", "length", "sha256"}:
        return False
    return is_count(value["offset"], 0) and is_count(value["length"], 0) and is_text(value["sha256"], "[0-9a-f]{64}")


def record_in(line: bytes) -> dict[str, Any] | None:
    """The record that a line with its line feed is, or None."""
    try:
        record = json.loads(line)
        canonical = json.dumps(record, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    except (ValueError, RecursionError):
        return None
    if len(line) > 8192 or line != canonical or not isinstance(record, dict) or not is_exact(record):
        return None
    right = [is_text(record.get(key), form) for key, form in FORMS.items()]
    right += [is_count(record.get(key), least) for key, least in COUNTS.items()]
    event = record.get("event")
    right += [record.get("v") == 1, event in list(EVENTS)]
    right += [event in list(OF_NO_REQUEST) or is_text(record.get("request"), "(?s:.+)")]
    right += [
        is_torn(record["torn"]) and event in ("genesis", "recovered") if "torn" in record else event != "recovered"
    ]
    return record if all(right) else None


def is_right(directory: Path, anchors: list[tuple[int, str]]) -> bool:
    """Whether the log is what was written: rules 1 to 6 of "Verifying"."""
    names = [re.fullmatch("audit[.]([1-9][0-9]*)[.]jsonl", path.name) for path in directory.iterdir()]
    numbers = sorted(int(name[1]) for name in names if name)
    seq, prev, log_id, hashes = 0, "0" * 64, None, {}
    for number in numbers:
        data = (directory / f"audit.{number}.jsonl").read_bytes()
        begins, after_sound, first = 0, 0, True
        unsound: list[bytes] = []
        for line in re.findall(rb"[^\n]*\n|[^\n]+", data):
            record = record_in(line)
            if record is None:
                unsound.append(line)
            else:
                between = data[after_sound:begins][:-1]
                named = {"offset": after_sound, "length": len(between), "sha256": sha256(between)} if unsound else None
                log_id = log_id or record["log_id"]
                if (record["log_id"], record["seq"], record["prev"]) != (log_id, seq + 1, prev):
                    return False
                if record.get("torn") != named or first != (record["event"] == "genesis"):
                    return False
                seq, prev, first, unsound, after_sound = seq + 1, sha256(line), False, [], begins + len(line)
                hashes[seq] = prev
            begins += len(line)
        ended = [
            line.endswith(b"#\n") or (at == len(unsound) - 1 and line[-1:] != b"\n") for at, line in enumerate(unsound)
        ]
        if not all(ended) or (unsound and number != numbers[-1]):
            return False
    return numbers == list(range(1, len(numbers) + 1)) and seq > 0 and all(hashes.get(s) == h for s, h in anchors)


if __name__ == "__main__":
    kept = [(int(seq), sha) for seq, _, sha in (word.partition(":") for word in sys.argv[2:])]
    right = is_right(Path(sys.argv[1]), kept)
    print("right" if right else "wrong")
    sys.exit(not right)
