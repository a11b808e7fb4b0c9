"""The page's index of the audit log, in SQLite: what waits, what was decided, and where in the log it stands.

A cache, and nothing else: it follows the log, is thrown away where it does not fit the log any more, and is made again
from it. So a page that starts is quick after the first time, and 100,000 decided requests can be searched.
"""

from __future__ import annotations

import calendar
import contextlib
import itertools
import os
import sqlite3
import threading
import time
from typing import TYPE_CHECKING, Any

from audit import log
from audit.log import AuditError
from gate.flow.status import vote_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from gate.shapes import Record, Vote

BATCH_RECORDS = 5000
_VERSION = 2
_JOB = ("instance", "project_id", "path", "pipeline_id", "id", "name", "stage", "environment", "ref", "sha", "user")
Row = dict[str, Any]  # of the index: its columns and what they hold
_VOTE = ("person", "answer", "comment", "via", "signed_with")
_SCHEMA = f"""
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT);
CREATE TABLE requests (
  number INTEGER PRIMARY KEY, key TEXT UNIQUE, {", ".join(f"job_{name}" for name in _JOB)},
  rule TEXT, digest TEXT, requested_ms INTEGER, requested_boot_ms INTEGER,
  decision TEXT, decided_ms INTEGER, waited_ms INTEGER, person TEXT, via TEXT, comment TEXT, why TEXT,
  released_ms INTEGER, ended_ms INTEGER, voters TEXT NOT NULL DEFAULT ' ', rehearsal INTEGER NOT NULL DEFAULT 0);
CREATE INDEX of_decided ON requests (decided_ms, number) WHERE decided_ms IS NOT NULL;
CREATE INDEX of_open ON requests (requested_ms) WHERE decided_ms IS NULL AND ended_ms IS NULL;
CREATE INDEX of_job ON requests (job_instance, job_project_id, job_name, decided_ms);
CREATE TABLE records (
  seq INTEGER PRIMARY KEY, key TEXT, event TEXT, segment INTEGER, offset INTEGER, length INTEGER, file TEXT);
CREATE TABLE votes (seq INTEGER PRIMARY KEY, key TEXT, {", ".join(_VOTE)});
CREATE INDEX votes_of_key ON votes (key, seq);
CREATE INDEX of_key ON records (key, seq);
CREATE INDEX of_file ON records (file) WHERE file IS NOT NULL;
"""
_OPEN = "decided_ms IS NULL AND ended_ms IS NULL"


