"""No test changes the machine: what runs advice as root does so where nothing of the machine can be written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import machine
from tests.support.host_namespace import PrivateHost
from tests.support.installed_host import WholeHost

if TYPE_CHECKING:
    from pathlib import Path

OPENS = (
    "chmod go+rwx / /usr /var /root /home /etc /opt; chown nobody / /root; touch /a-test-was-here /usr/a-test-was-here"
)


@pytest.mark.parametrize("kind", [WholeHost, PrivateHost])
def test_a_host_of_its_own_cannot_open_the_machine(kind: type[WholeHost | PrivateHost]) -> None:
    before = machine.look()
    with kind() as host:
        assert "Read-only file system" in host.run(["sh", "-c", OPENS]).stderr
        assert machine.changes(before, machine.look()) == []


def test_what_was_changed_is_named(tmp_path: Path) -> None:
    kept, opened, gone = (tmp_path / name for name in ("kept", "opened", "gone"))
    for each in (kept, opened, gone):
        each.mkdir(mode=0o700)
    paths = tuple(map(str, (kept, opened, gone)))
    before = machine.look(paths)
    opened.chmod(0o755)
    gone.rmdir()
    said = machine.changes(before, machine.look(paths))
    assert [line.partition(" was ")[0] for line in said] == [str(gone), str(opened)]
    assert said[1].endswith("0700, and is " + before[str(kept)].replace("0700", "0755"))
