"""docs/how-to/uninstall.md, its blocks run as they stand: nothing of the gate is left, and nothing else is gone."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.support.empty_host import BareHost
from tests.support.set_up import TOLD
from tests.support.site import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LOOKED_AT = ("/etc", "/opt", "/home", "/run", "/usr/local/bin", "/var/lib")


@pytest.fixture
def host() -> Iterator[BareHost]:
    with BareHost([]) as host:
        stand_in = host.at("/usr/local/bin/systemctl")
        stand_in.write_text("#!/bin/sh\n", encoding="utf-8")
        stand_in.chmod(0o755)
        host.sh(
            "mkdir -p /etc/systemd/system/gitlab-runner.service.d /etc/sysctl.d /etc/sysusers.d /etc/tmpfiles.d",
            check=True,
        )
        yield host


def names(host: BareHost) -> set[str]:
    return {place for top in LOOKED_AT for place in host.tree(top)}


def users(host: BareHost) -> set[str]:
    lines = f"{host.text('/etc/passwd')}{host.text('/etc/group')}".splitlines()
    return {line.split(":")[0] for line in lines}


def set_up(host: BareHost) -> None:
    """As README, page.md, install-by-hand.md and `gate check` have it."""
    assert host.gate(*TOLD).returncode == 0
    for kind in ("systemd", "sysctl.d", "sysusers.d", "tmpfiles.d"):
        where = host.at("/etc/systemd/system" if kind == "systemd" else f"/etc/{kind}")
        shutil.copytree(CHECKOUT / "packaging" / kind, where, dirs_exist_ok=True)
    host.at("/etc/systemd/system/gitlab-runner.service.d/zz-gate-stop.conf").write_text("[Service]\n", encoding="utf-8")
    host.sh(
        "mkdir -p /opt/gitlab-runner-gate/bin && ln -s /opt/gitlab-runner-gate/bin/gate /usr/local/bin/gate", check=True
    )


def test_nothing_is_left_and_nothing_else_is_gone(host: BareHost) -> None:
    before, known = names(host), users(host)
    set_up(host)
    assert names(host) > before
    for block in _BLOCK.findall((CHECKOUT / "docs" / "how-to" / "uninstall.md").read_text(encoding="utf-8")):
        host.sh(block, check=True)
    kept_by_tools = re.compile(r"/etc/(passwd|group|shadow|gshadow|subuid|subgid)-|/etc/\.pwd\.lock")
    assert {each for each in names(host) ^ before if not kept_by_tools.fullmatch(each)} == set()
    assert users(host) == known
