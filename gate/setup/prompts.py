"""Answers for `gate init`: from its options, or asked for in a terminal.

Where there is none, what is missing is reported.
"""

from __future__ import annotations

import os
import shlex
import socket
import sys
from typing import TYPE_CHECKING

import click

from config.accounts import SystemHost, User
from gate.setup.answers import AnswerError, approvers_of, fitting, unix_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from gate.setup.answers import Approver

    T = TypeVar("T")

DEFAULT_RUN_AS = "gitlab-job"


def site(given: str | None) -> str:
    """What this gate is called.

    Raises:
        AnswerError: the answer does not fit, or there is none.
    """
    return _asked("--site", given, "What this gate is called", _host_name(), lambda text: fitting("site", text))


def approvers(given: str | None) -> tuple[Approver, ...]:
    """Who may approve; raises AnswerError."""
    question = "Who may approve: Unix users, as alice,bob; with GitLab's user id, as alice=4711"
    return _asked("--approvers", given, question, None, _known_approvers)


def run_as(given: str | None) -> str:
    """Whom jobs run as; raises AnswerError."""
    return _asked("--run-as", given, "Which user jobs run as", DEFAULT_RUN_AS, unix_name)


def page(given: bool | None) -> bool:
    """Whether there is a page."""
    if given is None and sys.stdin.isatty():
        return click.confirm("A page to answer on, beside the command line", default=True, err=True)
    return given is None or given


def runner(*, allow_same_user: bool, dry_run: bool) -> User:
    """Whom the gate is to run as: root, or, for trying out, the user who asks.

    Raises:
        AnswerError: this is not root, and not for trying out.
    """
    uid = os.geteuid() if allow_same_user else 0
    if uid != os.geteuid() and not dry_run:
        raise AnswerError(
            "users and directories are made as root: sudo gate init. What it would do: --dry-run. To try the gate out "
            "without root: --allow-same-user, with --config in a directory of your own"
        )
    found = SystemHost().user_of_uid(uid)
    if found is None:
        raise AnswerError(f"uid {uid} has no name on this host, and gate.yaml needs one: use another user")
    return found


def _asked(option: str, given: str | None, question: str, default: str | None, meaning: Callable[[str], T]) -> T:
    """The meaning of what is given, or asked, or by default."""
    if given is None and sys.stdin.isatty():
        answer: T = click.prompt(question, default=default, value_proc=lambda text: _or_again(meaning, text), err=True)
        return answer
    if given is None and default is None:
        raise AnswerError(f"{option} is missing. {question}")
    try:
        return meaning(default or "" if given is None else given)
    except AnswerError as error:
        raise AnswerError(f"{option}: {error}") from error


def _or_again(meaning: Callable[[str], T], text: str) -> T:
    try:
        return meaning(text.strip())
    except AnswerError as error:
        raise click.UsageError(str(error)) from error


def _known_approvers(text: str) -> tuple[Approver, ...]:
    found = approvers_of(text)
    missing = [each.unix for each in found if SystemHost().user(each.unix) is None]
    if missing:
        commands = "; ".join(shlex.join(["useradd", "--create-home", name]) for name in missing)
        raise AnswerError(f"no Unix user {', '.join(map(ascii, missing))} on this host: {commands}")
    return found


def _host_name() -> str | None:
    for name in (socket.getfqdn(), os.uname().nodename):
        try:
            if not name.startswith("localhost"):
                return fitting("site", name)
        except AnswerError:
            continue
    return None
