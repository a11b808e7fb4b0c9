"""Whom jobs may run as, by `backend` and by rules: a user of their own, who is no person and cannot reach the gate."""

from __future__ import annotations

import shlex

from config.faults import quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from config.accounts import Accounts
    from config.document import Document, Path, Yaml
    from config.faults import Fault


def check(document: Document, value: Yaml, accounts: Accounts) -> Iterator[Fault]:
    """Yield the faults of meaning in `backend`, and in the `run_as` of the rules."""
    backend = value.get("backend")
    written = document.value["backend"] if backend is not None else {}
    # A misspelt answer is reported once, and not again as if it had been no.
    tolerant = backend is None or backend.get("allow_same_user", "allow_same_user" in written)
    if "run_as" not in written and not tolerant:
        yield document.fault(
            ("backend",),
            "'run_as' is missing: name the Unix user that jobs run as (or, to try things out, allow_same_user: true)",
        )
    for path, name in _named(value):
        if accounts.run_as[name] is None:
            yield _gone(document, path, name)
            continue
        for message, fix in _faults(name, value, accounts, tolerant=tolerant):
            yield document.fault(path, message, fix)


def _named(value: Yaml) -> Iterator[tuple[Path, str]]:
    owners: list[tuple[Path, Any]] = [(("backend",), value.get("backend"))]
    owners += [(("rules", i), rule) for i, rule in enumerate(value.get("rules", []))]
    for path, owner in owners:
        if owner and "run_as" in owner:
            yield (*path, "run_as"), owner["run_as"]


def _gone(document: Document, path: Path, run_as: str) -> Fault:
    """A user that is not there stops the jobs that would run as them, and for a rule's own user no others."""
    message = f"no Unix user {quoted(run_as)} on this host: create it, or name another"
    fix = f"useradd --system --shell /usr/sbin/nologin {shlex.quote(run_as)}"
    return document.fault(path, message, fix, aside=path[0] == "rules")


def _faults(run_as: str, value: Yaml, accounts: Accounts, *, tolerant: bool) -> Iterator[tuple[str, str]]:
    user, name = accounts.run_as[run_as], quoted(run_as)
    if user is None:
        return
    for message in _wrong_uid(name, user.uid, accounts.runner.uid, tolerant=tolerant):
        yield message, ""
    person = next((who for who, account in accounts.people.items() if account and account.uid == user.uid), None)
    if person and not tolerant:
        yield f"{name} is the person {person!r} too, so a job could approve as {person}: name another user", ""
    is_page = accounts.page is not None and accounts.page.uid == user.uid  # who has to be in the group: told there
    if accounts.approvers_gid in accounts.run_as_gids[run_as] and not is_page:
        group = quoted(value["approvers_group"])
        message = f"{name} is in the approvers' group {group}: take it out of the group, or name another user"
        yield message, "" if person or accounts.approvers_gid == user.gid else leave(run_as, value["approvers_group"])


def leave(user: str, group: str) -> str:
    """Return the command that takes a user out of a group that is not their primary one."""
    return f"gpasswd --delete {shlex.quote(user)} {shlex.quote(group)}"


def _wrong_uid(name: str, uid: int, runner: int, *, tolerant: bool) -> Iterator[str]:
    if uid == runner:
        if not tolerant:
            yield f"the gate itself runs as {name}, so a job could approve itself: name another user"
    elif uid == 0:
        yield f"jobs cannot run as {name}, which is root: name another user"
    elif runner != 0:
        yield (
            f"a runner that is not root (it is uid {runner}) cannot switch user to {name}: run it as root, or (to try "
            "things out) leave run_as out and write allow_same_user: true"
        )
