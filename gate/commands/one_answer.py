"""One answer to one job: looked up, left as a drop, and followed until it is known what came of it."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from audit import log
from audit.log import AuditError
from gate.commands import archived
from gate.commands.fault import (
    BrokenGateError,
    CommandError,
    NoSuchJobError,
    NotCountingError,
    NotWaitingError,
    as_data,
)
from gate.commands.request_data import answered_data
from gate.commands.request_words import answer_line
from gate.commands.target import unseen, waiting_request
from gate.flow.situation import situation
from gate.flow.status import records_of, state_words
from gate.model import matching, rules
from gate.model.missing import missing_words
from gate.model.words import DONE, NOUNS, shown
from gate.store import layout
from gate.store.files import StateError, write_once
from gate.store.request import fit
from gate.votes import drop_file

if TYPE_CHECKING:
    from gate.commands.job import Job
    from gate.flow.situation import Situation
    from gate.shapes import Answer, Policy, Record
    from gate.store.request import Request

FOLLOW_S = 20.0
SETTLE_S = 1.0
POLL_S = 0.05


class OneAnswer:
    """An answer of a person to the job that they named as `typed`; `error` is what it failed at."""

    def __init__(
        self, typed: str, job: Job, answer: Answer, text: str, policy: Policy, person: str, directory: str
    ) -> None:
        """`text` is the comment, `directory` the person's drop directory."""
        self.typed, self._job, self._answer, self._text = typed, job, answer, text
        self._policy, self._person, self._directory = policy, person, directory
        self.request: Request | None = None
        self.error: CommandError | None = None
        self.drop_name = ""
        self.words = ""  # what is answered, in one line
        self.outcome = ""
        self.message = ""
        self._since = (0, 0)

    def look_up(self, *, early: bool) -> None:
        """Find the request, if it can be seen from here.

        Raises:
            CommandError: there is none to answer, or this answer would not count.
        """
        self.request = _request(self._policy["state_dir"], self._job, early=early)
        if self.request:
            _check(self.request, self._policy, self._person, self._answer, self._text)
        else:
            _check_unseen(self._job)
        self.drop_name = f"{self.request.key if self.request else self._job.name}.{self._answer}"
        self.words = self._words()

    def _words(self) -> str:
        if self.request:
            return answer_line(self.request, self._policy, self._answer)
        return f"{self._answer} job {self._job.name}, which is not here yet, or cannot be seen from here"

    def leave(self, *, early: bool) -> None:
        """Write the drop.

        Raises:
            CommandError: it could not be written.
            AuditError: what comes of it could not be read.
        """
        if self.request:
            self._since = log.position(layout.audit(self._policy["state_dir"]))
        path = _drop(self._directory, self.drop_name, self._text)
        hope = "it counts when that job comes, if its rule allows" if early else _unseen(self._policy)
        if self.request:
            hope = f"see `gate show {self.request.facts['job_id']}` for what comes of it"
        self.outcome, self.message = "left", f"left {path}; {hope}"

    def follow(self, give_up: float) -> None:
        """Wait for what comes of it, by the audit log, until that monotonic time.

        Raises:
            CommandError: it did not count, came too late, or has not been taken.
        """
        request, counted_at = self._known(), None
        while True:
            counted_at = counted_at or self._counted_at()
            decision = request.file("decision.json")
            if decision:
                self._decided(decision["decision"], counted=counted_at is not None)
                return
            if counted_at and time.monotonic() > counted_at + SETTLE_S:
                self.outcome = "counted"
                self.message = (
                    f"counted: your {NOUNS[self._answer]} of {request.key}; now {_progress(self._situation())}"
                )
                return
            if not counted_at and time.monotonic() > give_up:
                break
            time.sleep(POLL_S)
        raise BrokenGateError(
            f"your answer is not taken yet; it stays at {self._path}; look at `gate show {request.key}`"
        )

    def data(self) -> dict[str, object]:
        """The answer as `--json` has it."""
        told: dict[str, object] = {"job": self.typed, "answer": self._answer}
        if self.error:
            return told | {"error": as_data(self.error)}
        told |= {"outcome": self.outcome, "message": self.message}
        if self.request is None:
            unknown = dict.fromkeys(("request", "state", "decision", "votes", "missing", "until", "triggered_by"))
            return told | unknown
        return told | {"request": self.request.key} | answered_data(self._situation())

    @property
    def _path(self) -> str:
        return os.path.join(self._directory, self.drop_name)

    def _known(self) -> Request:
        assert self.request is not None  # noqa: S101  what cannot be seen is not followed
        return self.request

    def _situation(self) -> Situation:
        request = self._known()
        try:
            records: list[Record] | None = records_of(request)
        except AuditError:
            records = None
        return situation(request, self._policy, records, self._person)

    def _counted_at(self) -> float | None:
        """Now, in monotonic time, if the log says that it counted.

        Raises:
            NotCountingError: the log says that it does not.
        """
        found = None
        for _head, record in log.records(layout.audit(self._policy["state_dir"]), self._since):
            if record.get("request") != self._known().key:
                continue
            _raise_if_turned_away(record, self._person, self.drop_name)
            by = record["by"] if record["event"] == "vote" else {}
            if (by.get("person"), by.get("via")) == (self._person, "drop"):
                found = time.monotonic()
        return found

    def _decided(self, decision: str, *, counted: bool) -> None:
        request = self._known()
        if decision == DONE[self._answer]:
            self.outcome, self.message = decision, f"{request.key} is {state_words(request)}"
            return
        if not counted and os.path.exists(self._path):
            os.unlink(self._path)
        raise NotWaitingError(
            f"too late: {request.key} is {state_words(request)}; your {NOUNS[self._answer]} came to nothing"
        )


