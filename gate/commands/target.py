"""Which request a person means, and who that person is."""

from __future__ import annotations

import os
import pwd
from typing import TYPE_CHECKING

from config.accounts import SystemHost, is_older_login
from gate.commands.fault import CommandError, NoSuchJobError, NotAPersonError, NotWaitingError
from gate.flow.status import state_words, waits
from gate.model.words import listed, shown
from gate.store import layout
from gate.store.files import StateError
from gate.store.request import Request, keys, load

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from gate.commands.job import Job
    from gate.shapes import Policy

    T = TypeVar("T")


def reading(policy: Policy, read: Callable[[], T]) -> T:
    """What `read` returns, of requests on disk.

    Raises:
        CommandError: they cannot be read from here.
        NoSuchJobError: no job has ever come.
    """
    try:
        return read()
    except FileNotFoundError as error:
        raise NoSuchJobError(f"{error.filename} is not there: no job has come to this gate yet") from error
    except PermissionError as error:
        raise CommandError(f"requests cannot be read from here: {unseen(policy)}") from error


def me(policy: Policy) -> str:
    """The person whose Unix user runs this command.

    Raises:
        NotAPersonError: gate.yaml has no such person.
    """
    uid = os.getuid()
    for person, known in policy["people"].items():
        if known["uid"] == uid:
            return str(person)
    raise NotAPersonError(_nobody(uid))


def me_if_known(policy: Policy) -> str | None:
    """As `me`, for who only looks: None where gate.yaml has no such person."""
    try:
        return me(policy)
    except NotAPersonError:
        return None


def _nobody(uid: int) -> str:
    """Why this user answers for no person.

    Whom SUDO_USER names is said and never believed: it is a variable like any other.
    """
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = f"uid {uid}"
    by = os.environ.get("SUDO_USER", "")
    if by not in ("", name):
        return (
            f"{name} is nobody in gate.yaml, and an answer is a person's own: run it as yourself, without sudo (which "
            f"{shown(by)} has started)"
        )
    if uid == 0:
        return "root is nobody in gate.yaml, and an answer is a person's own: run it as yourself"
    return f"{name} is nobody in gate.yaml: ask the operator to add a person with `unix: {name}`"


def unseen(policy: Policy) -> str:
    """Why the caller may not read requests, in words."""
    group = policy["approvers_group"]
    if group is None:
        return "only the gate's own user can: no approvers_group"
    if is_older_login(policy["approvers_gid"], SystemHost()):
        return f"you were added to {group} after you logged in: log out and in"
    return f"members of {group} and the gate's own user can"


def requests(state_dir: str, job: Job) -> list[Request]:
    """The requests that `job` means.

    Raises:
        PermissionError: requests cannot be read from here.
    """
    found = [load(state_dir, key) for key in keys(state_dir) if job.is_key(key)]
    return [request for request in found if request is not None]


def waiting_requests(state_dir: str) -> tuple[list[Request], dict[str, StateError]]:
    """What waits for an answer, oldest first; and why others, by their keys, are unknown.

    Raises:
        OSError: requests cannot be read from here.
    """
    found: list[Request] = []
    faults: dict[str, StateError] = {}
    for key in keys(state_dir):
        try:
            request = load(state_dir, key)
            if request is not None and waits(request):
                found.append(request)
        except StateError as error:
            faults[key] = error
    return sorted(found, key=lambda request: request.opened["opened_boottime_ms"]), faults


def waiting_request(state_dir: str, job: Job) -> Request:
    """The one waiting request that `job` names.

    Raises:
        CommandError: there is none, or more than one.
        PermissionError: requests cannot be read from here.
    """
    try:
        found = requests(state_dir, job)
    except FileNotFoundError:  # no job has ever come
        found = []
    open_ones = [request for request in found if waits(request)]
    if len(open_ones) == 1:
        return open_ones[0]
    if open_ones:
        names = listed([request.key for request in open_ones])
        raise CommandError(f"more than one waiting job has the number {job.number}: name one as {names}")
    of = f" for {job.instance}" if job.instance else ""
    if not found:
        raise NoSuchJobError(f"no job {job.name} waits here{of}, see `gate list`")
    raise NotWaitingError(f"job {job.name} is not waiting: {state_words(found[-1])}")


def drop_directory(state_dir: str, person: str) -> str:
    """Where a person's drops go.

    Raises:
        CommandError: it is not there.
    """
    path = os.path.join(layout.drops(state_dir), person)
    if not os.path.isdir(path):
        raise CommandError(f"{path} is not there: the gate makes it when the first job comes, or the operator does")
    return path
