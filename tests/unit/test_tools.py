"""A test that needs a program which is not there is skipped, with what to install, and does not fail."""

from __future__ import annotations

import pytest

from tests.support.tools import need, need_for


def test_what_is_missing_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(pytest.skip.Exception, match="NO SETFACL on PATH: apt install acl"):
        need_for("chmod 0750 /opt && setfacl -m u:gitlab-job:rw /x")
    with pytest.raises(pytest.skip.Exception, match="NO CHATTR on PATH: apt install e2fsprogs"):
        need_for("chattr +i /x")
    with pytest.raises(pytest.skip.Exception, match="NO NGINX on PATH: apt install nginx"):
        need("nginx")


def test_what_no_line_has_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    need_for("chmod 0750 /opt; chown alice /opt/setfacl.md")
