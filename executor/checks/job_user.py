"""Whether jobs are kept out: a child of ours takes on the ids and groups that a job gets, and tries what no job may.

Nothing is changed by it: files are opened to append and not written to, and what is made in a directory has no name.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from audit import segments
from executor.checks.editor import in_editor, owns
from executor.checks.finding import Finding, fail, ok, warn
from executor.checks.people import job_users, root_groups
from executor.runner_config import STAGES
from gate.model.words import listed
from gate.store import layout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from config.accounts import User
    from executor.checks.context import Context
    from gate.shapes import PageSettings

READ, WRITE, CONNECT, SIGNAL = "read", "write", "connect to", "signal"
_BITS = {READ: 4, WRITE: 2, CONNECT: 2}
_ANSWERS_WITHIN_S = 5
# Access to one of these is enough to start anything as root.
_ENGINES = (
    "/run/docker.sock",
    "/run/podman/podman.sock",
    "/run/containerd/containerd.sock",
    "/var/snap/lxd/common/lxd/unix.socket",
    "/run/incus/unix.socket",
)
_LINGER = "/var/lib/systemd/linger"  # loginctl(1), enable-linger


@dataclass(frozen=True)
class Attempt:
    """One thing that a job must not be able to do."""

    verb: str
    place: str


def find(context: Context) -> Iterator[Finding]:
    """See the module."""
    faults = list(root_groups(context))
    if context.policy["backend"]["allow_same_user"]:
        message = "allow_same_user is on: a job can approve itself and rewrite the audit log; for trying out only"
        faults.append(warn(message, in_editor(context.gate_yaml.path)))
    attempts = list(dict.fromkeys(_attempts(context)))
    done_at: dict[str, dict[User, list[Attempt]]] = {}
    users = [user for user in job_users(context) if context.own_uid == 0 and user.uid != context.runner_uid]
    for user in users:
        gids = context.host.gids_of(user)
        for done in succeeded(user, gids, attempts):
            done_at.setdefault(done.place, {}).setdefault(user, []).append(done)
    faults += [finding for place, found in done_at.items() for finding in _done(place, found, context)]
    faults += [_lingers(user.name) for user in users if os.path.exists(os.path.join(_LINGER, user.name))]
    yield from faults
    if not faults:
        names = ", ".join(user.name for user in users)
        yield ok(f"tried as {names}: cannot read secrets, write state or programs, reach the page, or signal the gate")


def _done(place: str, found: dict[User, list[Attempt]], context: Context) -> Iterator[Finding]:
    """Yield one finding for one place; users that can do different things there have one each."""
    alike: dict[tuple[str, ...], list[User]] = {}
    for user, done in found.items():
        alike.setdefault(tuple(each.verb for each in done), []).append(user)
    for verbs, users in alike.items():
        names, what = listed([user.name for user in users], "and"), listed(list(verbs), "and")
        done = found[users[0]]
        fixes = [_mend(each, user, context.host.gids_of(user), context) for user in users for each in done]
        message = f"{names}, whom jobs run as, can {what} {place}{_choices(done[0], context)}"
        yield fail(message, " && ".join(dict.fromkeys(filter(None, fixes))), place=place)


def _lingers(user: str) -> Finding:
    message = (
        f"{user}, whom jobs run as, has a systemd of its own (linger): by that a job can start what outlives its stage"
    )
    return warn(message, f"loginctl disable-linger {shlex.quote(user)}")


def succeeded(user: User, gids: frozenset[int], attempts: list[Attempt]) -> list[Attempt]:
    """Return those of `attempts` that succeed for a process with this user's ids and groups; only root can ask.

    Raises:
        OSError: it could not be tried.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.setgroups(sorted(gids))
            os.setresgid(user.gid, user.gid, user.gid)
            os.setresuid(user.uid, user.uid, user.uid)
            done = [n for n, each in enumerate(attempts) if _succeeds(each)]
            os.write(writer, json.dumps(done).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as told:
        said = told.read()
    os.waitpid(child, 0)
    if not said:
        raise OSError(None, f"nothing can be tried as {user.name}")
    return [attempts[n] for n in json.loads(said)]


def _attempts(context: Context) -> Iterator[Attempt]:
    policy, top = context.policy, context.policy["state_dir"]
    directories = [layout.jobs(top), layout.audit(top), layout.turned_away(top), layout.compiled(top), layout.page(top)]
    people = [os.path.join(layout.drops(top), person) for person in policy["people"]]
    secrets = [os.path.join(top, "secret"), layout.audit_key(top), context.runner_config.path]
    log = [os.path.join(layout.audit(top), segments.name(n)) for n in _numbers(layout.audit(top))]
    programs = [runner.program(stage) for runner in context.runners for stage in STAGES]
    own = [context.gate_yaml.path, context.executor, *context.code, *policy["on_event"][:1], *programs]
    for place in filter(os.path.lexists, [*secrets, *directories, *people, *log]):
        yield Attempt(READ, place)
    shared = [top, layout.signed_drops(top), *[os.path.join(top, name) for name in os.listdir(top)]]
    for place in filter(os.path.lexists, [*secrets, *directories, *people, *log, *shared, *own]):
        yield Attempt(WRITE, place)
        parent = os.path.dirname(os.path.abspath(place))
        if not _is_sticky(parent):
            yield Attempt(WRITE, parent)
    for door in (*_doors(policy["page"]), *filter(os.path.exists, _ENGINES)):
        yield Attempt(CONNECT, door)
    yield Attempt(SIGNAL, f"process {os.getpid()}")


def _is_sticky(directory: str) -> bool:
    """Whether it is one such as /tmp, in which no one can exchange what is another's."""
    found = os.stat(directory)
    return bool(found.st_mode & stat.S_ISVTX) and found.st_uid == 0


def _numbers(directory: str) -> list[int]:
    return segments.numbers(directory) if os.path.isdir(directory) else []


def _doors(page: PageSettings | None) -> list[str]:
    if page is None:
        return []
    sockets = [
        path for path in (page["socket"], page["link_socket"], page["proxy_socket"]) if path and os.path.exists(path)
    ]
    return sockets + ([f"{page['listen'][0]} port {page['listen'][1]}"] if page["listen"] else [])


def _succeeds(attempt: Attempt) -> bool:
    try:
        return _TRIES[attempt.verb](attempt.place)
    except OSError:
        return False


def _reads(place: str) -> bool:
    os.close(os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY))
    return True


