"""What `gate init` makes on a host: each thing as one line of sysusers.d(5) or tmpfiles.d(5), and whether it is there.

systemd-sysusers(8) and systemd-tmpfiles(8) make them of these lines. packaging/ has the same lines for packages and
images; a test holds that. Neither program needs a systemd that runs.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from config.ownership import commands
from gate.errors import GateError

if TYPE_CHECKING:
    from config.accounts import Host

SYSUSERS = ("systemd-sysusers", "-")
TMPFILES = ("systemd-tmpfiles", "--create", "-")
_NEW_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,30}")  # what systemd-sysusers(8) takes


class MismatchError(GateError):
    """Something else is there; the message says what, and ends with the command that fixes it."""


class Thing(Protocol):
    """A user, a group, a membership or a directory."""

    @property
    def name(self) -> str:
        """What it is, for people."""

    @property
    def maker(self) -> tuple[str, ...]:
        """The command that makes it, to be run by root, or by R for its own directories."""

    @property
    def line(self) -> str | None:
        """What that command reads of it on stdin; None where the command says all."""

    def is_there(self, host: Host) -> bool:
        """Whether it is there, and right.

        Raises:
            MismatchError: there is something that it is not, or it could never be made.
        """


@dataclass(frozen=True)
class Group:
    """A group of the system's own."""

    group: str
    maker = SYSUSERS

    @property
    def name(self) -> str:
        """See Thing."""
        return f"group {self.group}"

    @property
    def line(self) -> str:
        """See Thing."""
        return f"g {self.group} -"

    def is_there(self, host: Host) -> bool:
        """See Thing."""
        return host.gid(self.group) is not None


@dataclass(frozen=True)
class SystemUser:
    """A user that no human logs in as. Its home is made apart: /etc/skel has things that break jobs (.bash_logout)."""

    user: str
    comment: str
    home: str
    maker = SYSUSERS

    @property
    def name(self) -> str:
        """See Thing."""
        return f"user {self.user}"

    @property
    def line(self) -> str:
        """See Thing; its group is the one of its name, made where there is none."""
        return f'u {self.user} - "{self.comment}" {self.home} /usr/sbin/nologin'

    def is_there(self, host: Host) -> bool:
        """See Thing."""
        if host.user(self.user):
            return True
        if not _NEW_NAME.fullmatch(self.user):
            raise MismatchError(
                f"no Unix user {self.user!a} on this host, and {SYSUSERS[0]} takes no such name: make it yourself, "
                "or name another"
            )
        return False


@dataclass(frozen=True)
class Member:
    """That a user is in a group.

    People join by gpasswd: systemd-sysusers(8) takes only names that it could make itself.
    """

    user: str
    group: str
    is_person: bool = True

    @property
    def name(self) -> str:
        """See Thing."""
        return f"{self.user} in group {self.group}"

    @property
    def maker(self) -> tuple[str, ...]:
        """See Thing."""
        return ("gpasswd", "--add", self.user, self.group) if self.is_person else SYSUSERS

    @property
    def line(self) -> str | None:
        """See Thing."""
        return None if self.is_person else f"m {self.user} {self.group}"

    def is_there(self, host: Host) -> bool:
        """See Thing."""
        known, gid = host.user(self.user), host.gid(self.group)
        return known is not None and gid in host.gids_of(known)


@dataclass(frozen=True)
class Directory:
    """A directory; `group` None: whichever, it has no rights of its own there. One that is there must be exactly so.

    Attributes:
        is_exact: False where it is enough that one that is there has the right owner.
    """

    path: str
    owner: str
    group: str | None
    mode: int
    is_exact: bool = True
    maker = TMPFILES

    @property
    def name(self) -> str:
        """See Thing."""
        return f"directory {self.path} ({self._owners} {self.mode:04o})"

    @property
    def line(self) -> str:
        """See Thing."""
        return f"d {_word(self.path)} {self.mode:04o} {_word(self.owner)} {_word(self.group or '-')}"

    def is_there(self, host: Host) -> bool:
        """See Thing."""
        try:
            found = os.lstat(self.path)
        except (FileNotFoundError, NotADirectoryError):  # the latter is about the parent
            return False
        except OSError as error:
            raise MismatchError(f"{self.path} cannot be looked at: {error.strerror}") from error
        path = shlex.quote(self.path)
        if not stat.S_ISDIR(found.st_mode):
            raise MismatchError(
                f"{self.path} is no directory: see what it is, then: mv {path} {shlex.quote(self.path + '.old')}"
            )
        if host.user(self.owner) is None or (self.group and host.gid(self.group) is None):
            return False  # judged once these are made
        fixes = self._fixes(found, host)
        if fixes:
            found_as = f"uid {found.st_uid}, gid {found.st_gid}, mode {stat.S_IMODE(found.st_mode):04o}"
            raise MismatchError(
                f"{self.path} is there as {found_as}, and has to be {self._owners} {self.mode:04o}: "
                f"{' && '.join(fixes)}"
            )
        return True

    @property
    def _owners(self) -> str:
        return f"{self.owner}:{self.group}" if self.group else self.owner

    def _fixes(self, found: os.stat_result, host: Host) -> list[str]:
        owner = host.user(self.owner)
        is_owned = owner is not None and found.st_uid == owner.uid
        if self.is_exact and self.group:
            is_owned = is_owned and found.st_gid == host.gid(self.group)
        if is_owned and not self.is_exact:
            return []
        return commands(self.path, found, owners=self._owners, is_owned=is_owned, mode=self.mode)


def shell(thing: Thing) -> str:
    """The line for sh(1) that makes this one thing."""
    maker = shlex.join(thing.maker)
    return f"printf '%s\\n' {shlex.quote(thing.line)} | {maker}" if thing.line else maker


def _word(text: str) -> str:
    """A field of tmpfiles.d(5): in quotes where it needs them; % begins what is replaced."""
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return text if re.fullmatch(r"[\w@%+=:,./-]+", text, re.ASCII) else f'"{text}"'
