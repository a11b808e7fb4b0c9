"""What jobs find on this host and what they can leave there: docs/reference/host.md."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from executor.checks.editor import in_editor
from executor.checks.finding import Finding, ok, warn
from executor.checks.people import job_users
from executor.checks.system import dotted, version_of
from executor.shell import backend, work_tree
from gate.model import rules
from gate.store import layout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config.accounts import User
    from executor.checks.context import Context
    from gate.shapes import Backend

_NO_LOGIN = ("nologin", "false")
_TABLES = ("/var/spool/cron/crontabs", "/var/spool/cron")  # crontab(1), Debian's and others'
_AT_JOBS = ("/var/spool/cron/atjobs", "/var/spool/at")
_SETTINGS = (".ssh", ".netrc", ".aws", ".kube", ".config", ".docker", ".gnupg")
SOCKET_ROOM = 107 - 40  # unix(7), less what programs add to TMPDIR


def find(context: Context) -> Iterator[Finding]:
    """See the module."""
    policy = context.policy
    backends = [rules.backend_of(policy, rule) for rule in policy["rules"]] or [policy["backend"]]
    users = [user for user in job_users(context) if user.uid != context.runner_uid]
    faults = [fault for user in users for fault in _outlives(user, context)]
    for each in _distinct(backends):
        faults += [*_home(each, context), *_tools(each, context)]
    faults += _not_private(context)
    yield from faults
    if not faults:
        names = ", ".join(user.name for user in users) or context.runner_user
        yield ok(
            f"jobs of {names} find git and gitlab-runner, and files of their own; no login, cron or at keeps one alive"
        )


def _distinct(backends: list[Backend]) -> list[Backend]:
    seen = {(each["run_as"], each.get("named_home")): each for each in backends}
    return list(seen.values())


def _outlives(user: User, context: Context) -> Iterator[Finding]:
    """Yield each way by which a job could start what is not its own, past its end."""
    known, name = context.host.user(user.name), shlex.quote(user.name)
    if known and os.path.basename(known.shell) not in _NO_LOGIN:
        message = (
            f"{user.name}, whom jobs run as, can log in ({known.shell}): by `ssh localhost` a job starts "
            "what outlives it"
        )
        yield warn(message, f"usermod --shell /usr/sbin/nologin {name}")
    for keys in (os.path.join(user.home, ".ssh", each) for each in ("authorized_keys", "authorized_keys2")):
        if os.path.exists(keys):
            yield warn(f"{keys} lets somebody log in as {user.name}, whom jobs run as", f"rm {shlex.quote(keys)}")
    for table in (os.path.join(directory, user.name) for directory in _TABLES):
        if os.path.isfile(table):
            yield warn(
                f"{user.name}, whom jobs run as, has a crontab: it runs outside of any job", f"crontab -r -u {name}"
            )
    for job in _owned(_AT_JOBS, user.uid):
        yield warn(f"{job} is a job of {user.name}'s for at(1): it runs outside of any job", f"rm {shlex.quote(job)}")


def _owned(directories: tuple[str, ...], uid: int) -> list[str]:
    found = []
    for directory in filter(os.path.isdir, directories):
        with os.scandir(directory) as entries:
            found += [
                each.path for each in entries if each.is_file() and each.stat(follow_symlinks=False).st_uid == uid
            ]
    return sorted(found)


def _home(job: Backend, context: Context) -> Iterator[Finding]:
    home, named = job["home"], job.get("named_home")
    here = in_editor(context.gate_yaml.path)
    if not named and home != "/" and job["uid"] != context.runner_uid:
        kept = [name for name in _SETTINGS if os.path.exists(os.path.join(home, name))]
        if kept:
            message = (
                f"{home} holds {', '.join(kept)}, and jobs have a home of their own: with `home: {home}` they find "
                "it, read-only"
            )
            yield warn(message, here)
    if named and job["isolate"] != "pid_namespace":
        found = os.stat(named)
        if found.st_uid == job["uid"] or found.st_mode & 0o002:
            message = (
                f"{named} can be written by jobs, since isolate is {job['isolate']}: one can leave there what "
                "runs in the next"
            )
            yield warn(message, f"chown -R root: {shlex.quote(named)} && chmod -R go-w {shlex.quote(named)}")


def _tools(job: Backend, context: Context) -> Iterator[Finding]:
    path, here = backend.job_path(job), in_editor(context.gate_yaml.path)
    if not backend.found(job, "git"):
        yield warn(
            f"no git in {path}, where jobs look for it: they cannot check out: install it, or name its directory", here
        )
    program = backend.found(job, "gitlab-runner")
    if not program:
        message = (
            f"no gitlab-runner in {path}, where jobs look for it: they go without caches and artifacts, and do not "
            "fail by that"
        )
        yield warn(message, here)
        return
    own, runners = version_of(program, context.system), version_of(context.runner_program, context.system)
    if own and runners and own < runners:
        message = (
            f"{program}, which jobs find, is version {dotted(own)}, and the runner is {dotted(runners)}:"
            " artifacts and caches of jobs fail; make them one"
        )
        yield warn(message, here)


def _not_private(context: Context) -> Iterator[Finding]:
    policy = context.policy
    if policy["backend"]["isolate"] == "pid_namespace":
        return
    here = in_editor(context.gate_yaml.path)
    if not policy["backend"]["allow_same_user"]:
        message = (
            "isolate is process_group: jobs of one user see each other's files in /tmp, work/ and cache/, and "
            "can leave some"
        )
        yield warn(message, here)
    length = len(work_tree.short_tmp(layout.work(policy["state_dir"], "key")))
    if length > SOCKET_ROOM:
        message = (
            f"a job's TMPDIR is {length} bytes long, too long for the sockets of ssh-agent: name a shorter state_dir"
        )
        yield warn(message, here)
