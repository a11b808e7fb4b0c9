"""What becomes of one answer to a request: a vote, or turned away; in files, in the audit log, and for the job log.

For an answer that counts: vote file, then its record, then what was left goes. For one that does not: its record, then
it is moved to turned-away/ (gate/votes/turned_away.py). A crash in between leaves it where it is, and the next look
does the rest: the vote's name comes from what was left, and a record is appended once.

Each answer comes from a *source*: a person's drop directory, `signed/<person>`, or the page. What is wrong with one is
said, recorded once, and no other source waits for it.
"""

from __future__ import annotations

import errno
import os
import stat

from audit.descriptor import held_directory
from gate.model.words import shown
from gate.store import layout
from gate.store.files import StateError, read_json, write_json_once
from gate.store.request import WHY_MAX_RECORD_BYTES, dropped_fields, fit
from gate.votes import turned_away
from gate.votes.drop_file import COMMENT_MAX_CHARACTERS, HOSTS_OWN, DropError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from gate.shapes import KeptVote, Policy, Rule
    from gate.store.request import Request
    from gate.votes.drop_file import Reading

# What rename(2) says of the disk that both directories are on, and not of what is to be moved.
_OF_THE_DISK = (*HOSTS_OWN, errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS)
_VOTE = {"v": int, "key": str, "person": str, "answer": str, "comment": str, "via": str, "uid": int, "early": bool,
         "counted_boottime_ms": int}  # fmt: skip


class Ballot:
    """What one look makes of the answers to a request; `lines` is for its job log."""

    def __init__(self, request: Request, policy: Policy, rule: Rule) -> None:
        """`policy` and `rule` are those of gate.yaml as it is now."""
        self.request, self.policy, self.rule = request, policy, rule
        self.lines: list[str] = []
        self.later: set[str] = set()
        """Sources with something that is not ready."""
        self.overdue: set[str] = set()
        """Sources that have had something that is not ready for too long."""
        self.recorded: set[str] = set()
        """Vote files, and places that were passed over, whose records are known to be in the log."""

    def readings(self, source: str, place: str, names: Iterable[str], by: dict[str, str],
                 read: Callable[[str], Reading]) -> Iterator[tuple[str, Reading]]:  # fmt: skip
        """Of the files with these names, those that can be judged now; `place` is the path that people know it by.

        Raises:
            AuditError, OSError: as pass_over, or this process has nothing left to read with.
        """
        for name in names:
            try:
                reading = read(name)
            except DropError as error:
                self.later.add(source)
                self.pass_over(f"{place}/{name}", by, str(error))
                continue
            if reading.state == "later":
                self.later.add(source)
            elif reading.state != "gone":
                yield name, reading

    def pass_over(self, place: str, by: dict[str, str], why: str) -> None:
        """Say, and record once, that what lies at `place` does not count; it stays where it is.

        Raises:
            AuditError: it is not durably in the log.
        """
        if place not in self.recorded:
            drop = {"name": fit(shown(place))}
            self.request.record("drop-turned-away", "by", "drop", by=by, drop=drop, why=why)
            self.recorded.add(place)
        self.lines.append(f"{shown(place)} {shown(fit(why, WHY_MAX_RECORD_BYTES), 500)}; what is there does not count")

    def keep(self, directory: int, name: str, file: os.stat_result, vote_name: str, vote: KeptVote) -> None:
        """Make an answer a vote: the vote's file, its record, and what was left goes.

        Raises:
            StateError: somebody else keeps putting files where the vote's belongs.
        """
        votes, vote = layout.votes(self.request.directory), vote | {"file": vote_name}
        kept = write_json_once(votes, vote_name, vote) or self.counted(vote_name) is not None
        if not kept and not write_json_once(votes, vote_name, vote):
            raise StateError(f"{votes}/{vote_name} is not the gate's own; look who makes it")
        self.record(vote)
        self.remove(directory, name, file)

    def counted(self, vote_name: str) -> KeptVote | None:
        """The vote that is kept under that name already, or None.

        The page's user can make files in votes/, too, and must not keep a vote from being counted by one of the same
        name: what is not the gate's own vote is taken away.

        Raises:
            StateError, AuditError, OSError: it cannot be read, or not taken away.
        """
        path = os.path.join(layout.votes(self.request.directory), vote_name)
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            return None
        vote: KeptVote | None = (
            read_json(path) if found.st_uid == os.geteuid() and stat.S_ISREG(found.st_mode) else None
        )
        if vote is not None and is_vote(vote, vote_name, self.request.key):
            return vote
        why = "it is not the gate's own, and stood where a vote is kept"
        with held_directory(os.path.dirname(path)) as votes:
            self.turn_away("a file of the page's", votes, vote_name, found, {"via": "page"}, why)
        return None

    def record(self, vote: KeptVote) -> None:
        """Record a vote, once, and say it.

        Raises:
            AuditError: it is not durably in the log.
        """
        if vote["file"] in self.recorded:
            return
        by = {"person": vote["person"], "via": vote["via"], "uid": vote["uid"], "vote": vote["file"]}
        if vote["via"] == "signed":
            by["key"] = vote["signed_with"]
        early = {"early": True} if vote["early"] else {}
        self.request.record("vote", "by", by=by, decision=vote["answer"], comment=vote["comment"], **early)
        self.recorded.add(vote["file"])
        verb = "approves" if vote["answer"] == "approve" else "rejects"
        verb += f", signed with {vote['signed_with']}" if vote["via"] == "signed" else ""
        before = " (answered before the job was here)" if vote["early"] else ""
        self.lines.append(f"{vote['person']} {verb}{before}{said(vote['comment'])}")

    def turn_away(
        self, what: str, directory: int, name: str, file: os.stat_result, by: dict[str, str], why: str
    ) -> None:
        """Record that a file does not count, say so, and move it away; `what` it is, in words.

        Raises:
            StateError, AuditError, OSError: it could not be recorded, or the disk moves nothing.
        """
        if turned_away.note(self.request.state_dir, directory, name, file) is None:
            return
        self.request.record("drop-turned-away", "by", "drop", by=by, drop=dropped_fields(name, file), why=why)
        self.lines.append(f"{what} was turned away: {shown(name)}: {shown(why, 500)}")
        self.take(directory, name, file)

    def take(self, directory: int, name: str, file: os.stat_result) -> str:
        """Move a file into turned-away/; what cannot be moved there, such as a mount, stays, and no job waits for it.

        Raises:
            OSError: the disk moves nothing.
        """
        try:
            return turned_away.take_away(self.request.state_dir, directory, name, file)
        except OSError as error:
            if error.errno in _OF_THE_DISK:
                raise
            self.lines.append(f"{shown(name)} of uid {file.st_uid} cannot be moved away: {error.strerror}")
            return ""

    def remove(self, directory: int, name: str, file: os.stat_result) -> None:
        """Take a file away for good: what it said is kept already."""
        taken = self.take(directory, name, file)
        if taken:
            os.unlink(taken)


