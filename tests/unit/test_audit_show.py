"""Records as lines for people."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.chain import Head
from audit.show import as_line, select
from gate.model.words import could_deceive

STAMP: dict[str, Any] = {"v": 1, "log_id": "0" * 32, "prev": "0" * 64, "boottime": 5, "host": "h", "version": "0"}
RECORD: dict[str, Any] = {**STAMP, "seq": 12, "time": "2026-11-24T01:43:41.123Z", "event": "decided"}


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({}, "decided"),
        (
            {
                "request": "git.example.com-7-12",
                "decision": "approved",
                "by": {"person": "alice", "via": "drop"},
                "comment": "go",
            },
            'decided git.example.com-7-12 approved by alice (drop) comment="go"',
        ),
        ({"job": {"path": "shop/web", "name": "deploy it", "id": 3}}, 'decided shop/web "deploy it"'),
        ({"by": {"person": "bob\nroot"}}, 'decided by "bob\\nroot"'),
        ({"by": None, "job": None, "comment": ""}, "decided"),
        ({"comment": 'x" by eve \x1b[31m\u202e'}, 'decided comment="x\\" by eve \\u001b[31m\\u202e"'),
        ({"comment": "好的、上线\u3000吧"}, 'decided comment="好的、上线\u3000吧"'),
        ({"by": {"person": "Jörg Groß"}}, 'decided by "Jörg Groß"'),
        ({"by": {"person": "jörg"}}, 'decided by "jörg"'),
        ({"comment": "a\u200bb\u3164c\u00a0d\U000e0141"}, 'decided comment="a\\u200bb\\u3164c\\u00a0d\\udb40\\udd41"'),
        ({"job": {"path": "gruppe/größe", "name": "ausliefern\x9b1m"}}, 'decided "gruppe/größe" "ausliefern\\u009b1m"'),
        ({"why": {"né": ["\u2028", "é"]}}, 'decided why={"né": ["\\u2028", "é"]}'),
        ({"torn": {"offset": 1, "length": 2}}, 'decided torn={"length": 2, "offset": 1}'),
        ({"rule": "production", "a b": True}, 'decided "a b"=true rule=production'),
    ],
)
def test_a_record_reads_as_one_line(fields: dict[str, Any], line: str) -> None:
    assert as_line({**RECORD, **fields}, could_deceive) == f"2026-11-24 01:43:41.123Z #12 {line}"


@given(st.dictionaries(st.sampled_from(["request", "decision", "comment", "by", "job", "rule"]), st.text()), st.text())
def test_no_text_leaves_its_line_or_deceives(fields: dict[str, Any], person: str) -> None:
    line = as_line({**RECORD, "by": {"person": person, "via": person}, **fields}, could_deceive)

    assert [each for each in line if could_deceive(each)] == []
    assert len(line.splitlines()) == 1


def test_select_takes_what_is_wanted_and_an_event() -> None:
    keys = ["git.example.com-7-12", "git.example.com-7-112", "other.example.com-9-12"]
    records = [(Head(n, ""), {**RECORD, "request": key, "event": "vote"}) for n, key in enumerate(keys)]
    records += [(Head(3, ""), {**RECORD, "event": "genesis"})]

    def seqs(**wanted: Any) -> list[int]:
        return [head.seq for head, _ in select(records, **wanted)]

    assert seqs() == [0, 1, 2, 3]
    assert seqs(is_wanted=keys[0].__eq__) == [0]
    assert seqs(event="genesis") == [3]
    assert seqs(event="genesis", is_wanted=keys[0].__eq__) == []
