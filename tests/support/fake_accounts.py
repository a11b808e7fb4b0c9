"""A host with a few users and groups of its own, for tests of gate.yaml."""

import os
from dataclasses import dataclass, field

from config.accounts import User

APPROVERS_GID = 2000
PROXY_GID = 33


def _users() -> dict[str, User]:
    uids = {
        "root": 0,
        "alice": 1001,
        "bob": 1002,
        "alice2": 1001,
        "gitlab-runner": 997,
        "gitlab-job": 998,
        "carol": 1003,
        "deployer": 996,
        "gitlab-gate": 995,
    }
    return {name: User(name, uid, uid, f"/home/{name}") for name, uid in uids.items()}


@dataclass(frozen=True)
class FakeHost:
    """A `config.accounts.Host` out of a dict.

    Alice, bob and the page's gitlab-gate are in gate-approvers (gid 2000), nobody in www-data.
    """

    users: dict[str, User] = field(default_factory=_users)
    approvers: tuple[str, ...] = ("alice", "bob", "gitlab-gate")
    proxied: tuple[str, ...] = ()

    def user(self, name: str) -> User | None:
        return self.users.get(name)

    def user_of_uid(self, uid: int) -> User | None:
        return next((user for user in self.users.values() if user.uid == uid), None)

    def gid(self, group: str) -> int | None:
        return {"gate-approvers": APPROVERS_GID, "www-data": PROXY_GID}.get(group)

    def gids_of(self, user: User) -> frozenset[int]:
        in_approvers = [APPROVERS_GID] if user.name in self.approvers else []
        in_proxy = [PROXY_GID] if user.name in self.proxied else []
        return frozenset({user.gid, *in_approvers, *in_proxy})


def someone_else() -> int:
    """Return a uid that is neither root's nor the tests'."""
    return os.geteuid() + 12_345
