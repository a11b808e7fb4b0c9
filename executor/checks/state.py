"""What is under state_dir: whose it is, and who may touch it (docs/reference/state.md)."""

from __future__ import annotations

import errno
import os
import shlex
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from audit import copies, segments
from audit.lock import LOCK
from config.host import entry_weaknesses, weaknesses
from config.ownership import commands
from executor.checks.editor import in_editor, weak
from executor.checks.finding import FAIL, Finding, fail, ok, warn
from gate.store import layout, reserve
from gate.store.beneath import stat_beneath
from gate.store.files import StateError
from gate.store.request import load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from executor.checks.context import Context

_DIRECTORY, _FILE = stat.S_IFDIR, stat.S_IFREG
_KINDS = {_DIRECTORY: "directory", _FILE: "regular file"}


@dataclass(frozen=True)
class Wanted:
    """How one path should be; `gid` None: its group can do nothing with it."""

    path: str
    uid: int
    gid: int | None
    mode: int
    kind: int = _DIRECTORY


def find(context: Context) -> Iterator[Finding]:
    """state_dir itself, its parents, and what the gate keeps in it; what is not there yet is made by the next job."""
    state_dir = context.policy["state_dir"]
    if not os.path.lexists(state_dir):
        user = shlex.quote(context.runner_user)
        yield warn(f"{state_dir} is not there yet", f"install -d -o {user} -m 0755 {shlex.quote(state_dir)}")
        return
    if os.path.islink(state_dir):
        message = f"{state_dir} is a symbolic link to {os.path.realpath(state_dir)}: name that one"
        yield fail(message, f"{in_editor(context.gate_yaml.path)}  # state_dir: {os.path.realpath(state_dir)}")
        return
    faults = [weak(context, each) for each in weaknesses(state_dir, context.runner_uid) if each.place != state_dir]
    wanted = list(_wanted(context))
    faults += [fault for each in wanted for fault in (*compared(each, context), *_inherited(each))]
    faults += _others(context, state_dir)
    faults += _secret(context)
    yield from faults
    if not faults:
        yield ok(f"{state_dir} and what is in it has the right owners and modes")


def requests(context: Context) -> Iterator[Finding]:
    """Each request's directory, and the one for its votes."""
    jobs = layout.jobs(context.policy["state_dir"])
    keys = sorted(os.listdir(jobs)) if os.path.isdir(jobs) else []
    wrong = [fault for key in keys for fault in _request(context, os.path.join(jobs, key))]
    if not wrong:
        yield ok(f"{len(keys)} looked at: no one else can write there")
        return
    yield from wrong[:_SHOWN]
    if len(wrong) > _SHOWN:
        fix = " && ".join(dict.fromkeys(fault.fix for fault in wrong[_SHOWN:]))
        yield fail(f"{len(wrong) - _SHOWN} more directories of requests are like these", fix)


def drops(context: Context) -> Iterator[Finding]:
    """Each person's drop directory: theirs alone."""
    top = layout.drops(context.policy["state_dir"])
    people = {name: known["uid"] for name, known in context.policy["people"].items() if known["uid"] is not None}
    faults = [
        fault for person, uid in people.items() for fault in _drop(context, person, os.path.join(top, person), uid)
    ]
    yield from faults
    if not faults:
        yield ok(f"{len(people)} people can answer by drop")


def _drop(context: Context, person: str, path: str, uid: int) -> Iterator[Finding]:
    if context.runner_uid not in (0, uid):
        yield warn(f"{person} cannot answer by drop: a gate that is not root serves its own uid's only")
        return
    if _is_mount(path):  # before anything else: the file system that is mounted there may never answer
        yield fail(f"{path} is a mount, and does not count", f"umount {shlex.quote(path)}")
        return
    if os.path.isdir(os.path.dirname(path)) and not os.path.lexists(path):
        message = f"{path} is not there yet: {person} cannot answer by drop before the next job makes it"
        owner = shlex.quote(context.name_of(uid))
        yield warn(message, f"install -d -m 0700 -o {owner} {shlex.quote(path)}")
        return
    yield from compared(Wanted(path, uid, None, 0o700), context)


def _is_mount(path: str) -> bool:
    try:
        parent = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            stat_beneath(parent, os.path.basename(path))
        finally:
            os.close(parent)
    except OSError as error:
        return error.errno == errno.EXDEV
    return False


def compared(wanted: Wanted, context: Context) -> list[Finding]:
    """What is wrong with one path; nothing where it is not there. Laxer than wanted is a fault, stricter is odd."""
    try:
        found = os.lstat(wanted.path)
    except FileNotFoundError:
        return []
    if stat.S_IFMT(found.st_mode) != wanted.kind:
        message = f"{wanted.path} is no {_KINDS[wanted.kind]}: look who put it there, and move it away"
        return [fail(message, f"mv {shlex.quote(wanted.path)} {shlex.quote(f'{wanted.path}.odd')}")]
    mode, is_owned = stat.S_IMODE(found.st_mode), found.st_uid == wanted.uid and wanted.gid in (None, found.st_gid)
    fixes = commands(wanted.path, found, owners=_owner(wanted, context), is_owned=is_owned, mode=wanted.mode)
    if not fixes:
        return []
    of_other_group = wanted.gid is not None and found.st_gid != wanted.gid and mode & stat.S_IRWXG
    is_lax = found.st_uid != wanted.uid or of_other_group or mode & ~wanted.mode
    group = "" if wanted.gid is None else f":{found.st_gid}"
    message = (
        f"{wanted.path} is {context.name_of(found.st_uid)}{group} {mode:04o}, and has to be {_owner(wanted, context)} "
        f"{wanted.mode:04o}"
    )
    return [(fail if is_lax else warn)(message, " && ".join(fixes), place=wanted.path)]