def _request(state_dir: str, job: Job, *, early: bool) -> Request | None:
    """The waiting request; None where it cannot be seen from here, or is still to come.

    Raises:
        CommandError: it is over, or no one has heard of it and the answer is not `early`.
    """
    try:
        return waiting_request(state_dir, job)
    except PermissionError:
        return None
    except NoSuchJobError as error:
        if not early:
            raise NoSuchJobError(f"{error}; --early answers a job that is still to come") from error
    records = archived.records_of(state_dir, job)  # what is archived is the gate's own to read: only the log tells
    if records:
        raise NotWaitingError(f"job {job.name} is not waiting: {archived.state_words(records)}; it is archived")
    return None


def _check_unseen(job: Job) -> None:
    """A drop is named by a number or a key, and an address in GitLab has no key: the instance in it would be lost.

    Raises:
        CommandError: an address was given for a job that cannot be looked up.
    """
    if job.instance:
        raise CommandError(
            f"job {job.number} of {job.instance} cannot be seen from here, and its address does not tell its key; "
            f"{job.number} alone would count for the job of that number of any GitLab: give that, or the key; "
            "nothing was answered"
        )


def _check(request: Request, policy: Policy, person: str, answer: Answer, text: str) -> None:
    """Say beforehand what the gate would say, or would not even look at.

    Raises:
        NotCountingError: this answer would not count.
    """
    rule = matching.current(policy, request.facts)
    why = rules.may_answer(person, answer, text, rule, policy, request.facts) if rule else None
    if why:
        raise NotCountingError(f"your answer would not count: {shown(why, 500)}; nothing was answered")


def _unseen(policy: Policy) -> str:
    return f"what comes of it cannot be seen from here: {unseen(policy)}"


def _drop(directory: str, name: str, text: str) -> str:
    path = os.path.join(directory, name)
    try:
        made = write_once(directory, name, (text or drop_file.OK).encode() + b"\n", 0o600)
    except StateError as error:
        raise BrokenGateError(f"{error}; nothing was answered") from error
    if not made:
        raise CommandError(f"{path} is there already, and not taken yet; remove it to answer again")
    return path


def _progress(how: Situation) -> str:
    if not how.waits or how.missing is None:
        return how.progress or state_words(how.request)
    return "; ".join(part for part in (how.progress, missing_words(how.missing)) if part)


def _raise_if_turned_away(record: Record, person: str, name: str) -> None:
    if record["event"] != "drop-turned-away" or (record["by"].get("person"), record["by"]["via"]) != (person, "drop"):
        return
    dropped = record["drop"]["name"]
    whole = [f"drop/{person}", f"drop/{person}/{name}"]  # what is passed over is known by its path
    if dropped in [fit(shown(each)) for each in (name, *whole)]:
        raise NotCountingError(f"your answer does not count: {shown(record['why'], 500)}")
