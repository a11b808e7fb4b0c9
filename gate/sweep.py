"""What every config and cleanup tidies, for other requests than its own.

- A request that nobody holds any more is abandoned, and ended: its heartbeat's lock is free and the last beat is older
  than 60 s, or it is of another boot. One that was decided is only ended.
- A released request whose run stages never came within 10 min, or of another boot, is ended. One that started is ended by
  its own cleanup, or when it is of another boot, or a day after the job's own timeout: its runner was killed.
- Drops for ended requests, or over 7 days old, are turned away, with a record; by age also what is never read.
- The audit log goes on in a new segment, where the last is as large as gate.yaml says.
- What is older than `keep` allows is archived or removed (gate/housekeeping.py).

A fault here harms no job: it is returned as a line, and the next sweep tries again.
"""

from __future__ import annotations

import functools
import os
import stat
import time

from audit import log, retention
from audit.rotate import rotate
from gate import __version__, drop, housekeeping, layout, notice, signed, turned_away, waiting
from gate.clock import boottime_ms
from gate.decide import decide, end, record_decided
from gate.files import StateError, exists
from gate.request import Request, dropped_fields, keys, load, meant_by
from gate.words import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

RUN_WITHIN_MS = 600_000
LAST_STAGES_WITHIN_MS = 24 * 3_600_000  # after a job's timeout the runner still calls its last stages, and cleanup
DROP_MAX_AGE_S = 7 * 24 * 3600
_FAULTS = (StateError, log.AuditError, OSError, KeyError)


def sweep(policy: dict[str, Any], own_key: str) -> list[str]:
    """Sweep all requests but `own_key`, and all drops; returns a line for each fault."""
    state_dir, faults = policy["state_dir"], []
    if not os.path.lexists(state_dir):
        return []  # config could not make it, and has said why: a line about that here would only hide the reason
    try:
        others = [key for key in keys(state_dir) if key != own_key]
    except OSError as error:
        return [f"cannot sweep {layout.jobs(state_dir)}: {error.strerror}"]
    for key in others:
        try:
            _sweep_request(policy, key)
        except _FAULTS as error:
            faults.append(f"cannot sweep {key}: {error}")
    for person, known in policy["people"].items():
        try:
            _sweep_drops(state_dir, person, known["uid"])
        except drop.DropDirectoryError:
            continue  # said in the job log of whoever waits for that person
        except _FAULTS as error:
            faults.append(f"cannot sweep the drops of {person}: {error}")
    return faults + _sweep_signed(policy) + housekeeping.tidy(policy, own_key, time.time()) + _rotate(policy)


def _rotate(policy: dict[str, Any]) -> list[str]:
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
        return log.FIRST_SEGMENT  # told where it is swept; until somebody mends it, nothing goes
    return min(found, default=log.position(layout.audit(state_dir))[0])


def _sweep_request(policy: dict[str, Any], key: str) -> None:
    state_dir = policy["state_dir"]
    directory = layout.job(state_dir, key)
    if exists(os.path.join(directory, "ended.json")):
        return
    request = load(state_dir, key)
    if request is None or not over(request):
        return
    if not request.has("decision.json"):
        why = "nobody holds this job any more: its runner or its gate was killed, or the host was started anew"
        decide(request, "abandoned", why, rule=request.opened["rule"], config="")
    decision = request.file("decision.json")
    if decision:
        request.make_durable()
        record_decided(request, decision)
        notice.decided(request, policy, decision)
    end(request, "nobody held or ran this job any more")


def over(request: Request) -> bool:
    """Whether nobody will take this request further, so that a sweep may end it."""
    if not request.of_this_boot:
        return True
    if request.has("started"):
        spent_ms = boottime_ms() - request.opened["opened_boottime_ms"]
        return bool(spent_ms > request.facts["timeout_s"] * 1000 + LAST_STAGES_WITHIN_MS)
    released = request.file("release.json")
    if released:
        return boottime_ms() - int(released["released_boottime_ms"]) > RUN_WITHIN_MS
    last_sign_ms = max(waiting.last_beat_ms(request.directory), request.opened["opened_boottime_ms"])
    return boottime_ms() - last_sign_ms > waiting.STALE_AFTER_MS and not waiting.is_waiting(request.directory)


