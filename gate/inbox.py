"""From drops to votes: what waits in the drop directories is counted, turned away, or left for later.

For a drop that counts: vote file, then its record, then the drop goes. For one that does not: its record, then it is
moved to turned-away/ (gate/turned_away.py). A crash in between leaves the drop where it is, and the next look does the
rest: the vote's name comes from the drop's inode, and a record is appended once.
"""

from __future__ import annotations

import os
import time

from gate import drop, layout, page_inbox, signed_inbox, turned_away
from gate.clock import boottime_ms
from gate.files import StateError, read_json, write_json_once
from gate.request import WHY_MAX_RECORD_BYTES, dropped_fields, fit, is_open, load, meant_by
from gate.rules import may_answer
from gate.words import duration, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from gate.request import Request

LOOK_AGAIN_MS = 1000


class Inbox:
    """One look at everything that answers a request; `lines` is for its job log, `again` whether something is not ready."""

    def __init__(self, request: Request, policy: dict[str, Any], rule: dict[str, Any]) -> None:
        """`policy` and `rule` are those of gate.yaml as it is now."""
        self.request, self.policy, self.rule = request, policy, rule
        self.lines: list[str] = []
        self.again = False
        self._recorded: set[str] = set()

    def collect(self) -> list[dict[str, Any]]:
        """Take in what has been dropped; returns all votes on the request, oldest first.

        Raises:
            StateError, AuditError, OSError: something could not be kept; nothing is lost, the next look goes on from there.
        """
        root = os.open(layout.drops(self.request.state_dir), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for person, known in self.policy["people"].items():
                if known["uid"] is not None and os.geteuid() in (0, known["uid"]):
                    self._look_into(root, person, known["uid"])
            if self.policy["approvers_gid"] is not None:
                signed_inbox.look_into(self, root)
        finally:
            os.close(root)
        if self.policy.get("page"):
            page_inbox.look_into(self, self.policy["page"]["uid"])
        votes = votes_on(self.request)
        for vote in votes:
            if vote["file"] not in self._recorded:
                self._record(vote)
        standing = signed_inbox.standing(votes, self.policy)
        gone = [f"{vote['person']}'s signed approval" for vote in votes if vote not in standing]
        self.lines += [f"{what} does not count any more: its key has gone from gate.yaml" for what in gone]
        return standing

    def _look_into(self, root: int, person: str, uid: int) -> None:
        try:
            directory = drop.open_directory(root, person, uid)
        except drop.DropDirectoryError as error:
            self._pass_over(person, str(error))
            return
        try:
            for name in drop.candidates(os.listdir(directory), self.request.facts["job_id"], self.request.key):
                self._judge(directory, name, person, uid)
        finally:
            os.close(directory)

    def _pass_over(self, person: str, why: str) -> None:
        by = {"person": person, "via": "drop"}
        self.request.record("drop-turned-away", "by", "why", by=by, why=fit(why, WHY_MAX_RECORD_BYTES))
        self.lines.append(f"drops of {person} do not count: {shown(why)}")

    def _judge(self, directory: int, name: str, person: str, uid: int) -> None:
        reading = drop.read(directory, name, uid)
        if reading.state == "later":
            self.again = True
        if reading.file is None or reading.state in ("later", "gone"):
            return
        why = reading.why or self._why_not(name, person, reading.text, reading.file)
        if why:
            by = {"person": person, "via": "drop"}
            self.record_turned_away(f"a drop of {person}", directory, name, reading.file, by, why)
            self.take(directory, name, reading.file)
        else:
            self._count(directory, name, person, reading)

    def _why_not(self, name: str, person: str, comment: str, file: os.stat_result) -> str | None:
        stem, _, answer = name.rpartition(".")
        namesakes = self._namesakes() if stem != self.request.key else []
        if namesakes:
            both = " or ".join(f"{key}.{answer}" for key in sorted([self.request.key, *namesakes]))
            return f"more than one waiting job has the number {stem}; name it {both}"
        why = may_answer(person, answer, comment, self.rule, self.policy, self.request.facts)
        return why or (self._too_early(file) if answer == "approve" else None)

    def _namesakes(self) -> list[str]:
        """Other requests that wait under the same job number, on another GitLab instance."""
        state_dir = self.request.state_dir
        others = [key for key in meant_by(state_dir, str(self.request.facts["job_id"])) if key != self.request.key]
        return [key for key in others if (other := load(state_dir, key)) is not None and is_open(other)]

    def _too_early(self, file: os.stat_result) -> str | None:
        if not self._is_early(file):
            return None
        if not self.rule["early"]:
            return f"it was there before its job, and rule {self.rule['name']!r} takes no early approval"
        if time.time() - file.st_ctime > self.rule["decide_within_s"]:
            return f"it is early and older than {duration(self.rule['decide_within_s'])}"
        return None

    def _is_early(self, file: os.stat_result) -> bool:
        # Not opened_wall_s: the clock that stamps files lags behind time.time(), by up to 10 ms.
        return file.st_ctime_ns < os.lstat(os.path.join(self.request.directory, "request.json")).st_ctime_ns

    def _count(self, directory: int, name: str, person: str, reading: drop.Reading) -> None:
        file = reading.file
        assert file is not None  # noqa: S101
        vote = {
            "v": 1,
            "key": self.request.key,
            "person": person,
            "answer": name.rpartition(".")[2],
            "comment": reading.text,
            "via": "drop",
            "uid": file.st_uid,
            "early": self._is_early(file),
            "counted_boottime_ms": boottime_ms(),
        }
        vote_name = f"{person}.{file.st_ino}-{file.st_ctime_ns}.{vote['answer']}.json"
        self.keep(directory, name, file, vote_name, vote)

    def keep(self, directory: int, name: str, file: os.stat_result, vote_name: str, vote: dict[str, Any]) -> None:
        """Make a drop a vote: the vote's file, its record, and the drop goes.

        Raises:
            StateError: somebody else keeps putting files where the vote's belongs.
        """
        votes = layout.votes(self.request.directory)
        kept = write_json_once(votes, vote_name, vote) or self.counted(vote_name) is not None
        if not kept and not write_json_once(votes, vote_name, vote):
            raise StateError(f"{votes}/{vote_name} is not the gate's own; look who makes it")
        self._record(vote | {"file": vote_name})
        self.remove(directory, name, file)

    def counted(self, vote_name: str) -> dict[str, Any] | None:
        """The vote that is kept under that name already, or None.

        The page's user can make files in votes/, too, and must not keep a vote from being counted by one of the same name:
        what is not the gate's own is taken away.

        Raises:
            StateError, AuditError, OSError: it cannot be read, or not taken away.
        """
        path = os.path.join(layout.votes(self.request.directory), vote_name)
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            return None
        if found.st_uid == os.geteuid():
            return read_json(path)
        why = "it is not the gate's own, and stood where a vote is kept"
        votes = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.record_turned_away("a file of the page's", votes, vote_name, found, {"via": "page"}, why)
            self.take(votes, vote_name, found)
        finally:
            os.close(votes)
        return None

    def _record(self, vote: dict[str, Any]) -> None:
        by = {"person": vote["person"], "via": vote["via"], "uid": vote["uid"], "vote": vote["file"]}
        if vote["via"] == "signed":
            by["key"] = vote["signed_with"]
        early = {"early": True} if vote["early"] else {}
        self.request.record("vote", "by", by=by, decision=vote["answer"], comment=vote["comment"], **early)
        self._recorded.add(vote["file"])
        verb = "approves" if vote["answer"] == "approve" else "rejects"
        verb += f", signed with {vote['signed_with']}" if vote["via"] == "signed" else ""
        before = " (answered before the job was here)" if vote["early"] else ""
        self.lines.append(f"{vote['person']} {verb}{before}{said(vote['comment'])}")

    def record_turned_away(
        self, what: str, directory: int, name: str, file: os.stat_result, by: dict[str, str], why: str
    ) -> None:
        """Record that a file does not count, and say so; `what` it is, in words. The file is still to be taken away."""
        if turned_away.note(self.request.state_dir, directory, name, file) is None:
            return
        self.request.record("drop-turned-away", "by", "drop", by=by, drop=dropped_fields(name, file), why=why)
        self.lines.append(f"{what} was turned away: {shown(name)}: {shown(why, 500)}")

    def take(self, directory: int, name: str, file: os.stat_result) -> str:
        """Move a drop into turned-away/; see gate/turned_away.py."""
        return turned_away.take_away(self.request.state_dir, directory, name, file)

    def remove(self, directory: int, name: str, file: os.stat_result) -> None:
        """Take a drop away for good: what it said is kept already."""
        taken = self.take(directory, name, file)
        if taken:
            os.unlink(taken)


def votes_on(request: Request) -> list[dict[str, Any]]:
    """All votes on a request, oldest first; where two are of one moment, the rejection is the later one.

    Only files of the gate's own uid count, and only under the request that they name (architecture "On disk"). What the page
    has left here is none of them: gate/page_inbox.py makes votes of that.
    """
    directory = layout.votes(request.directory)
    found = []
    for name in os.listdir(directory):
        path = os.path.join(directory, name)
        if not name.endswith(".json") or not _is_own(path):
            continue
        vote = read_json(path)
        if vote and vote.get("key") == request.key:
            found.append(vote | {"file": name})
    return sorted(found, key=lambda vote: (vote["counted_boottime_ms"], vote["answer"] == "reject", vote["file"]))


def _is_own(path: str) -> bool:
    try:
        return os.lstat(path).st_uid == os.geteuid()
    except FileNotFoundError:  # a file of the page's, which it removed meanwhile
        return False


def said(comment: str) -> str:
    """A comment, for the end of a line: `: "go ahead"`, or nothing."""
    return f': "{shown(comment, drop.COMMENT_MAX_CHARACTERS)}"' if comment else ""
