"""What every config and cleanup tidies, for other requests than its own.

- A request that no process holds any more is abandoned, and ended: its heartbeat's lock is free and the last beat is
  older than 60 s, or it is of another boot. One that was decided is only ended.
- A released request whose run stages never came within 10 min, or of another boot, is ended. One that started is ended
  by its own cleanup, or when it is of another boot, or a day after the job's own timeout: its runner was killed.
- Drops for ended requests, or over 7 days old, are turned away, with a record; by age also what is never read.
- The audit log goes on in a new segment, where the last is as large as gate.yaml says.
- What is older than `keep` allows is archived or removed (gate/upkeep/prune.py).

A fault here harms no job: it is returned as a line, and the next sweep tries again. One sweep runs at a time, in a
process of its own that no job waits for. It spends LIST_WITHIN_S on the names of one directory and turns away
TURN_AWAY_MAX of them: however much somebody has left, the rest is for the next one.
"""

from __future__ import annotations

import functools
import os
import stat
import time

from audit import log, retention
from audit.descriptor import Held, held_directory
from audit.rotate import rotate
from gate import __version__
from gate.flow.decide import decide, finish
from gate.model.words import shown
from gate.store import layout, liveness
from gate.store.beneath import stat_beneath
from gate.store.files import StateError, exists
from gate.store.request import dropped_fields, keys, load
from gate.upkeep import prune
from gate.votes import drop_file, signed, turned_away

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from gate.shapes import Policy

DROP_MAX_AGE_S = 7 * 24 * 3600
LIST_WITHIN_S = 2.0
TURN_AWAY_MAX = 200
_FAULTS = (StateError, log.AuditError, drop_file.DropError, OSError, KeyError)


def sweep(policy: Policy, own_key: str) -> list[str]:
    """Sweep all requests but `own_key`, and all drops.

    Returns a line for each fault; nothing while another sweep runs.
    """
    if not os.path.lexists(policy["state_dir"]):
        return []  # config could not make it, and has said why: a line about that here would only hide the reason
    try:
        # In turned-away/, which only R can open: who can open a directory can lock it.
        return prune.alone(layout.turned_away(policy["state_dir"]), lambda: _sweep(policy, own_key))
    except OSError as error:
        return [f"cannot sweep {policy['state_dir']}: {error.strerror}"]


def _sweep(policy: Policy, own_key: str) -> list[str]:
    state_dir, faults = policy["state_dir"], []
    try:
        others = [key for key in keys(state_dir) if key != own_key]
    except OSError as error:
        return [f"cannot sweep {layout.jobs(state_dir)}: {error.strerror}"]
    for key in others:
        try:
            _sweep_request(policy, key)
        except _FAULTS as error:
            faults.append(f"cannot sweep {key}: {error}")
    ended = _Ended(state_dir)
    for person, known in policy["people"].items():
        if known["uid"] is not None and os.geteuid() in (0, known["uid"]):
            faults += _sweep_person(state_dir, person, known["uid"], ended)
    if policy["approvers_gid"] is not None:
        faults += _sweep_signed(state_dir, ended)
    return faults + prune.tidy(policy, own_key, time.time()) + _rotate(policy)


class _Ended:
    """Which jobs are over, asked for each once in a sweep."""

    def __init__(self, state_dir: str) -> None:
        self._state_dir = state_dir
        self._keys: dict[str, list[str]] = {}
        for key in keys(state_dir):
            for name in (key, key.rpartition("-")[2]):
                self._keys.setdefault(name, []).append(key)
        self._why: dict[str, str] = {}

    def why(self, job: str) -> str:
        """That the job of that number or key has ended, in words; "" where it has not, or is not known."""
        if job not in self._why:
            found = self._keys.get(job, [])
            ended = [key for key in found if exists(os.path.join(layout.job(self._state_dir, key), "ended.json"))]
            self._why[job] = f"its job has ended: {shown(ended[0])}" if found and found == ended else ""
        return self._why[job]


def _rotate(policy: Policy) -> list[str]:
    if "keep" not in policy:  # of a job that an older version of the gate let in; the next job rotates
        return []
    directory, needed = layout.audit(policy["state_dir"]), functools.partial(_first_needed, policy["state_dir"])
    limits = retention.Limits(policy["keep"]["log_s"], time.time(), needed)
    try:
        rotate(directory, policy["audit"]["rotate_at_bytes"], version=__version__, limits=limits)
        retention.let_go(directory)
    except _FAULTS as error:
        return [f"cannot begin a new segment of the audit log: {error}"]
    return []


def _first_needed(state_dir: str) -> int:
    """The first segment of the log that a request on disk points into, so that nothing is recorded of it twice."""
    try:
        requests = [load(state_dir, key) for key in keys(state_dir)]
        found = [request.opened["log_position"][0] for request in requests if request]
    except _FAULTS:
        return log.FIRST_SEGMENT  # reported where it is swept; until it is fixed, nothing goes
    return min(found, default=log.position(layout.audit(state_dir))[0])


