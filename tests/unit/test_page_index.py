"""The page's index follows the audit log, whatever becomes of either, and is never more than a cache of it."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.log import AuditError
from gate.page.history.index import Index, wall_ms
from tests.support.page_logs import NONCE, START_MS, Log, key_of

JOB = {"instance": "git.example", "project_id": 42, "name": "deploy", "environment": "production", "rehearsal": False}


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "audit")


def opened(log: Log) -> Index:
    """The index of a log, read to its end."""
    index = Index(str(log.directory.with_name("index.sqlite")), str(log.directory))
    read(index)
    return index


def read(index: Index, limit: int = 1000) -> list[int]:
    """Catch up; how many records each step took."""
    steps = [index.catch_up(limit)]
    while steps[-1]:
        steps.append(index.catch_up(limit))
    return steps


def dump(index: Index) -> list[list[tuple[Any, ...]]]:
    """All that is in it."""
    queries = ("SELECT * FROM requests ORDER BY key", "SELECT * FROM records", "SELECT * FROM votes")
    return [[tuple(row) for row in index.db.execute(query)] for query in queries]


def fresh(log: Log) -> Index:
    """Another index of the same log, made in one reading."""
    index = Index(str(log.directory.with_name("fresh.sqlite")), str(log.directory))
    read(index)
    return index


def test_an_index_of_nothing_is_empty(log: Log) -> None:
    index = opened(log)
    assert (index.open_keys(), index.row(key_of(1)), index.records(key_of(1)), index.votes(key_of(1))) == (
        [],
        None,
        [],
        [],
    )
    assert index.record_of_file(key_of(1), f"{NONCE}.vote") is None


def test_a_log_that_is_not_there_yet_is_no_fault(tmp_path: Path) -> None:
    index = Index(str(tmp_path / "index.sqlite"), str(tmp_path / "audit"))
    assert (index.catch_up(), index.behind(), index.open_keys()) == (0, (0, 0), [])
    Log(tmp_path / "audit").requested(1)
    assert read(index) == [2, 0]
    assert index.open_keys() == [key_of(1)]


def test_a_log_that_cannot_be_read_is_a_fault_until_it_can(log: Log) -> None:
    index = opened(log)
    log.requested(1)
    aside = log.path.rename(log.directory / "aside")
    log.path.symlink_to(aside)
    for _ in range(2):
        with pytest.raises(AuditError, match=r"audit\.1\.jsonl"):
            index.catch_up()
    aside.rename(log.path)
    read(index)
    assert dump(index) == dump(fresh(log))


def test_a_request_is_followed_from_step_to_step(log: Log) -> None:
    index = opened(log)
    steps: list[Any] = [
        log.requested,
        lambda n: log.vote(n, "alice", "approve"),
        lambda n: log.decided(n, "approved", "alice"),
    ]
    for step in [*steps, log.released, log.ended]:
        step(1)
        log.later(1)
        assert read(index) == [1, 0]
        assert index.open_keys() == ([key_of(1)] if step in steps[:2] else [])
    row = index.row(key_of(1))
    assert row is not None
    times = [
        row[f"{name}_ms"] - START_MS
        for name in ("requested", "decided", "waited", "released", "ended")
        if name != "waited"
    ]
    assert times == [0, 2000, 3000, 4000]
    assert (row["waited_ms"], row["decision"], row["person"], row["via"], row["voters"]) == (
        2000,
        "approved",
        "alice",
        "page",
        " alice ",
    )


def test_a_row_has_the_job_and_what_was_said(log: Log) -> None:
    log.requested(7, path="grp/ünder\n<b>", environment=None)
    log.decided(7, "rejected", "bob", via="drop", path="grp/ünder\n<b>", environment=None)
    row = opened(log).row(key_of(7))
    assert row is not None
    assert {name: row[f"job_{name}"] for name in ("id", "path", "environment", "user", "pipeline_id")} == {
        "id": 7, "path": "grp/ünder\n<b>", "environment": None, "user": "dev", "pipeline_id": 7
    }  # fmt: skip
    said = [row[name] for name in ("rule", "digest", "comment", "why", "person", "via")]
    assert said == ["all", "2" * 64, "so be it", "rejected it is", "bob", "drop"]


def test_a_request_s_records_come_from_the_log_itself(log: Log) -> None:
    log.whole(1)
    log.whole(2)
    found = opened(log).records(key_of(2))
    assert [record["event"] for record in found] == ["requested", "vote", "decided", "released", "ended"]
    assert {record["request"] for record in found} == {key_of(2)}
    assert found[1]["comment"] == "alice says approve"


def test_votes_are_as_they_are_weighed_oldest_first(log: Log) -> None:
    log.requested(1)
    log.vote(1, "bob", "approve", via="signed", key="SHA256:x")
    log.vote(1, "alice", "approve", via="drop")
    log.vote(1, "bob", "reject", nonce="f" * 32)
    found = opened(log).votes(key_of(1))
    assert [(vote["person"], vote["answer"], vote["via"], vote["signed_with"]) for vote in found] == [
        ("bob", "approve", "signed", "SHA256:x"),
        ("alice", "approve", "drop", None),
        ("bob", "reject", "page", None),
    ]
    assert (opened(log).row(key_of(1)) or {})["voters"] == " bob alice "


def test_what_waits_comes_oldest_first(log: Log) -> None:
    for number in (3, 1, 2):
        log.requested(number)
        log.later(1)
    log.decided(1, "canceled")
    log.requested(4)
    assert opened(log).open_keys() == [key_of(3), key_of(2), key_of(4)]


def test_a_job_that_was_refused_at_once_is_in_the_history_all_the_same(log: Log) -> None:
    log.decided(1, "refused")
    log.ended(1)
    index = opened(log)
    row = index.row(key_of(1))
    assert row is not None
    assert (row["decision"], row["decided_ms"], row["ended_ms"]) == ("refused", START_MS, START_MS)
    assert (row["requested_ms"], row["waited_ms"], row["person"], index.open_keys()) == (None, None, None, [])


WAITED = {
    "by the clock since boot": (90_000, 90_000, 90_000),
    "though the wall clock was set back": (-3_600_000, 90_000, 90_000),
    "though the wall clock was set on": (3_600_000, 90_000, 90_000),
    "over a restart of the host, by the wall clock": (600_000, -4_000_000, 600_000),
    "over a restart, with a wall clock that was set back": (-600_000, -4_000_000, 0),
    "not at all": (0, 0, 0),
}


@pytest.mark.parametrize("case", WAITED)
def test_how_long_it_waited(log: Log, case: str) -> None:
    wall_later_ms, boot_later_ms, expected = WAITED[case]
    log.requested(1)
    log.wall_ms += wall_later_ms
    log.boot_ms += boot_later_ms
    log.decided(1, "approved", "alice")
    assert (opened(log).row(key_of(1)) or {})["waited_ms"] == expected


def test_a_form_finds_the_record_of_its_vote(log: Log) -> None:
    log.requested(1)
    log.vote(1, "alice", "approve", nonce="a" * 32)
    log.turned_away(1, f"{'b' * 32}.vote")
    log.turned_away(1, "1.approve", via="drop")
    log.vote(1, "bob", "approve", via="drop", nonce=f"page-{'c' * 32}")
    index = opened(log)
    found = {name: index.record_of_file(key_of(1), f"{name * 32}.vote") for name in "abc"}
    assert {name: record and record["event"] for name, record in found.items()} == {
        "a": "vote", "b": "drop-turned-away", "c": None
    }  # fmt: skip
    assert index.record_of_file(key_of(2), f"{'a' * 32}.vote") is None
    assert index.record_of_file(key_of(1), "1.approve") is None


def test_one_form_for_several_requests_has_a_record_in_each(log: Log) -> None:
    for number in (1, 2):
        log.requested(number)
        log.vote(number, "alice", "approve")
    index = opened(log)
    found = [index.record_of_file(key_of(number), f"{NONCE}.vote") for number in (1, 2)]
    assert [record and record["request"] for record in found] == [key_of(1), key_of(2)]


SHAS = {name: name * 40 for name in "abcd"}
OTHER_JOBS: list[dict[str, Any]] = [{"environment": "staging"}, {"environment": None}, {"name": "x"}, {"project_id": 7}]


def test_the_last_sha_that_was_let_through_is_that_of_the_same_job(log: Log) -> None:
    log.whole(1, sha=SHAS["a"])
    log.whole(2, sha=SHAS["b"])
    log.whole(3, "rejected", sha=SHAS["c"])
    for number, other in enumerate(OTHER_JOBS):
        log.whole(10 + number, sha=SHAS["d"], **other)
    log.whole(20, sha=SHAS["c"], rehearsal=True)
    index = opened(log)
    assert index.last_approved_sha(JOB | {"rehearsal": True}, key_of(9)) == SHAS["c"]
    assert index.last_approved_sha(JOB, key_of(9)) == SHAS["b"]
    assert index.last_approved_sha(JOB, key_of(2)) == SHAS["a"]
    assert index.last_approved_sha(JOB | {"environment": None}, key_of(9)) == SHAS["d"]
    assert index.last_approved_sha(JOB | {"instance": "other"}, key_of(9)) is None


def test_what_was_approved_and_not_let_through_is_no_last_one(log: Log) -> None:
    log.requested(1)
    log.decided(1, "approved", "alice")
    assert opened(log).last_approved_sha(JOB, key_of(2)) is None


def test_a_long_log_is_read_in_pieces(log: Log) -> None:
    for number in range(4):
        log.whole(number)
    index = Index(str(log.directory.with_name("index.sqlite")), str(log.directory))
    assert read(index, limit=8) == [8, 8, 5, 0]
    assert dump(index) == dump(fresh(log))


def test_a_record_that_is_half_written_is_taken_in_when_it_is_whole(log: Log) -> None:
    index = opened(log)
    log.keep()
    log.requested(1)
    log.decided(1, "canceled")
    (first, second), log._lines = log._lines or [], None
    log.write(first + second[:50])
    assert read(index) == [1, 0]
    assert index.open_keys() == [key_of(1)]
    log.write(second[50:])
    assert read(index) == [1, 0]
    assert dump(index) == dump(fresh(log))


def test_what_is_torn_is_passed_over(log: Log) -> None:
    index = opened(log)
    log.requested(1)
    log.write(b'{"event":"decided","requ#\n')
    log.requested(2)
    assert read(index) == [2, 0]
    log.write(b"x" * 20_000 + b"#\n")
    assert read(index) == [0]
    log.decided(1, "canceled")
    assert read(index) == [1, 0]
    assert index.open_keys() == [key_of(2)]
    assert dump(index) == dump(fresh(log))


def test_a_log_goes_on_in_another_segment(log: Log) -> None:
    index = opened(log)
    log.requested(1)
    log.next_segment()
    assert read(index) == [1, 0]
    log.vote(1, "alice", "approve")
    log.next_segment()
    log.decided(1, "approved", "alice")
    assert read(index) == [2, 0]
    assert [record["event"] for record in index.records(key_of(1))] == ["requested", "vote", "decided"]


def grown(directory: Path) -> bytes:
    """A log with all that can be in one."""
    log = Log(directory)
    log.whole(1)
    log.write(b'{"torn":#\n')
    log.requested(2)
    log.vote(2, "bob", "reject")
    log.turned_away(2, f"{'e' * 32}.vote")
    log.decided(3, "refused")
    log.decided(2, "rejected", "bob")
    return log.path.read_bytes()


@settings(max_examples=40)
@given(st.lists(st.integers(0, 6000), max_size=6))
def test_however_a_log_grows_its_index_is_the_same(cuts: list[int]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        content = grown(Path(directory) / "whole")
        part = Path(directory) / "part"
        part.mkdir()
        index = Index(f"{directory}/index.sqlite", str(part))
        for cut in [*sorted(cuts), len(content)]:
            (part / "audit.1.jsonl").write_bytes(content[:cut])
            read(index, limit=3)
        whole = Index(f"{directory}/whole.sqlite", f"{directory}/whole")
        read(whole)
        assert dump(index) == dump(whole)


def test_an_index_is_kept_over_a_restart_of_the_page(log: Log) -> None:
    log.whole(1)
    first = opened(log)
    first.db.execute("UPDATE requests SET why = 'kept'")
    log.requested(2)
    again = Index(first.path, first.directory)
    assert read(again) == [1, 0]
    assert (again.row(key_of(1)) or {})["why"] == "kept"
    assert again.open_keys() == [key_of(2)]


def overwritten(content: bytes, page: int) -> bytes:
    """With one of its pages lost, as a crash of the host may leave it."""
    return content[: page * 4096] + b"\xa5" * 4096 + content[(page + 1) * 4096 :]


SPOILT: dict[str, Any] = {
    "of another version": "UPDATE meta SET value = '0' WHERE name = 'version'",
    "without its version": "DELETE FROM meta",
    "without its tables": "DROP TABLE meta",
    "of something else": lambda content: b"no database\n" * len(content),
    "cut": lambda content: content[: len(content) // 2],
    "empty": lambda content: content[:0],
    **{f"without page {n}": lambda content, n=n: overwritten(content, n) for n in range(12)},
}


@pytest.mark.parametrize("how", SPOILT)
def test_an_index_that_cannot_be_used_is_made_anew(log: Log, how: str) -> None:
    log.whole(1)
    index, spoil = opened(log), SPOILT[how]
    if isinstance(spoil, str):
        index.db.execute(spoil)
    index.db.close()
    if callable(spoil):
        Path(index.path).write_bytes(spoil(Path(index.path).read_bytes()))
    log.requested(2)
    assert dump(opened(log)) == dump(fresh(log))


def test_an_index_that_is_spoilt_while_the_page_runs_is_made_anew(log: Log) -> None:
    log.whole(1)
    index = opened(log)
    index.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = Path(index.path).read_bytes()
    with Path(index.path).open("r+b") as spoilt:
        spoilt.seek(4096)
        spoilt.write(b"\xa5" * (len(content) - 4096))
    log.requested(2)
    with ThreadPoolExecutor(1) as follower:  # whose connection has nothing of the file in memory
        follower.submit(read, index).result()
        assert follower.submit(dump, index).result() == dump(fresh(log))
    assert index.open_keys() == [key_of(2)]


def other_log(log: Log, count: int, log_id: str = "f" * 32) -> Log:
    """Another log in the place of this one."""
    for path in log.directory.iterdir():
        path.unlink()
    other = Log(log.directory, log_id)
    for number in range(count):
        other.whole(100 + number)
    return other


@pytest.mark.parametrize("log_id", ["f" * 32, "0" * 32])
@pytest.mark.parametrize("count", [0, 1, 5])
@pytest.mark.parametrize("when", ["while the page runs", "while it does not"])
def test_another_log_in_the_place_of_the_first_is_indexed_anew(log: Log, when: str, count: int, log_id: str) -> None:
    for number in range(2):
        log.whole(number)
    index = opened(log)
    other = other_log(log, count, log_id)
    if when == "while it does not":
        index = Index(index.path, index.directory)
    read(index)
    assert dump(index) == dump(fresh(other))


@pytest.mark.parametrize("when", ["while the page runs", "while it does not"])
def test_a_log_that_was_cut_is_indexed_anew(log: Log, when: str) -> None:
    log.whole(1)
    size = log.path.stat().st_size
    log.whole(2)
    index = opened(log)
    log.cut(size)
    if when == "while it does not":
        index = Index(index.path, index.directory)
    read(index)
    assert index.row(key_of(2)) is None
    assert dump(index) == dump(fresh(log))


def test_a_log_of_the_same_shape_in_the_place_of_the_first_is_indexed_anew_when_the_page_starts(log: Log) -> None:
    log.whole(1)
    size = log.path.stat().st_size
    opened(log)
    other = other_log(log, 0, log.log_id)
    other.whole(2)
    assert other.path.stat().st_size == size
    assert dump(opened(other)) == dump(fresh(other))


def test_a_record_that_is_not_what_was_indexed_is_a_fault(log: Log) -> None:
    log.whole(1)
    index = opened(log)
    content = log.path.read_bytes()
    log.path.write_bytes(content.replace(b"requested", b"Requested"))
    with pytest.raises(AuditError, match=r"audit\.1\.jsonl, byte"):
        index.records(key_of(1))


def test_every_thread_sees_the_index_that_was_made_anew(log: Log) -> None:
    log.whole(1)
    index = opened(log)
    with ThreadPoolExecutor(1) as other:
        assert other.submit(index.row, key_of(1)).result()
        read_anew = other_log(log, 0)
        read_anew.requested(2)
        read(index)
        assert other.submit(index.row, key_of(1)).result() is None
        assert other.submit(index.open_keys).result() == [key_of(2)]


@pytest.mark.parametrize("known", [True, False])
def test_a_thread_that_asks_while_it_is_made_anew_sees_the_new_one_afterwards(
    log: Log, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    log.requested(1)
    index = opened(log)
    true = os.unlink
    with ThreadPoolExecutor(1) as other:
        if known:
            other.submit(index.open_keys).result()

        def unlink(path: str) -> None:
            assert other.submit(index.open_keys).result() in ([key_of(1)], [])
            true(path)

        monkeypatch.setattr(os, "unlink", unlink)
        log.cut(0)
        read(index)
        monkeypatch.undo()
        Log(log.directory).requested(2)
        read(index)
        assert other.submit(index.open_keys).result() == [key_of(2)]


def test_after_a_full_disk_it_goes_on(log: Log) -> None:
    log.requested(0)
    index = opened(log)
    (pages,) = index.db.execute("PRAGMA page_count").fetchone()
    index.db.execute(f"PRAGMA max_page_count = {pages}")
    for number in range(1, 200):
        log.requested(number)
    for _ in range(2):
        with pytest.raises(sqlite3.OperationalError, match="full"):
            read(index)
    assert index.open_keys() == [key_of(0)]
    index.db.execute("PRAGMA max_page_count = 100000")
    assert sum(read(index)) == 199
    assert dump(index) == dump(fresh(log))


def test_what_was_half_taken_in_is_taken_back(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    index = opened(log)
    log.whole(1)

    def broken(_record: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr("gate.page.history.index.vote_of", broken)
        for _ in range(2):
            with pytest.raises(MemoryError):
                read(index)
    assert index.open_keys() == []
    read(index)
    assert dump(index) == dump(fresh(log))


def test_how_far_it_is_is_told_in_bytes_of_the_last_segment(log: Log) -> None:
    index = opened(log)
    size = log.path.stat().st_size
    assert index.behind() == (size, size)
    log.requested(1)
    assert index.behind() == (size, log.path.stat().st_size)
    log.next_segment()
    assert index.behind() == (0, 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00.000Z", 0),
        ("2026-11-24T01:43:41.123Z", 1_795_484_621_123),
        ("2000-02-29T23:59:59.999Z", 951_868_799_999),
    ],
)
def test_a_record_s_time_is_milliseconds_since_1970(text: str, expected: int) -> None:
    assert wall_ms(text) == expected


def test_what_the_log_has_let_go_is_forgotten(log: Log) -> None:
    """A request that is in both parts stays, with the records that are left."""
    log.whole(1)
    log.requested(2)
    log.vote(2, "bob", "approve")
    first = log.path
    log.next_segment()
    log.add("genesis")
    log.vote(2, "alice", "approve")
    log.decided(2, "approved", "alice")
    log.whole(3)
    index = opened(log)
    first.unlink()
    log.requested(4)
    read(index)

    assert index.row(key_of(1)) is None
    assert (index.records(key_of(1)), index.votes(key_of(1))) == ([], [])
    assert [record["event"] for record in index.records(key_of(2))] == ["vote", "decided"]
    assert [vote["person"] for vote in index.votes(key_of(2))] == ["alice"]
    assert {row[1] for row in dump(index)[0]} == {key_of(number) for number in (2, 3, 4)}
    made_anew = fresh(log)
    assert [row[1] for row in dump(made_anew)[0]] == [row[1] for row in dump(index)[0]]
    assert dump(made_anew)[1] == dump(index)[1]


def test_an_index_that_slept_while_the_log_let_go_is_made_anew(log: Log) -> None:
    log.whole(1)
    index = opened(log)
    log.requested(2)
    first = log.path
    log.next_segment()
    log.add("genesis")
    log.whole(3)
    first.unlink()

    later = opened(log)
    assert {row[1] for row in dump(later)[0]} == {key_of(3)}
    read(index)
    assert index.row(key_of(1)) is None
