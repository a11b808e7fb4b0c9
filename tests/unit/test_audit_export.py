"""`gate audit export` and `tail`: which records, in which form, and nothing in them that a spreadsheet or terminal would run."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import log, reading, record
from audit.chain import Head
from audit.errors import AuditError
from audit.filters import Filter, moment, selected
from audit.rotate import rotate
from audit.table import COLUMNS, lines, row_of, safe
from tests.support.audit_gate import AuditGate
from tests.support.audit_logs import VERSION, add, filled
from tests.support.site import APPROVER, CHECKOUT, IS_ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_GATE = f"import sys; sys.path.insert(0, {str(CHECKOUT)!r}); import gitlab_runner_gate; gitlab_runner_gate.gate_main()"


@pytest.fixture
def gate() -> Iterator[AuditGate]:
    with AuditGate() as made:
        yield made


def job(path: str, user: str = "dev") -> dict[str, Any]:
    return {"path": path, "user": user, "id": 1, "name": "deploy"}


STORY: list[dict[str, Any]] = [
    {"seq": 1, "time": "2026-11-22T23:59:59.999Z", "event": "genesis"},
    {"seq": 2, "time": "2026-11-23T00:00:00.000Z", "event": "requested", "request": "r-1", "job": job("shop/web")},
    {"seq": 3, "time": "2026-11-23T10:00:00.000Z", "event": "requested", "request": "r-2", "job": job("shop/API", "alice / x")},
    {"seq": 4, "time": "2026-11-23T10:00:00.500Z", "event": "vote", "request": "r-1", "by": {"person": "alice"}},
    {"seq": 5, "time": "2026-11-23T10:00:01.000Z", "event": "decided", "request": "r-1", "by": {"person": "alice"},
     "decision": "approved"},
    {"seq": 6, "time": "2026-11-24T00:00:00.000Z", "event": "decided", "request": "r-2", "decision": "expired", "job": job("shop/API")},
    {"seq": 7, "time": "2026-11-24T01:00:00.000Z", "event": "drop-turned-away", "by": {"person": "alice", "via": "drop"}},
    {"seq": 8, "time": "2026-11-24T02:00:00.000Z", "event": "vote", "request": "r-3", "by": {"person": "bob"},
     "job": job("shop/web/sub"), "decision": "approve"},
    {"seq": 9, "time": "2026-11-24T03:00:00.000Z", "event": "ended", "request": "r-1", "rehearsal": True},
    {"seq": 10, "time": "2026-11-24T04:00:00.000Z", "event": "drop-turned-away", "by": None, "job": "odd", "request": 7},
]  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "seqs"),
    [
        (Filter(), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
        (Filter(since="2026-11-24"), [6, 7, 8, 9, 10]),
        (Filter(until="2026-11-23"), [1, 2, 3, 4, 5]),
        (Filter(since="2026-11-23", until="2026-11-23"), [2, 3, 4, 5]),
        (Filter(since="2026-11-23T10:00:00", until="2026-11-23T10:00:00"), [3, 4]),
        (Filter(event="vote"), [4, 8]),
        (Filter(rehearsals="only"), [9]),
        (Filter(rehearsals="no", since="2026-11-24"), [6, 7, 8, 10]),
        (Filter(person="alice"), [2, 3, 4, 5, 6, 7, 9]),
        (Filter(person="Alice"), [3, 6]),  # no such person in gate.yaml, but the GitLab name
        (Filter(person="bob"), [8]),
        (Filter(person="dev"), [2, 4, 5, 6, 3, 8, 9]),
        (Filter(person="nobody"), []),
        (Filter(outcome="approved"), [2, 4, 5, 9]),
        (Filter(outcome="approve"), []),
        (Filter(outcome="approved", since="2026-11-24"), [9]),
        (Filter(outcome="expired", event="requested"), [3]),
        (Filter(person="alice", outcome="expired"), [3, 6]),
        (Filter(person="bob", outcome="approved"), []),
        (Filter(project=lambda path: path == "shop/web"), [2, 4, 5, 9]),
        (Filter(project=lambda path: path == "shop/web", person="alice"), [2, 4, 5, 9]),
        (Filter(project=lambda path: path == "shop/web", outcome="expired"), []),
    ],
)
def test_time_and_event_choose_records_and_the_rest_whole_requests(wanted: Filter, seqs: list[int]) -> None:
    records = [(Head(record["seq"], ""), record) for record in STORY]

    assert [head.seq for head, _ in selected(lambda: records, wanted)] == sorted(seqs)


@pytest.mark.parametrize(
    ("text", "begins"),
    [("2026-11-24", "2026-11-24"), ("2028-02-29", "2028-02-29"), ("2026-11-24T14:05:00Z", "2026-11-24T14:05:00")],
)
def test_a_time_is_a_day_or_a_second(text: str, begins: str) -> None:
    assert moment("--since", text) == begins


@pytest.mark.parametrize(
    "text", ["", "today", "2026-11-31", "2026-2-1", "2026-11-24T14:05Z", "2026-11-24T14:05:00", "2026-11-24T24:05:00Z",
             "2026-11-24T14:05:00+01:00", "2026-11-24 ", "\u0662026-11-24"],
)  # fmt: skip
def test_what_is_no_time_is_told(text: str) -> None:
    with pytest.raises(AuditError, match=r"--since .* is neither a UTC day"):
        moment("--since", text)


def test_jsonl_is_the_log_s_own_lines(gate: AuditGate) -> None:
    gate.fill(3)
    rotate(str(gate.log), 1, version=VERSION)
    add(gate.log, comment="\u202e\x1b[31mä\n")
    whole = b"".join(path.read_bytes() for path in sorted(gate.log.glob("audit.*.jsonl")))

    assert gate.audit("export").stdout_bytes == whole
    assert gate.audit("show", "--json").stdout_bytes == whole


def test_csv_has_a_row_for_each_record(gate: AuditGate) -> None:
    by = {"person": "alice", "via": "page", "uid": 5}
    head = add(
        gate.log, "decided", "r-1", decision="approved", by=by, comment='a "b"\nc', job=job("shop/web"), config="c" * 64
    )

    content = gate.audit("export", "--format", "csv").stdout_bytes.decode()
    header, genesis, decided = csv.reader(io.StringIO(content, newline=""), strict=True)

    assert (tuple(header), len(content.split("\r\n"))) == (COLUMNS, 4)
    assert all(field.startswith('"') for line in content.split("\r\n")[:-1] for field in line.split('","')[:1])
    row = dict(zip(header, decided, strict=True))
    assert dict(zip(header, genesis, strict=True))["event"] == "genesis"
    expected = {"seq": "2", "event": "decided", "request": "r-1", "decision": "approved", "person": "alice", "via": "page",
                "comment": 'a "b"\\nc', "project": "shop/web", "job": "1", "triggered_by": "dev", "sha256": head.sha256}  # fmt: skip
    assert {key: row[key] for key in expected} == expected
    assert json.loads(row["more"]) == {"by": {"uid": 5}, "config": "c" * 64}


TEXTS = st.text() | st.builds(
    "".join, st.lists(st.sampled_from([*"=+-@\t\r|%'\" \n\x1b\u202e\x00", "cmd", "\u2028", "1"]))
)


@given(TEXTS, st.dictionaries(st.sampled_from(["comment", "why", "rule", "other", "drop"]), TEXTS), st.none() | TEXTS)
def test_no_value_is_a_formula_or_moves_a_cursor(person: str, fields: dict[str, str], path: str | None) -> None:
    by, job = {"person": person, "x": person}, {"path": path, "y": [person]}
    story = {"seq": 1, "time": "t", "event": "vote", "request": person, "by": by, "job": job}

    row = row_of(Head(1, "0" * 64), {**story, **fields})

    assert all(value.isprintable() for value in row)
    assert not [
        value for value in row if value.lstrip(" '\"")[:1] in set("=+-@\t\r|%") - {""} and not value.startswith("'")
    ]
    assert next(csv.reader(io.StringIO(lines([row]), newline=""), strict=True)) == row


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, ""), (7, "7"), ("=1", "'=1"), (" =1", "' =1"), ("'=1", "''=1"), ('"@x', "'\"@x"), ("a=1", "a=1"), ("", "")],
)
def test_a_quote_goes_before_a_formula(value: object, shown: str) -> None:
    assert safe(value) == shown


def test_filters_reach_the_command(gate: AuditGate) -> None:
    add(gate.log, "requested", "r-1", job=job("Shop/web"))
    add(gate.log, "decided", "r-1", decision="rejected", by={"person": "alice"})
    add(gate.log, "requested", "r-2", job=job("shop/sub/web"))

    def found(*words: str) -> list[int]:
        return [json.loads(line)["seq"] for line in gate.audit("export", *words).stdout.splitlines()]

    assert found("--project", "shop/*") == found("--person", "alice") == found("--outcome", "rejected") == [2, 3]
    assert found("--project", "shop/**", "--event", "requested") == [2, 4]
    assert found("--since", "2000-01-01", "--until", "2999-12-31") == [1, 2, 3, 4]
    none = gate.audit("export", "--until", "2000-01-01T00:00:00Z")
    assert (none.exit_code, none.stdout, none.stderr) == (0, "", "no record fits\n")
    assert gate.audit("export", "--outcome", "maybe").exit_code == 2


@pytest.mark.parametrize("count", [0, 1, 3, 7, 100])
def test_tail_shows_the_newest(gate: AuditGate, count: int) -> None:
    for _ in range(3):
        gate.fill(2)
        rotate(str(gate.log), 1, version=VERSION)
    whole = gate.audit("show").stdout.splitlines()

    assert gate.audit("tail", "-n", str(count)).stdout.splitlines() == whole[len(whole) - min(count, len(whole)) :]
    assert len(gate.audit("tail", "--json").stdout.splitlines()) == 10


def test_the_newest_are_found_without_reading_the_whole_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)
    file = filled(tmp_path, 300)
    with file.open("ab") as more:
        more.write(b"\0" * 30_000)
    heads = [add(tmp_path) for _ in range(2)]
    decoded: list[bytes] = []

    def decode(line: bytes) -> dict[str, Any]:
        decoded.append(line)
        return record.decode(line)

    monkeypatch.setattr(reading, "decode", decode)

    found = log.newest(str(tmp_path), 3)

    assert [head for _, head, _ in found][1:] == heads
    assert len(decoded) < 150


def test_tail_follows_over_a_rotation_until_it_is_interrupted(gate: AuditGate) -> None:
    gate.fill(1)
    command = [sys.executable, "-I", "-c", _GATE, "--config", str(gate.yaml), "audit", "tail", "-n", "1", "--follow"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        seen = [process.stdout.readline()]
        gate.fill(1)
        rotate(str(gate.log), 1, version=VERSION)
        gate.fill(1)
        seen += [process.stdout.readline() for _ in range(3)]
        process.send_signal(signal.SIGINT)
        assert (process.communicate(timeout=60), process.returncode) == (("", "\n"), 130)

    assert [line.split()[2] for line in seen] == ["#2", "#3", "#4", "#5"]


@pytest.mark.parametrize("words", ["export --since", "export --until", "export --person", "export --project", "show"])
def test_an_empty_word_is_not_taken_for_everything(gate: AuditGate, words: str) -> None:
    gate.fill(1)

    said = gate.audit(*words.split(), "")

    assert (said.stdout, "is empty: name what is wanted" in str(said.exception)) == ("", True)


def test_it_is_told_where_nothing_is_shown(gate: AuditGate) -> None:
    gate.fill(1)

    assert (gate.audit("show", "4711").stderr, gate.audit("show").stderr) == ("no record fits\n", "")


@pytest.mark.skipif(not IS_ROOT, reason="not root: only root can act as a second Unix user")
def test_who_may_read_the_log_may_read_all_its_segments(gate: AuditGate) -> None:
    gate.fill(2)
    rotate(str(gate.log), 1, version=VERSION)
    gate.fill(1)
    whole = gate.audit("export").stdout

    said = {words: gate.gate(APPROVER, "audit", *words.split()) for words in ("export", "tail", "verify")}

    assert {words: (each.returncode, each.stderr) for words, each in said.items()} == dict.fromkeys(said, (0, ""))
    assert said["export"].stdout == whole