def _sweep_request(policy: Policy, key: str) -> None:
    state_dir = policy["state_dir"]
    directory = layout.job(state_dir, key)
    if exists(os.path.join(directory, "ended.json")):
        return
    request = load(state_dir, key)
    if request is None or not liveness.over(request):
        return
    why = "nobody holds this job any more: its runner or its gate was killed, or the host was restarted"
    decision = request.file("decision.json") or decide(
        request, "abandoned", why, rule=request.opened["rule"], config=""
    )
    finish(request, policy, decision, "nobody held or ran this job any more")


def _sweep_person(state_dir: str, person: str, uid: int, ended: _Ended) -> list[str]:
    by, place = {"person": person, "via": "drop"}, f"drop/{person}"

    def judged(_directory: int, name: str, file: os.stat_result) -> tuple[str, dict[str, str]]:
        meant = signed.addressed(name) or drop_file.answer_of(name) if drop_file.is_read(name) else None
        return _why_old(file) or (ended.why(meant[0]) if meant else ""), by

    try:
        directory = _opened(state_dir, lambda root: drop_file.open_directory(root, person, uid))
    except drop_file.DropDirectoryError:
        return []  # said in the log of the jobs that wait for that person
    except OSError as error:
        return [f"cannot sweep {place}: {error}"]
    return _sweep_directory(state_dir, directory, place, judged)


def _sweep_signed(state_dir: str, ended: _Ended) -> list[str]:
    def judged(directory: int, name: str, file: os.stat_result) -> tuple[str, dict[str, str]]:
        by = {"via": "signed"}
        if stat.S_ISDIR(file.st_mode) and os.geteuid() != 0:
            return "", by  # another user's directory can be moved by root alone: it would be recorded again each time
        if not drop_file.is_read(name):
            return _why_old(file), by
        addressed = signed.addressed(name)
        if addressed:
            return _why_old(file) or ended.why(addressed[0]), by | {"person": addressed[1]}
        return _why_old(file) or _wrong_name(directory, name), by

    try:
        directory = _opened(state_dir, drop_file.open_signed)
    except (OSError, drop_file.DropDirectoryError) as error:
        return [f"cannot sweep the signed drops: {error}"]
    return _sweep_directory(state_dir, directory, "drop/signed", judged)


def _opened(state_dir: str, opener: Callable[[int], int]) -> int:
    with held_directory(layout.drops(state_dir), os.O_PATH) as root:
        return opener(root)


def _sweep_directory(
    state_dir: str,
    directory: int,
    place: str,
    judged: Callable[[int, str, os.stat_result], tuple[str, dict[str, str]]],
) -> list[str]:
    """Turn away what `judged` gives a reason for; one that cannot be moved, such as a mount, hinders no other."""
    faults, left, until_s = [], TURN_AWAY_MAX, time.monotonic() + LIST_WITHIN_S
    with Held(directory), os.scandir(directory) as entries:
        for entry in entries:
            if not left or time.monotonic() > until_s:
                break
            try:
                left -= _sweep_file(state_dir, directory, entry.name, judged)
            except _FAULTS as error:
                faults.append(f"cannot sweep {place}/{shown(entry.name)}: {error}")
                left -= 1
    return faults


def _sweep_file(
    state_dir: str,
    directory: int,
    name: str,
    judged: Callable[[int, str, os.stat_result], tuple[str, dict[str, str]]],
) -> bool:
    try:
        file = stat_beneath(directory, name)
    except FileNotFoundError:
        return False
    why, by = judged(directory, name, file)
    if why:
        _turn_away(state_dir, directory, name, file, by, why)
    return bool(why)


def _turn_away(state_dir: str, directory: int, name: str, file: os.stat_result, by: dict[str, str], why: str) -> None:
    fields = {"event": "drop-turned-away", "by": by, "drop": dropped_fields(name, file), "why": why}
    # Recorded before it goes, so that no drop goes unrecorded; once, though a look or a sweep was killed in between.
    since = turned_away.note(state_dir, directory, name, file)
    if since is None:
        return
    log.append_once(layout.audit(state_dir), fields, same=("event", "drop"), since=since, version=__version__)
    turned_away.take_away(state_dir, directory, name, file)


def _why_old(file: os.stat_result) -> str:
    return "it is over 7 days old" if time.time() - file.st_ctime > DROP_MAX_AGE_S else ""


def _wrong_name(directory: int, name: str) -> str:
    """Why what lies in drop/signed/ under a name that no request looks for does not count.

    "" while somebody writes it.
    """
    reading = drop_file.read_ascii(directory, name)
    if reading.state in ("later", "gone"):
        return ""
    try:
        right = signed.name_of(signed.parse(signed.split(reading.text.encode("ascii"))[0]))
    except signed.StatementError:
        right = "<request's key>.<person>.<approve or reject>"
    return f"no job looks for that name: name it {right}"
