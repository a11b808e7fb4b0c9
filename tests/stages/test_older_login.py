"""A login keeps the groups that it began with: who joined the approvers later learns that, and what to do."""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
import sys

import pytest

from config.accounts import User, is_older_login
from tests.support.fake_accounts import APPROVERS_GID, FakeHost
from tests.support.host_namespace import GATE
from tests.support.site import APPROVER, IS_ROOT, USERS, Site
from tests.support.stage import Stage

LATER = "log out and in"


@pytest.mark.parametrize(
    ("uid", "groups", "gid", "older"),
    [
        (1001, [1001], APPROVERS_GID, True),
        (1001, [1001, APPROVERS_GID], APPROVERS_GID, False),
        (1003, [1003], APPROVERS_GID, False),
        (4242, [4242], APPROVERS_GID, False),
        (1001, [1001], None, False),
    ],
)
def test_only_a_group_that_the_user_has_and_the_login_lacks(
    monkeypatch: pytest.MonkeyPatch, uid: int, groups: list[int], gid: int | None, older: bool
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: uid)
    monkeypatch.setattr(os, "getegid", lambda: uid)
    monkeypatch.setattr(os, "getgroups", lambda: groups)
    host = FakeHost(users={"alice": User("alice", 1001, 1001, "/"), "carol": User("carol", 1003, 1003, "/")})
    assert is_older_login(gid, host) == older


@pytest.mark.skipif(not IS_ROOT, reason="needs a second user: run the tests as root")
def test_it_is_said_wherever_something_cannot_be_seen() -> None:
    """The user's own group is the approvers' here, and the login is without it."""
    person = pwd.getpwnam(USERS[APPROVER])
    with Site(approvers_group=grp.getgrgid(person.pw_gid).gr_name) as site:
        stage = Stage(site)
        key = stage.waiting().key
        assert all(LATER in said(site, person.pw_uid, *words) for words in (["list"], ["show", key], ["approve", key]))
        os.chown(site.yaml, 0, person.pw_gid)
        site.yaml.chmod(0o640)
        assert LATER in said(site, person.pw_uid, "list")
        stage.close()


def said(site: Site, uid: int, *words: str) -> str:
    """What `gate` says to that user in a login with no group of theirs."""
    login = ["setpriv", "--reuid", str(uid), "--regid", "65534", "--clear-groups"]
    command = [*login, sys.executable, "-I", "-c", GATE, "--config", str(site.yaml), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd="/")
    return done.stdout + done.stderr