class Index:
    """The index in the file at `path`, of the audit log in `directory`. Each thread has a connection of its own."""

    def __init__(self, path: str, directory: str) -> None:
        """Open it; one that cannot be used is made again."""
        self.path, self.directory = path, directory
        self._local = threading.local()
        self._generation = 0
        self._seen_end: tuple[int, int] | None = None
        self._seen_first = log.FIRST_SEGMENT
        try:
            sound = self._meta("version") == str(_VERSION) and self._is_whole() and self._fits_the_log()
        except sqlite3.DatabaseError:
            sound = False
        if not sound:
            self._make_again()

    @property
    def db(self) -> sqlite3.Connection:
        """This thread's connection, to the file as it is now."""
        generation = self._generation
        if getattr(self._local, "generation", None) != generation:
            if hasattr(self._local, "db"):
                self._local.db.close()
            self._local.db = sqlite3.connect(self.path, isolation_level=None, timeout=60)
            self._local.generation = generation
            self._local.db.row_factory = sqlite3.Row
            self._local.db.execute("PRAGMA journal_mode=WAL")
            # With WAL, a power cut can take the end, and spoil nothing.
            self._local.db.execute("PRAGMA synchronous=NORMAL")
        found: sqlite3.Connection = self._local.db
        return found

    def catch_up(self, limit: int = BATCH_RECORDS) -> int:
        """Take in what the log has had since; returns how many records, at most `limit`.

        Raises:
            AuditError: the log cannot be read.
            sqlite3.OperationalError: the index cannot be written.
        """
        try:
            return self._catch_up(limit)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:  # the file is spoilt
            self._make_again()
            return self._catch_up(limit)

    def _catch_up(self, limit: int) -> int:
        if not os.path.lexists(self.directory):
            return 0  # no job has come to this gate yet
        end = log.position(self.directory)
        if end == self._seen_end:
            return 0
        self._let_go()
        since = self._position()
        if end < since:
            self._make_again()
            since = self._position()
        found = list(itertools.islice(log.placed_records(self.directory, since), limit))
        if found and self._meta("head") not in (None, found[0][2]["prev"]):
            self._make_again()  # another log, or one that was rewritten
            return self._catch_up(limit)
        if found:
            self._take_in(found)
        if len(found) < limit:
            self._seen_end = end
        return len(found)

    def _let_go(self) -> None:
        """Forget what stood in segments that the log has let go (audit/retention.py)."""
        first = log.first_segment(self.directory)
        if first == self._seen_first:
            return
        with self.db:
            self.db.execute("BEGIN IMMEDIATE")
            self.db.execute("DELETE FROM records WHERE segment < ?", (first,))
            self.db.execute("DELETE FROM votes WHERE seq NOT IN (SELECT seq FROM records)")
            self.db.execute("DELETE FROM requests WHERE key NOT IN (SELECT key FROM records WHERE key IS NOT NULL)")
        self._seen_first = first

    def behind(self) -> tuple[int, int]:
        """(bytes of the last segment that are taken in, its bytes), for people who wait for the first reading."""
        if not os.path.lexists(self.directory):
            return 0, 0
        segment, size = log.position(self.directory)
        taken = self._position()
        return (taken[1] if taken[0] == segment else 0), size

    def open_keys(self) -> list[str]:
        """The keys of all requests that were asked for and not decided, oldest first."""
        rows = self.db.execute(f"SELECT key FROM requests WHERE {_OPEN} ORDER BY requested_ms, number")  # noqa: S608
        return [row["key"] for row in rows]

    def row(self, key: str) -> Row | None:
        """What the index has of one request."""
        found = self.db.execute("SELECT * FROM requests WHERE key = ?", (key,)).fetchone()
        return dict(found) if found else None

    def records(self, key: str) -> list[Record]:
        """The request's records, oldest first, read from the log itself.

        Raises:
            AuditError: the log is not what was indexed, or cannot be read.
        """
        rows = self.db.execute("SELECT segment, offset, length FROM records WHERE key = ? ORDER BY seq", (key,))
        return [log.record_at(self.directory, tuple(row))[1] for row in rows.fetchall()]

    def votes(self, key: str) -> list[Vote]:
        """The request's votes as the log tells them, oldest first, as `rules.weigh` takes them."""
        names = ", ".join(_VOTE)
        rows = self.db.execute(f"SELECT {names} FROM votes WHERE key = ? ORDER BY seq", (key,))  # noqa: S608
        return [
            {
                "person": row["person"],
                "answer": row["answer"],
                "comment": row["comment"],
                "via": row["via"],
                "signed_with": row["signed_with"],
            }
            for row in rows
        ]

    def record_of_file(self, key: str, file: str) -> Record | None:
        """The record about the vote that the page left as `file` for a request; None while there is none."""
        query = "SELECT segment, offset, length FROM records WHERE file = ? AND key = ? ORDER BY seq"
        row = self.db.execute(query, (file, key)).fetchone()
        return log.record_at(self.directory, tuple(row))[1] if row else None

    def last_approved_sha(self, job: dict[str, object], not_key: str) -> str | None:
        """The sha that this job (by instance, project, name and environment) ran for, when it was last let through.

        Of a rehearsal, when it was last rehearsed.
        """
        row = self.db.execute(
            "SELECT job_sha FROM requests WHERE job_instance = ? AND job_project_id = ? AND job_name = ?"
            " AND job_environment IS ? AND rehearsal = ? AND released_ms IS NOT NULL AND key != ?"
            " ORDER BY decided_ms DESC LIMIT 1",
            (*[job[name] for name in ("instance", "project_id", "name", "environment", "rehearsal")], not_key),
        ).fetchone()
        return row["job_sha"] if row else None

    def _is_whole(self) -> bool:
        """Whether all of the file is as SQLite wrote it; otherwise visitors would meet what is spoilt."""
        return bool(self.db.execute("PRAGMA integrity_check(1)").fetchone()[0] == "ok")

    def _fits_the_log(self) -> bool:
        row = self.db.execute("SELECT seq, segment, offset, length FROM records ORDER BY seq DESC LIMIT 1").fetchone()
        if row is None:
            return True
        try:
            head, _record = log.record_at(self.directory, (row["segment"], row["offset"], row["length"]))
        except AuditError:
            return False
        return head == (row["seq"], self._meta("head"))

    def _position(self) -> tuple[int, int]:
        return int(self._meta("segment") or 1), int(self._meta("offset") or 0)

    def _meta(self, name: str) -> str | None:
        try:
            row = self.db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        except sqlite3.OperationalError:  # no such table: a new file
            return None
        return row["value"] if row else None

    def _make_again(self) -> None:
        self._seen_end = None
        for suffix in ("", "-wal", "-shm"):
            if os.path.lexists(self.path + suffix):
                os.unlink(self.path + suffix)
        with contextlib.closing(sqlite3.connect(self.path, isolation_level=None)) as made:
            made.executescript(_SCHEMA)
            made.execute("INSERT INTO meta VALUES ('version', ?)", (str(_VERSION),))
        # Last: a thread that asks meanwhile has the file of before, and must not take that for the new one.
        self._generation += 1

    def _take_in(self, found: list[tuple[tuple[int, int, int], log.Head, Record]]) -> None:
        with self.db:  # commits, or takes all of it back
            self.db.execute("BEGIN IMMEDIATE")
            for place, head, record in found:
                key = record.get("request")
                row = (head.seq, key, record["event"], *place, _file(record))
                self.db.execute("INSERT OR IGNORE INTO records VALUES (?, ?, ?, ?, ?, ?, ?)", row)
                if key:
                    self._change(key, record)
            (segment, offset, length), head, _record = found[-1]
            meta = {"segment": segment, "offset": offset + length, "head": head.sha256}
            for name, value in meta.items():
                self.db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, str(value)))

    def _change(self, key: str, record: Record) -> None:
        if record["event"] in ("requested", "decided"):
            self._about_job(key, record)
        changes = _CHANGES.get(record["event"], _nothing)(record)
        if record["event"] == "decided":
            changes["waited_ms"] = self._waited_ms(key, record)
        if record["event"] == "vote":
            self._add_vote(key, record)
        self._set(key, changes)

    def _add_vote(self, key: str, record: Record) -> None:
        vote = vote_of(record)
        values = (record["seq"], key, *map(dict(vote).get, _VOTE))
        self.db.execute("INSERT OR IGNORE INTO votes VALUES (?, ?, ?, ?, ?, ?, ?)", values)
        self.db.execute(
            "UPDATE requests SET voters = voters || ? WHERE key = ? AND instr(voters, ?) = 0",
            (f"{vote['person']} ", key, f" {vote['person']} "),
        )

    def _about_job(self, key: str, record: Record) -> None:
        self.db.execute("INSERT OR IGNORE INTO requests (key) VALUES (?)", (key,))
        about = {f"job_{name}": record["job"].get(name) for name in _JOB}
        marks = {"rehearsal": int("rehearsal" in record)}
        self._set(key, {**about, **marks, "rule": record["rule"], "digest": record["digest"]})

    def _waited_ms(self, key: str, record: Record) -> int | None:
        row = self.row(key)
        if row is None or row["requested_ms"] is None:
            return None
        boot_ms = int(record["boottime"] - row["requested_boot_ms"])
        # After a restart of the host the clock of before has stopped.
        return boot_ms if boot_ms >= 0 else max(wall_ms(record["time"]) - row["requested_ms"], 0)

    def _set(self, key: str, changes: Row) -> None:
        if changes:
            columns = ", ".join(f"{name} = ?" for name in changes)
            self.db.execute(f"UPDATE requests SET {columns} WHERE key = ?", (*changes.values(), key))  # noqa: S608


def wall_ms(text: str) -> int:
    """Milliseconds since 1970 of a record's `time`."""
    return calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")) * 1000 + int(text[20:23])


def _file(record: Record) -> str | None:
    """The name under which the page left the vote that a record is about."""
    by = record.get("by") or {}
    if by.get("via") != "page":
        return None
    if record["event"] == "vote":
        # <person>.page-<32 hex digits>.<answer>.json
        return f"{by['vote'].split('.page-')[-1].partition('.')[0]}.vote"
    return (record.get("drop") or {}).get("name")


def _requested(record: Record) -> Row:
    return {"requested_ms": wall_ms(record["time"]), "requested_boot_ms": record["boottime"]}


def _decided(record: Record) -> Row:
    by = record.get("by") or {}
    fields = {name: record[name] for name in ("decision", "comment", "why")}
    return {**fields, "decided_ms": wall_ms(record["time"]), "person": by.get("person"), "via": by.get("via")}


def _nothing(_record: Record) -> Row:
    return {}


_CHANGES: dict[str, Callable[[Record], Row]] = {
    "requested": _requested,
    "decided": _decided,
    "released": lambda record: {"released_ms": wall_ms(record["time"])},
    "ended": lambda record: {"ended_ms": wall_ms(record["time"])},
}
