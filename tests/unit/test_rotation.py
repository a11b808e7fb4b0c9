"""The gate over a rotation of its audit log: the sweep that does it, requests that wait meanwhile, the page's index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from audit import log
from audit.verify import verify
from gate.flow.decide import decide, record_decided
from gate.flow.status import records_of
from gate.page.history.index import Index
from gate.store import layout
from gate.upkeep import sweep
from tests.support.gate_state import made, open_request, records
from tests.support.parts import part

if TYPE_CHECKING:
    from pathlib import Path

    from gate.store.request import Request

KEY = "git.example-42-1001"
ABOUT: Any = {"rule": "all", "config": "", "why": ""}


@pytest.fixture
def policy(tmp_path: Path) -> Any:
    return made(tmp_path / "state", audit={"rotate_at_bytes": 2000})


def segment(policy: Any) -> int:
    return log.position(layout.audit(policy["state_dir"]))[0]


def grow(policy: Any) -> None:
    """Append until the next sweep has to rotate."""
    directory = layout.audit(policy["state_dir"])
    while log.position(directory)[1] < 2000:
        log.append(directory, {"event": "ended", "request": "other"}, version="0")


def asked(policy: Any) -> tuple[Request, log.Head]:
    request = open_request(policy, KEY)
    return request, request.record("requested", **ABOUT)


def test_a_sweep_begins_a_new_segment_where_gate_yaml_says_so(policy: Any) -> None:
    asked(policy)
    assert sweep.sweep(policy, KEY) == []
    assert segment(policy) == 1

    grow(policy)
    assert sweep.sweep(policy, KEY) == []
    assert sweep.sweep(policy, KEY) == []

    assert segment(policy) == 2
    assert verify(layout.audit(policy["state_dir"])).ok


def test_a_rotation_that_fails_is_told_and_hinders_nothing(policy: Any) -> None:
    (fault,) = sweep.sweep(part({**policy, "audit": {}}), KEY)  # the plan of an older gate

    assert fault.startswith("cannot begin a new segment of the audit log: ")


def test_a_request_that_waits_meanwhile_finds_its_own_records(policy: Any) -> None:
    request, head = asked(policy)
    grow(policy)
    sweep.sweep(policy, KEY)
    decision = decide(request, "expired", "nobody answered", rule="all", config="")
    decided = record_decided(request, decision)
    grow(policy)
    sweep.sweep(policy, KEY)

    assert segment(policy) == 3
    assert request.record("requested", **ABOUT) == head
    assert record_decided(request, decision) == decided
    assert [record["event"] for record in records_of(request)] == ["requested", "decided"]
    assert len(records(policy, "genesis")) == 3
    assert verify(layout.audit(policy["state_dir"]), [head, decided]).ok


def test_the_index_of_the_page_follows(policy: Any, tmp_path: Path) -> None:
    index = Index(str(tmp_path / "index.sqlite"), layout.audit(policy["state_dir"]))
    request, _ = asked(policy)
    index.catch_up()
    made_once = index.row(KEY)
    grow(policy)
    sweep.sweep(policy, KEY)
    record_decided(request, decide(request, "expired", "nobody answered", rule="all", config=""))

    index.catch_up()

    row = index.row(KEY)
    assert made_once
    assert row
    assert (row["number"], row["decision"]) == (made_once["number"], "expired")
    assert [record["event"] for record in index.records(KEY)] == ["requested", "decided"]
    again = Index(str(tmp_path / "index.sqlite"), layout.audit(policy["state_dir"]))
    assert (again.row(KEY), again.catch_up(), again.behind()[0]) == (row, 0, index.behind()[0])
