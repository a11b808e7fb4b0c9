"""What a person has left in their own drop directory, as one waiting request sees it, by the few names that count.

That is their own answer, and signed ones that they bring for others.
"""

from __future__ import annotations

import os
import time

from audit.descriptor import Held
from gate.clock import boottime_ms
from gate.model.rules import may_answer
from gate.model.words import duration
from gate.store.beneath import stat_beneath
from gate.store.request import is_open, load, meant_by
from gate.votes import drop_file, from_signed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gate.shapes import Answer, KeptVote
    from gate.votes.ballot import Ballot
    from gate.votes.drop_file import Reading


def look_into(ballot: Ballot, root: int, person: str, uid: int) -> None:
    """Take in what that person has left for this request, in a directory relative to a descriptor on `drop/`.

    Raises:
        StateError, AuditError, OSError: something could not be kept; nothing is lost, the next look goes on from there.
    """
    by = {"person": person, "via": "drop"}
    try:
        directory = drop_file.open_directory(root, person, uid)
    except drop_file.DropDirectoryError as error:
        place = f"drop/{person}"
        ballot.pass_over(place, by, str(error).removeprefix(f"{place} "))
        return
    with Held(directory):
        names = drop_file.names_of(ballot.request.facts["job_id"], ballot.request.key)
        found = ballot.readings(person, f"drop/{person}", names, by, lambda name: drop_file.read(directory, name, uid))
        for name, reading in found:
            _judge(ballot, directory, name, person, reading)
        _turn_misnamed_away(ballot, directory, person)
        from_signed.look_into_own(ballot, directory, person, uid)


def _turn_misnamed_away(ballot: Ballot, directory: int, person: str) -> None:
    job = ballot.request.facts["job_id"]
    for name in drop_file.misnamed(job):
        try:
            file = stat_beneath(directory, name)
        except OSError:  # it is not there, or is a mount: no answer of that name counts anyway
            continue
        why = f"an answer has the name {job}.approve or {job}.reject"
        ballot.turn_away(f"a drop of {person}", directory, name, file, {"person": person, "via": "drop"}, why)


def _judge(ballot: Ballot, directory: int, name: str, person: str, reading: Reading) -> None:
    file = reading.file
    assert file is not None  # noqa: S101
    why = reading.why or _why_not(ballot, name, person, reading.text, file)
    if why:
        by = {"person": person, "via": "drop"}
        ballot.turn_away(f"a drop of {person}", directory, name, file, by, why)
        return
    answer = _answer(name)
    vote: KeptVote = {
        "v": 1,
        "key": ballot.request.key,
        "person": person,
        "answer": answer,
        "comment": reading.text,
        "via": "drop",
        "uid": file.st_uid,
        "early": _is_early(ballot, file),
        "counted_boottime_ms": boottime_ms(),
    }
    ballot.keep(directory, name, file, f"{person}.{file.st_ino}-{file.st_ctime_ns}.{answer}.json", vote)


def _answer(name: str) -> Answer:
    return "approve" if name.endswith(".approve") else "reject"


def _why_not(ballot: Ballot, name: str, person: str, comment: str, file: os.stat_result) -> str | None:
    stem, answer = name.rpartition(".")[0], _answer(name)
    namesakes = _namesakes(ballot) if stem != ballot.request.key else []
    if namesakes:
        both = " or ".join(f"{key}.{answer}" for key in sorted([ballot.request.key, *namesakes]))
        return f"more than one waiting job has the number {stem}; name it {both}"
    why = may_answer(person, answer, comment, ballot.rule, ballot.policy, ballot.request.facts)
    return why or (_too_early(ballot, file) if answer == "approve" else None)


def _namesakes(ballot: Ballot) -> list[str]:
    """Other requests that wait under the same job number, on another GitLab instance."""
    request = ballot.request
    others = [key for key in meant_by(request.state_dir, str(request.facts["job_id"])) if key != request.key]
    return [key for key in others if (other := load(request.state_dir, key)) is not None and is_open(other)]


def _too_early(ballot: Ballot, file: os.stat_result) -> str | None:
    if not _is_early(ballot, file):
        return None
    if not ballot.rule["early"]:
        return f"it was there before its job, and rule {ballot.rule['name']!r} takes no early approval"
    if time.time() - file.st_ctime > ballot.rule["decide_within_s"]:
        return f"it is early and older than {duration(ballot.rule['decide_within_s'])}"
    return None


def _is_early(ballot: Ballot, file: os.stat_result) -> bool:
    # Not opened_wall_s: the clock that stamps files lags behind time.time(), by up to 10 ms.
    return file.st_ctime_ns < os.lstat(os.path.join(ballot.request.directory, "request.json")).st_ctime_ns
