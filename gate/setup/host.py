"""This host as it will be once its users and groups are made: what gate.yaml is checked against before anything is."""

from __future__ import annotations

from dataclasses import dataclass, field

from config.accounts import Host, SystemHost, User

_NOT_YET = 0xFFFF_0000  # ids from here on stand for those that the system will choose; no real user has one


@dataclass(frozen=True)
class PlannedHost:
    """The host's own databases, with users, groups and (user, group) memberships on top, where they are missing."""

    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    members: tuple[tuple[str, str], ...] = ()
    host: Host = field(default_factory=SystemHost)

    def user(self, name: str) -> User | None:
        """See config.accounts.Host; a user to be made has a group of the same name."""
        known = self.host.user(name)
        if known or name not in self.users:
            return known
        number = _NOT_YET + self.users.index(name)
        gid = self.host.gid(name)
        return User(name, number, number if gid is None else gid, f"/home/{name}")

    def user_of_uid(self, uid: int) -> User | None:
        """See config.accounts.Host."""
        return self.host.user_of_uid(uid)

    def gid(self, group: str) -> int | None:
        """See config.accounts.Host."""
        known = self.host.gid(group)
        if known is not None or group not in self.groups:
            return known
        return _NOT_YET + len(self.users) + self.groups.index(group)

    def gids_of(self, user: User) -> frozenset[int]:
        """See config.accounts.Host."""
        own = self.host.gids_of(user) if self.host.user(user.name) else frozenset({user.gid})
        joined = [self.gid(group) for name, group in self.members if name == user.name]
        return own | {gid for gid in joined if gid is not None}
