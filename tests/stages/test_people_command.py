"""`gate people`: gate.yaml with one person more or less, written whole or not at all."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from config.load import load_policy
from gate.store import layout
from tests.support.gate_state import mode_of
from tests.support.host_namespace import GATE
from tests.support.site import APPROVER, IS_ROOT, USERS, Site

if TYPE_CHECKING:
    from collections.abc import Iterator

NEW = "lp"  # a user of each system, and nobody in this gate.yaml


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as made:
        layout.make(load_policy(str(made.yaml))[0])
        yield made


def people(site: Site) -> list[str]:
    return list(load_policy(str(site.yaml))[0]["people"])


def add(site: Site, *words: str) -> str:
    done = site.gate_here("people", "add", *words)
    assert done.exit_code == 0, done.exception
    return done.output


def test_a_new_approver_can_answer_at_once(site: Site) -> None:
    said = add(site, "dave", "--unix", NEW, "--group", "release-managers")
    assert ("+  dave: {unix: lp}" in said, "dave: asked by rule all" in said) == (True, True)
    drops = site.state / "drop" / "dave"
    assert drops.exists() == IS_ROOT
    assert mode_of(drops) == 0o700 if IS_ROOT else "cannot answer by drop" in said


def test_owner_mode_and_comments_stay(site: Site) -> None:
    site.write(f"# ours\n{site.yaml.read_text()}")
    site.yaml.chmod(0o640)
    if IS_ROOT:
        os.chown(site.yaml, 0, 20)
    before = site.yaml.stat()
    add(site, "dave", "--unix", NEW)
    after = site.yaml.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert site.yaml.read_text().startswith("# ours\n")
    assert sorted(os.listdir(site.base)) == [".gate.yaml.lock", "gate.yaml", "state"]


def test_a_dry_run_changes_nothing(site: Site) -> None:
    before = site.yaml.stat()
    assert "+  dave: {unix: lp}" in add(site, "dave", "--unix", NEW, "--dry-run")
    assert (site.yaml.stat(), os.listdir(site.state / "drop").count("dave")) == (before, 0)


def test_two_at_once_both_stay(site: Site) -> None:
    names = [f"p{number}" for number in range(6)]
    command = [sys.executable, "-I", "-c", GATE, "--config", str(site.yaml), "people", "add"]
    started = [
        subprocess.Popen([*command, name, "--ssh-key", key_of(number)], stdout=subprocess.DEVNULL)
        for number, name in enumerate(names)
    ]
    assert [each.wait(120) for each in started] == [0] * len(names)
    assert set(names) <= set(people(site))


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["dave", "--unix", "no-such-user"], "no Unix user 'no-such-user' on this host"),
        (["dave"], "no Unix user 'dave' on this host"),
        (["dave", "--unix", NEW, "--group", "nobodies"], "no group 'nobodies'"),
        ([APPROVER, "--unix", NEW], f"{APPROVER} is in gate.yaml already"),
        (["Dave", "--unix", NEW], "the name 'Dave' does not fit"),
        (["dave", "--unix", USERS[APPROVER]], f"is {APPROVER}'s already"),
        (["dave", "--ssh-key", "ssh-ed25519 nonsense"], "ssh_keys"),
    ],
)
def test_what_would_not_be_right_is_not_written(site: Site, words: list[str], why: str) -> None:
    before = site.yaml.read_bytes()
    done = site.gate_here("people", "add", *words)
    assert (done.exit_code, site.yaml.read_bytes()) == (1, before)
    assert why in str(done.exception) or why == "ssh_keys"


def test_who_goes_is_gone_from_groups_and_rules(site: Site) -> None:
    add(site, "dave", "--unix", NEW, "--group", "release-managers")
    done = site.gate_here("people", "remove", "dave")
    assert (done.exit_code, "also from group release-managers" in done.output) == (0, True)
    assert "dave" not in site.yaml.read_text()


def test_nobody_goes_whom_a_rule_cannot_do_without(site: Site) -> None:
    site.config["groups"] = {"release-managers": [APPROVER]}
    site.write()
    done = site.gate_here("people", "remove", APPROVER)
    assert (done.exit_code, APPROVER in people(site)) == (1, True)
    assert "would not be right any more" in str(done.exception)


def test_a_link_is_not_followed_or_replaced(site: Site) -> None:
    link = site.base / "link.yaml"
    link.symlink_to("gate.yaml")
    site.yaml, real = link, site.yaml
    done = site.gate_here("people", "add", "dave", "--unix", NEW)
    assert ("symbolic link" in str(done.exception), link.is_symlink(), "dave" in real.read_text()) == (
        True,
        True,
        False,
    )


@pytest.mark.skipif(not IS_ROOT, reason="needs a second user: run the tests as root")
def test_only_its_operator_can_change_it(site: Site) -> None:
    done = site.gate(APPROVER, "people", "add", "dave", "--unix", NEW)
    assert (done.returncode, "try sudo; nothing was changed" in done.stderr) == (1, True)


def test_an_edit_that_comes_in_between_is_not_lost(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def typed(_descriptor: int) -> None:
        site.yaml.write_text(f"# typed just now\n{site.yaml.read_text()}")

    monkeypatch.setattr(os, "fsync", typed)
    done = site.gate_here("people", "add", "dave", "--unix", NEW)
    assert "was changed by somebody else meanwhile" in str(done.exception)
    assert (site.yaml.read_text()[:7], "dave" in site.yaml.read_text()) == ("# typed", False)
    assert stat.S_IMODE(site.yaml.stat().st_mode) == 0o644


def test_the_list_says_who_is_asked_by_what(site: Site) -> None:
    rows = json.loads(site.gate_here("people", "list", "--json").output)
    first = rows[0]
    assert (first["person"], first["groups"], first["rules"]) == (APPROVER, ["release-managers"], ["all"])


def key_of(number: int) -> str:
    """A different public key for each number."""
    import base64

    blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes([number]) * 32
    return f"ssh-ed25519 {base64.b64encode(blob).decode()}"
