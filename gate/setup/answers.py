"""What `gate init` has to know, and the people it is about."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from config.faults import quoted
from config.people import RESERVED
from config.schema import resolved, schema
from gate.errors import GateError

if TYPE_CHECKING:
    from config.accounts import User

APPROVERS_GROUP = "gate-approvers"
PAGE_USER = "gitlab-gate"
PAGE_SOCKET = "/run/gitlab-runner-gate/page.sock"
_HOW = "write Unix users of this host as alice,bob, with GitLab's numeric user id as alice=4711"
_ID = re.compile(r"[1-9][0-9]{0,17}")
_PERSON_MAX = 32


class AnswerError(GateError):
    """An answer that cannot be used; the message is one line for people."""


@dataclass(frozen=True)
class Approver:
    """Somebody who may approve: a Unix user of this host, and who they are in GitLab, where that is known."""

    unix: str
    gitlab_id: int | None = None

    @property
    def person(self) -> str:
        """Their name in gate.yaml: that of the Unix user, or where that does not fit there, what is nearest."""
        name = re.sub(r"[^a-z0-9_-]", "_", self.unix.lower())
        name = name if re.match(r"[a-z_]", name) and name != RESERVED else f"_{name}"
        return name[:_PERSON_MAX]


@dataclass(frozen=True)
class Answers:
    """All that is needed to set up one gate.

    Attributes:
        config: gate.yaml, as an absolute path.
        run_as: None is for trying out: jobs run as the gate's own user.
        runner: R, whom the runner, and so the gate, runs as.
    """

    config: str
    site: str
    approvers: tuple[Approver, ...]
    run_as: str | None
    state_dir: str
    page: bool
    runner: User

    @property
    def has_users(self) -> bool:
        """Whether there are users, and a group, of the gate's own: only root can make these, and switch to them."""
        return self.runner.uid == 0

    @property
    def page_socket(self) -> str:
        """Where people reach the page; packaging/systemd has the same path."""
        return PAGE_SOCKET if self.has_users else os.path.join(os.path.dirname(self.config), "page.sock")


def approvers_of(text: str) -> tuple[Approver, ...]:
    """Return the approvers in a list such as `alice,bob=4711`.

    Raises:
        AnswerError: it is no such list, or names somebody twice.
    """
    found = [_approver(part.strip()) for part in text.split(",") if part.strip()]
    if not found:
        raise AnswerError(f"no one to approve: {_HOW}")
    for one in ("unix", "person", "gitlab_id"):
        seen: set[Any] = set()
        for approver in found:
            mark = getattr(approver, one)
            if mark in seen:
                raise AnswerError(f"{quoted(mark)} is there twice among the approvers {quoted(text)}: {_HOW}")
            seen |= {mark} - {None}
    return tuple(found)


def fitting(key: str, text: str) -> str:
    """Return `text`, if it can be the value of this key of gate.yaml.

    Raises:
        AnswerError: it cannot.
    """
    part = resolved(schema()["properties"][key])
    if not re.fullmatch(part["pattern"], text):
        raise AnswerError(f"{quoted(text)} does not fit: {part['patternErrorMessage']}")
    return text


def unix_name(text: str) -> str:
    """Return `text`, if it can be the name of a Unix user.

    Raises:
        AnswerError: it cannot.
    """
    return fitting("approvers_group", text)  # groups and users have names of one form


def _approver(text: str) -> Approver:
    unix, equals, number = text.rpartition("=") if "=" in text else (text, "", "")
    if equals and not _ID.fullmatch(number):
        raise AnswerError(f"{quoted(number)} is no numeric GitLab user id, in {quoted(text)}: {_HOW}")
    return Approver(unix_name(unix), int(number) if equals else None)
