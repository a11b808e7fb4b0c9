"""What happened, in sentences: one for each kind of record, also of a newer version."""

from __future__ import annotations

from typing import Any

import pytest

from audit.record import REQUEST_EVENTS
from gate.page.timeline import moments

SENTENCES: dict[str, tuple[Any, str]] = {
    "requested": (
        {"event": "requested", "job": {"user": "dev"}, "rule": "all", "why": "1 of carol"},
        "dev requested it; rule all asks for 1 of carol",
    ),
    "vote": (
        {"event": "vote", "by": {"person": "alice", "via": "page"}, "decision": "approve", "comment": "ok"},
        "alice approved it on the page",
    ),
    "an early vote": (
        {"event": "vote", "by": {"person": "alice", "via": "drop"}, "decision": "reject", "early": True},
        "alice rejected it by a drop, before it waited",
    ),
    "drop-turned-away": (
        {"event": "drop-turned-away", "by": {"via": "signed"}, "why": "it is too large"},
        "An answer of somebody by a signed drop did not count: it is too large",
    ),
    "decided": (
        {"event": "decided", "decision": "expired", "why": "nobody answered", "by": None, "comment": "as before"},
        "It was expired: nobody answered",
    ),
    "released": ({"event": "released"}, "The job was let through to run"),
    "ended": ({"event": "ended", "why": "success"}, "It is over: success"),
    "notice-failed": (
        {"event": "notice-failed", "notice": "chat", "why": "exit 1"},
        "The notice 'chat' failed: exit 1",
    ),
    "a newer version's": ({"event": "delegated"}, "delegated, of a newer version of the gate"),
}


@pytest.mark.parametrize("case", SENTENCES)
def test_a_record_is_said_in_a_sentence(case: str) -> None:
    record, words = SENTENCES[case]
    (found,) = moments([{"time": "2026-11-28T03:35:49.037Z", **record}])
    assert (found.words, found.comment) == (words, record.get("comment", "") if record["event"] == "vote" else "")
    assert found.wall_ms == 1_795_836_949_037


def test_every_kind_of_record_has_its_sentence() -> None:
    assert set(SENTENCES) >= REQUEST_EVENTS | {"drop-turned-away"}