_SHOWN = 5


def _owner(wanted: Wanted, context: Context) -> str:
    group = {context.policy["approvers_gid"]: context.policy["approvers_group"]}.get(wanted.gid, wanted.gid)
    return context.name_of(wanted.uid) + ("" if wanted.gid is None else f":{group}")


def _wanted(context: Context) -> Iterator[Wanted]:
    policy, uid = context.policy, context.runner_uid
    top, gid = policy["state_dir"], policy["approvers_gid"]
    for path, mode, group in layout.directories(policy):
        yield Wanted(path, uid, None if group == -1 else group, mode)
    if gid is None:
        yield Wanted(layout.signed_drops(top), uid, None, 0o700)
    for path in (os.path.join(top, "secret"), os.path.join(top, reserve.NAME), layout.audit_key(top)):
        yield Wanted(path, uid, None, 0o600, _FILE)
    if policy["page"]:
        yield Wanted(layout.page(top), policy["page"]["uid"], None, 0o700)
    yield from _log(layout.audit(top), uid, gid)


def _others(context: Context, state_dir: str) -> Iterator[Finding]:
    """The rest that is there, no one else may change; what a page that is gone has left does no harm."""
    known = {wanted.path for wanted in _wanted(context)} | {layout.page(state_dir)}
    for place in sorted(os.path.join(state_dir, name) for name in os.listdir(state_dir)):
        if place not in known:
            found = entry_weaknesses(place, os.lstat(place), context.runner_uid)
            yield from (weak(context, each) for each in found)


def _log(directory: str, uid: int, gid: int | None) -> Iterator[Wanted]:
    for name in (LOCK, copies.FILE):
        yield Wanted(os.path.join(directory, name), uid, None, 0o600, _FILE)
    numbers = segments.numbers(directory) if os.path.isdir(directory) else []
    for number in numbers:
        path = os.path.join(directory, segments.name(number))
        # A full one is made read-only, where `chattr +a` allows it.
        is_read_only = number != numbers[-1] and stat.S_IMODE(os.lstat(path).st_mode) == segments.READ_ONLY_MODE
        yield Wanted(path, uid, gid, segments.READ_ONLY_MODE if is_read_only else 0o640, _FILE)


def _inherited(wanted: Wanted) -> Iterator[Finding]:
    """A default ACL lets somebody else into what is made there from now on: acl(5)."""
    if wanted.kind != _DIRECTORY or not os.path.isdir(wanted.path):
        return
    try:
        os.getxattr(wanted.path, "system.posix_acl_default", follow_symlinks=False)
    except OSError as error:
        if error.errno not in (errno.ENODATA, errno.EOPNOTSUPP):
            raise
        return
    message = f"{wanted.path} has a default ACL, which lets others into what the gate makes there"
    yield fail(message, f"setfacl --remove-default {shlex.quote(wanted.path)}")


def _secret(context: Context) -> Iterator[Finding]:
    path = os.path.join(context.policy["state_dir"], "secret")
    if os.path.isfile(path) and os.path.getsize(path) != layout.SECRET_BYTES:
        message = (
            f"{path} does not hold {layout.SECRET_BYTES} bytes; the next job makes a new one, once it is moved away"
        )
        yield fail(message, f"mv {shlex.quote(path)} {shlex.quote(f'{path}.odd')}")


def _request(context: Context, path: str) -> Iterator[Finding]:
    policy, uid, gid = context.policy, context.runner_uid, context.policy["approvers_gid"]
    away = f"mv {shlex.quote(path)} {shlex.quote(os.path.join(policy['state_dir'], f'{os.path.basename(path)}.odd'))}"
    if not os.path.isdir(path):
        yield fail(f"{path} is no directory: look who put it there, and move it away", away)
        return
    try:
        load(policy["state_dir"], os.path.basename(path))
    except StateError as error:
        yield fail(f"{error}; `gate list` cannot show it", away)
    if os.path.exists(os.path.join(path, "ended.json")):
        # Of an earlier gate.yaml, maybe, with another group, or no page: all that matters is who can change it.
        wanted = Wanted(path, uid, None, 0o2750), Wanted(layout.votes(path), uid, None, 0o1770)
        yield from (fault for each in wanted for fault in compared(each, context) if fault.state == FAIL)
        return
    yield from compared(Wanted(path, uid, gid, 0o700 if gid is None else 0o2750), context)
    page_gid = policy["page"]["gid"] if policy["page"] and policy["page"]["uid"] != uid else None
    yield from compared(Wanted(layout.votes(path), uid, page_gid, 0o700 if page_gid is None else 0o1770), context)