def _writes(place: str) -> bool:
    if os.path.isdir(place):
        os.close(os.open(place, os.O_TMPFILE | os.O_WRONLY, 0o600))
    else:
        os.close(os.open(place, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY))
    return True


def _connects(door: str) -> bool:
    if os.path.isabs(door):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(door)
        return True
    host, _, port = door.partition(" port ")
    # Anybody can connect to a port; the page hangs up on a job's user, without a word.
    with socket.create_connection((host, int(port)), _ANSWERS_WITHIN_S) as probe:
        probe.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        return bool(probe.recv(1))


def _signals(process: str) -> bool:
    os.kill(int(process.rpartition(" ")[2]), 0)
    return True


_TRIES: dict[str, Callable[[str], bool]] = {READ: _reads, WRITE: _writes, CONNECT: _connects, SIGNAL: _signals}


def _choices(done: Attempt, context: Context) -> str:
    """Return what to do about a place that is not the gate's own, for which no command is printed."""
    if not os.path.isabs(done.place) or owns(context, done.place):
        return ""
    if done.verb == CONNECT:
        return ", by which it is root: take that right away from it there, or name another run_as"
    return ": take that right away from it there, or move what the gate has below it elsewhere"


def _mend(done: Attempt, user: User, gids: frozenset[int], context: Context) -> str:
    """Return the command that takes away what let the user in: ownership, the group's or others' bits, or an ACL."""
    if not os.path.isabs(done.place) or not owns(context, done.place):
        return ""
    place, found, bit = shlex.quote(done.place), os.stat(done.place), _BITS[done.verb]
    if found.st_uid == user.uid:
        return f"chown {shlex.quote(context.runner_user)} {place}"
    letter = "r" if done.verb == READ else "w"
    if found.st_gid in gids and found.st_mode & bit << 3:
        return f"chmod g-{letter} {place}"
    return f"chmod o-{letter} {place}" if found.st_mode & bit else f"setfacl --remove-all {place}"
