"""The Unix users and groups that gate.yaml names, as this host knows them."""

from __future__ import annotations

import grp
import os
import pwd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NamedTuple, Protocol

    class User(NamedTuple):
        """One entry of the user database."""

        name: str
        uid: int
        gid: int
        home: str
        shell: str = "/usr/sbin/nologin"

    class Host(Protocol):
        """Where names are looked up; tests bring their own."""

        def user(self, name: str) -> User | None:
            """Return the user called `name`, None where there is none."""

        def user_of_uid(self, uid: int) -> User | None:
            """Return the user with this uid, None where there is none."""

        def gid(self, group: str) -> int | None:
            """Return the id of the group called `group`, None where there is none."""

        def gids_of(self, user: User) -> frozenset[int]:
            """Return the ids of all groups that `user` is in, the primary one too."""

    class Accounts(NamedTuple):
        """What the host says of the names in one gate.yaml; None for a name that is absent or unknown.

        `people` goes by the person's name, `run_as` and `run_as_gids` by the Unix user's.
        """

        runner: User
        runner_gids: frozenset[int]
        people: dict[str, User | None]
        run_as: dict[str, User | None]
        run_as_gids: dict[str, frozenset[int]]
        approvers_gid: int | None
        page: User | None
        page_gids: frozenset[int]
        proxy_gid: int | None

else:
    from collections import namedtuple

    Host = object  # a protocol is for the type checker, and typing costs a stage 4 ms
    User = namedtuple("User", "name uid gid home shell", defaults=["/usr/sbin/nologin"])  # noqa: PYI024
    Accounts = namedtuple(  # noqa: PYI024
        "Accounts", "runner runner_gids people run_as run_as_gids approvers_gid page page_gids proxy_gid"
    )


class SystemHost:
    """The host's own databases, through NSS."""

    def user(self, name: str) -> User | None:
        """See getpwnam(3)."""
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            return None
        return User(entry.pw_name, entry.pw_uid, entry.pw_gid, entry.pw_dir, entry.pw_shell)

    def user_of_uid(self, uid: int) -> User | None:
        """See getpwuid(3)."""
        try:
            entry = pwd.getpwuid(uid)
        except (KeyError, OverflowError):
            return None
        return User(entry.pw_name, entry.pw_uid, entry.pw_gid, entry.pw_dir, entry.pw_shell)

    def gid(self, group: str) -> int | None:
        """See getgrnam(3)."""
        try:
            return grp.getgrnam(group).gr_gid
        except KeyError:
            return None

    def gids_of(self, user: User) -> frozenset[int]:
        """See getgrouplist(3)."""
        return frozenset(os.getgrouplist(user.name, user.gid))


def is_older_login(gid: int | None, host: Host) -> bool:
    """Return whether the caller's user is in the group `gid` by now, and this login, which is older, is not."""
    user = host.user_of_uid(os.getuid())
    if gid is None or user is None or gid in {os.getegid(), *os.getgroups()}:
        return False
    return gid in host.gids_of(user)


def look_up(value: dict[str, Any], host: Host, runner_uid: int) -> Accounts:
    """Return the accounts behind the names in `value`, in which anything may be missing; `runner_uid` is R."""
    owners = [value.get("backend", {}), *value.get("rules", [])]
    run_as = {owner["run_as"]: _user(host, owner["run_as"]) for owner in owners if owner and "run_as" in owner}
    approvers, page = value.get("approvers_group"), value.get("page") or {}
    page_user = _user(host, page.get("user"))
    known = host.user_of_uid(runner_uid)
    return Accounts(
        runner=known or User(str(runner_uid), runner_uid, os.getegid(), "/"),
        runner_gids=host.gids_of(known) if known else frozenset({os.getegid()}),
        people={name: _user(host, person.get("unix")) for name, person in value.get("people", {}).items()},
        run_as=run_as,
        run_as_gids={name: host.gids_of(user) for name, user in run_as.items() if user},
        approvers_gid=host.gid(approvers) if approvers else None,
        page=page_user,
        page_gids=host.gids_of(page_user) if page_user else frozenset(),
        proxy_gid=host.gid(page["proxy_group"]) if page.get("proxy_group") else None,
    )


def _user(host: Host, name: str | None) -> User | None:
    return host.user(name) if name else None