def votes_on(request: Request, lines: list[str] | None = None) -> list[KeptVote]:
    """All votes on a request, oldest first; where two are of one moment, the rejection is the later one.

    Only files of the gate's own uid count, and only under the request and the name that they have in them (architecture
    "On disk"). What the page has left here is none of them: gate/votes/from_page.py makes votes of that. Where the
    kernel lets people make hard links to others' files (fs.protected_hardlinks=0), the page's user can give a file of
    the gate's a name here: a second name of a vote is no second vote, and another file is none; `lines` gets a line for
    each.
    """
    directory = layout.votes(request.directory)
    found: list[KeptVote] = []
    for name in sorted(os.listdir(directory)):
        path = os.path.join(directory, name)
        own = _own(path) if name.endswith(".json") else None
        if own is None:
            continue
        vote = _vote_in(path, own)
        if is_vote(vote, name, request.key):
            found.append(vote | {"file": name})
        elif own.st_nlink > 1 and lines is not None:
            lines.append(
                f"votes/{shown(name)} is a hard link to another file of the gate's, and no vote: remove it, and set"
                " fs.protected_hardlinks to 1"
            )
    return sorted(found, key=lambda vote: (vote["counted_boottime_ms"], vote["answer"] == "reject", vote["file"]))


def is_vote(vote: KeptVote, name: str, key: str) -> bool:
    """Whether it is a vote on the request of that key, kept under that name.

    Older ones do not have their name in them.
    """
    sound = all(type(vote.get(part)) is kind for part, kind in _VOTE.items())
    return sound and vote["key"] == key and vote.get("file", name) == name and name.startswith(f"{vote['person']}.")


def _vote_in(path: str, own: os.stat_result) -> Any:
    try:
        return read_json(path) or {}
    except StateError:
        if own.st_nlink > 1:  # it may be anything of the gate's that somebody else has linked here
            return {}
        raise


def _own(path: str) -> os.stat_result | None:
    try:
        found = os.lstat(path)
    except FileNotFoundError:  # a file of the page's, which it removed meanwhile
        return None
    return found if found.st_uid == os.geteuid() and stat.S_ISREG(found.st_mode) else None


def said(comment: str) -> str:
    """A comment, for the end of a line: `: "go ahead"`, or nothing."""
    return f': "{shown(comment, COMMENT_MAX_CHARACTERS)}"' if comment else ""
