"""Who holds how many of a door's connections, so that one person's many do not keep out another's one. Pure.

Each connection is somebody's: of the uid or address that it came from until it is known whose request it carries, then
that person's. Who has one too many loses their own oldest, never somebody else's. Where the door as a whole has one too
many, which takes many people with many connections each, the oldest goes of the one who has the most.
"""

from __future__ import annotations

from typing import Generic, TypeVar

Member = TypeVar("Member")


class Crowd(Generic[Member]):
    """The members, and whose each is."""

    def __init__(self, each_max: int, total_max: int) -> None:
        """`each_max` for one owner, `total_max` for all of them."""
        self.each_max, self._total_max = each_max, total_max
        self._owners: dict[Member, str] = {}
        self._members: dict[str, dict[Member, None]] = {}  # oldest first

    def __len__(self) -> int:
        """How many there are."""
        return len(self._owners)

    def of(self, owner: str) -> int:
        """How many are one owner's."""
        return len(self._members.get(owner, ()))

    def enter(self, member: Member, owner: str) -> Member | None:
        """Note that `member` is `owner`'s from now on; returns the one that has to go for it, which is in no more."""
        if self._owners.get(member) == owner:
            return None
        self.leave(member)
        self._owners[member] = owner
        self._members.setdefault(owner, {})[member] = None
        if self.of(owner) > self.each_max:
            return self._oldest(owner)
        if len(self) > self._total_max:
            return self._oldest(max(self._members, key=self.of))
        return None

    def leave(self, member: Member) -> None:
        """Forget a member, if it is one."""
        owner = self._owners.pop(member, None)
        if owner is None:
            return
        del self._members[owner][member]
        if not self._members[owner]:
            del self._members[owner]

    def _oldest(self, owner: str) -> Member:
        found = next(iter(self._members[owner]))
        self.leave(found)
        return found