def _sweep_drops(state_dir: str, person: str, uid: int | None) -> None:
    if uid is None or os.geteuid() not in (0, uid):
        return
    root = os.open(layout.drops(state_dir), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        directory = drop.open_directory(root, person, uid)
    finally:
        os.close(root)
    try:
        for name in os.listdir(directory):
            _sweep_drop(state_dir, directory, person, name)
    finally:
        os.close(directory)


def _sweep_drop(state_dir: str, directory: int, person: str, name: str) -> None:
    file = _look_at(directory, name)
    why = _why_old(state_dir, name, file) if file else ""
    if file and why:
        _turn_away(state_dir, directory, name, file, {"person": person, "via": "drop"}, why)


def _look_at(directory: int, name: str) -> os.stat_result | None:
    try:
        return os.lstat(name, dir_fd=directory)
    except FileNotFoundError:
        return None


def _turn_away(state_dir: str, directory: int, name: str, file: os.stat_result, by: dict[str, str], why: str) -> None:
    fields = {"event": "drop-turned-away", "by": by, "drop": dropped_fields(name, file), "why": why}
    # Recorded before it goes, so that no drop goes unrecorded; once, though a look or a sweep was killed in between.
    since = turned_away.note(state_dir, directory, name, file)
    if since is None:
        return
    log.append_once(layout.audit(state_dir), fields, same=("event", "drop"), since=since, version=__version__)
    turned_away.take_away(state_dir, directory, name, file)


def _sweep_signed(policy: dict[str, Any]) -> list[str]:
    """As the drops of a person; one that cannot be moved away, such as another user's directory, hinders no other."""
    if policy["approvers_gid"] is None:
        return []
    state_dir, faults = policy["state_dir"], []
    try:
        root = os.open(layout.drops(state_dir), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            directory = drop.open_signed(root)
        finally:
            os.close(root)
    except (OSError, drop.DropDirectoryError) as error:
        return [f"cannot sweep the signed drops: {error}"]
    try:
        for name in os.listdir(directory):
            try:
                _sweep_signed_drop(state_dir, directory, name)
            except _FAULTS as error:
                faults.append(f"cannot sweep drop/signed/{shown(name)}: {error}")
    finally:
        os.close(directory)
    return faults


def _sweep_signed_drop(state_dir: str, directory: int, name: str) -> None:
    file = _look_at(directory, name)
    if file is None or (stat.S_ISDIR(file.st_mode) and os.geteuid() != 0):
        return  # another user's directory can be moved by root alone: it would be recorded again each time
    by, statement = {"via": "signed"}, _statement(directory, name) if drop.is_read(name) else None
    why = "it is over 7 days old" if time.time() - file.st_ctime > DROP_MAX_AGE_S else ""
    if statement:
        by = {"person": statement.person, "via": "signed"}
        why = why or _why_ended(state_dir, [statement.request])
    if why:
        _turn_away(state_dir, directory, name, file, by, why)


def _statement(directory: int, name: str) -> signed.Statement | None:
    try:
        return signed.parse(signed.split(drop.read_ascii(directory, name).text.encode("ascii"))[0])
    except signed.StatementError:
        return None  # whoever waits next turns it away


def _why_old(state_dir: str, name: str, file: os.stat_result) -> str:
    if time.time() - file.st_ctime > DROP_MAX_AGE_S:
        return "it is over 7 days old"
    meant = drop.answer_of(name) if drop.is_read(name) else None
    if meant is None:
        return ""
    return _why_ended(state_dir, meant_by(state_dir, meant[0]))


def _why_ended(state_dir: str, found: list[str]) -> str:
    ended = [key for key in found if exists(os.path.join(layout.job(state_dir, key), "ended.json"))]
    return f"its job has ended: {shown(ended[0])}" if found and found == ended else ""
