"""State that a newer version of the gate wrote is refused in one plain line, and left as it is."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from audit import log
from audit.verify import verify
from gate.store import layout
from gate.store.files import StateError, read_json
from gate.upkeep import sweep
from tests.support.audit_logs import VERSION, add, filled, lines_of
from tests.support.gate_state import made, open_request

if TYPE_CHECKING:
    from collections.abc import Callable

NEWER: dict[str, Callable[[Any], Any]] = {
    "a newer version": lambda record: record.update(v=2),
    "an event that is new": lambda record: record.update(event="delegated"),
}


def with_record(directory: Path, change: Callable[[Any], Any]) -> bytes:
    """A log whose last record is of a newer gate; returns its bytes."""
    file = filled(directory, 2)
    last = lines_of(file)[-1]
    record = json.loads(last)
    record |= {"seq": record["seq"] + 1, "prev": hashlib.sha256(last).hexdigest()}
    change(record)
    with file.open("ab") as target:
        target.write(json.dumps(record, sort_keys=True, separators=(",", ":")).encode() + b"\n")
    return file.read_bytes()


@pytest.mark.parametrize("what", NEWER)
def test_a_log_with_newer_records_is_not_mended_but_refused(tmp_path: Path, what: str) -> None:
    before = with_record(tmp_path, NEWER[what])

    for _ in range(2):
        with pytest.raises(log.AuditError, match=r"audit\.1\.jsonl ends with a record of a newer version of the gate"):
            add(tmp_path)
    with pytest.raises(log.AuditError, match="newer version"):
        log.append_once(
            str(tmp_path), {"event": "ended", "request": "r"}, same=("event",), since=(1, 0), version=VERSION
        )
    assert (tmp_path / "audit.1.jsonl").read_bytes() == before


TORN: dict[str, Callable[[bytes], bytes]] = {
    "cut short": lambda line: line[:-1],
    "not as the log spells it": lambda line: line.replace(b'"v":', b'"v": '),
    "of version 0": lambda line: line.replace(b'"v":2', b'"v":0'),
    "of version true": lambda line: line.replace(b'"v":2', b'"v":true'),
    "of no log": lambda line: line.replace(b'"log_id":"', b'"log_id":"x'),
}


@pytest.mark.parametrize("what", TORN)
def test_what_is_no_newer_record_is_mended(tmp_path: Path, what: str) -> None:
    before = with_record(tmp_path, NEWER["a newer version"])
    file = tmp_path / "audit.1.jsonl"
    *lines, last = lines_of(file)
    file.write_bytes(b"".join([*lines, TORN[what](last)]))
    assert file.read_bytes() != before

    head = add(tmp_path)
    report = verify(str(tmp_path), [head])
    assert (report.ok, report.mended) == (True, 1)


@pytest.mark.parametrize("version", [2, 0, "1", None])
def test_a_state_file_of_another_version_is_refused(tmp_path: Path, version: object) -> None:
    path = tmp_path / "decision.json"
    path.write_text(json.dumps({"v": version, "decision": "approved"}), encoding="utf-8")

    with pytest.raises(StateError, match=r"decision\.json is not of this version of the gate: it has v "):
        read_json(str(path))


@pytest.mark.parametrize("name", ["request.json", "decision.json", "ended.json"])
def test_a_sweep_leaves_a_newer_request_alone(tmp_path: Path, name: str) -> None:
    policy = made(tmp_path / "state")
    request = open_request(policy, boot_id="another")
    path = Path(request.directory) / name
    path.write_text(json.dumps({"v": 2, "key": request.key}), encoding="utf-8")
    for each in (path, request.directory):
        os.utime(each, (0, 0))
    before = sorted(os.listdir(request.directory))

    (fault,) = sweep.sweep(policy, "own")
    assert "is not of this version of the gate" in fault
    assert sorted(os.listdir(request.directory)) == before
    assert not os.path.exists(os.path.join(layout.audit(policy["state_dir"]), "audit.1.jsonl"))
