"""The approvers' group: there is one, everybody who answers is in it, and jobs are in no group that matters."""

import os
import shlex
import stat
from collections.abc import Iterator

from config.accounts import User
from config.host import walk
from config.run_as import leave
from executor.checks.context import Context
from executor.checks.editor import at, in_editor, owns
from executor.checks.finding import Finding, fail, ok, warn

# To be in one of these is to be root, by one command; sudo and wheel are not among them, since jobs gain no privileges.
ROOT_GROUPS = ("root", "docker", "lxd", "incus-admin", "libvirt", "disk", "shadow")


def approvers(context: Context) -> Iterator[Finding]:
    """People who are in the group see what waits, and what comes of their answers."""
    policy = context.policy
    group, gid = policy["approvers_group"], policy["approvers_gid"]
    if group is None or gid is None:
        yield warn(
            f"no approvers_group: nobody but {context.runner_user} sees what waits, or what came of an answer",
            in_editor(context.gate_yaml.path),
        )
        return
    users = [
        user for person in policy["people"].values() if person["unix"] and (user := context.host.user(person["unix"]))
    ]
    shut = [*_shut_out(context, group, gid), *_unusable(context, gid)] if users else []
    yield from shut
    outside = [user for user in users if gid not in context.host.gids_of(user)]
    for user in outside:
        fix = f"usermod --append --groups {shlex.quote(group)} {shlex.quote(user.name)}"
        yield warn(
            f"{user.name} is not in {group}: {user.name} sees neither what waits nor what came of an answer", fix
        )
    if not outside and not shut:
        yield ok(f"{len(users)} of {len(policy['people'])} people have a user here, and all of these are in {group}")


def _shut_out(context: Context, group: str, gid: int) -> Iterator[Finding]:
    """Yield what keeps people from gate.yaml, which their commands read, and from their drop directories."""
    for path in (context.gate_yaml.path, os.path.dirname(context.policy["state_dir"])):
        for place, found in _closed(path, gid):
            quoted = shlex.quote(place)
            is_directory = stat.S_ISDIR(found.st_mode)
            allow = f"chgrp {shlex.quote(group)} {quoted} && chmod 0640 {quoted}"
            fix = f"chmod o+x {quoted}" if is_directory else allow
            why = "people cannot get at it, so `gate approve` and drops do not work"
            if not owns(context, place):
                why += ": let people pass it, if that is right for this host, or move what the gate has there elsewhere"
            yield _warning(place, found, why, at(context, place, fix))


def _unusable(context: Context, gid: int) -> Iterator[Finding]:
    """Yield what keeps people and the page from the programs: they were installed with a umask such as 077."""
    venv = os.path.dirname(os.path.dirname(context.executor))
    for path in (os.path.join(venv, "bin", "python"), *context.code):
        for place, found in _closed(path, gid) if os.path.exists(path) else []:
            why = "people and the page cannot use the `gate` command from there"
            if not owns(context, place):
                why += (
                    ": install it where all can read, as in /opt/gitlab-runner-gate, with a Python that is not "
                    f"below {place}"
                )
            yield _warning(
                place, found, why, at(context, place, f"chmod -R go+rX {shlex.quote(_tree_of(place, venv))}")
            )
            return


def _tree_of(place: str, venv: str) -> str:
    """The venv where the place is in it, so that one command opens all of it."""
    return venv if f"{place}/".startswith(f"{venv}/") else place


def _closed(path: str, gid: int) -> Iterator[tuple[str, os.stat_result]]:
    """Yield each place on the way to `path` that neither others nor this group can pass, or read."""
    for place, found in walk(path):
        bit = stat.S_IXOTH if stat.S_ISDIR(found.st_mode) else stat.S_IROTH
        if not (found.st_mode & bit or (found.st_gid == gid and found.st_mode & bit << 3)):
            yield place, found


def _warning(place: str, found: os.stat_result, why: str, fix: str) -> Finding:
    return warn(f"{place} has mode {stat.S_IMODE(found.st_mode):04o}: {why}", fix)


def job_users(context: Context) -> list[User]:
    """Return whom jobs may run as, each once; the gate's own user where that is allowed."""
    policy = context.policy
    asked = [policy["backend"], *[rule["run_as"] for rule in policy["rules"] if rule["run_as"]]]
    found = {
        job["uid"]: User(job["run_as"] or context.runner_user, job["uid"], job["gid"], job["home"])
        for job in asked
        if job["uid"] is not None and job["gid"] is not None
    }
    return list(found.values())


def root_groups(context: Context) -> Iterator[Finding]:
    """Yield each group by which a job's user could become root."""
    for user in job_users(context):
        gids = context.host.gids_of(user) if user.uid != context.runner_uid else frozenset[int]()
        for group in ROOT_GROUPS:
            if context.host.gid(group) in gids:
                message = f"{user.name}, whom jobs run as, is in the group {group}, and so as good as root"
                yield fail(message, leave(user.name, group))
