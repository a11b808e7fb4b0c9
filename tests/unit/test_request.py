"""Requests on disk, and the records about them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from audit.record import RECORD_MAX_BYTES
from gate.flow.decide import record_decided
from gate.store import layout
from gate.store.files import StateError, write_json_once
from gate.store.request import (
    FIELD_MAX_RECORD_BYTES,
    Request,
    fit,
    is_open,
    keyed_hash,
    keys,
    load,
    meant_by,
    record_of,
)
from gate.votes.drop_file import COMMENT_MAX_CHARACTERS, comment_fault
from tests.support.gate_state import facts_of, made, mode_of, open_request, records
from tests.support.parts import part

if TYPE_CHECKING:
    from pathlib import Path

KEY = "git.example-42-1001"


@pytest.fixture
def policy(tmp_path: Path) -> Any:
    return made(tmp_path / "state")


def test_a_request_is_loaded_as_it_was_opened(policy: Any) -> None:
    opened = open_request(policy)

    found = load(policy["state_dir"], KEY)
    assert found is not None
    assert (found.key, found.facts, found.opened) == (KEY, opened.facts, opened.opened)
    assert (found.state_dir, found.of_this_boot, is_open(found)) == (policy["state_dir"], True, True)


def test_there_is_no_request_where_there_is_none(policy: Any) -> None:
    layout.make_job(policy, KEY)  # by config; prepare has not come yet

    assert load(policy["state_dir"], KEY) is None
    assert load(policy["state_dir"], "git.example-42-1") is None


@pytest.mark.parametrize("changes", [{"v": 2}, {"v": None}, {"key": "git.example-42-1002"}])
def test_a_request_of_another_version_or_key_is_refused(policy: Any, changes: Any) -> None:
    directory = layout.make_job(policy, KEY)
    write_json_once(directory, "request.json", {"v": 1, "key": KEY, "facts": facts_of()} | changes)

    with pytest.raises(StateError, match="not of this version of the gate"):
        load(policy["state_dir"], KEY)


def test_a_request_of_another_boot_is_told(policy: Any) -> None:
    assert not open_request(policy, boot_id="another").of_this_boot


@pytest.mark.parametrize("name", ["decision.json", "ended.json"])
def test_a_request_is_open_until_decided_or_ended(policy: Any, name: str) -> None:
    request = open_request(policy)
    write_json_once(request.directory, name, {})

    assert not is_open(request)
    assert request.has(name)
    found: Any = request.file
    assert found(name) == {}
    assert request.file("release.json") is None


def test_keys_and_job_numbers(policy: Any) -> None:
    wanted = ["a.example-1-7", "b-c.example_8443-1-7", "b.example-1-77", "b.example-7-1"]
    for key in wanted:
        open_request(policy, key)
    os.mkdir(os.path.join(layout.jobs(policy["state_dir"]), ".hidden"))

    assert keys(policy["state_dir"]) == wanted
    assert meant_by(policy["state_dir"], "7") == wanted[:2]
    assert meant_by(policy["state_dir"], "") == []


def test_a_record_is_appended_once_for_what_is_the_same(policy: Any) -> None:
    request, other = open_request(policy), open_request(policy, "git.example-42-1002")

    first = request.record("decided", why="a")
    assert request.record("decided", why="b") == first
    assert other.record("decided", why="a") != first
    assert request.record("ended", why="a") != first
    assert [record["request"] for record in records(policy, "decided")] == [KEY, other.key]


def test_records_of_an_earlier_job_of_that_key_do_not_stand_for_this_one(policy: Any) -> None:
    """A restored GitLab gives the same numbers again."""
    first = open_request(policy).record("ended", why="first")
    os.rename(layout.job(policy["state_dir"], KEY), layout.job(policy["state_dir"], "moved-1-1"))

    assert open_request(policy).record("ended", why="second") != first


def longest(text: str) -> Any:
    names = ("instance", "path", "name", "stage", "environment", "ref", "sha")
    by = {"names": [text, text], "ids": [2**53 - 1], "emails": [text]}
    numbers = dict.fromkeys(("project_id", "job_id", "pipeline_id"), 2**53 - 1)
    return facts_of(**dict.fromkeys(names, text), **numbers, triggered_by=by)


@pytest.mark.parametrize("character", ["x", '"', "\\", "\n", "\x7f", "ü", "👍"])
def test_the_longest_of_everything_fits_a_record(policy: Any, character: str) -> None:
    """Else an author's long names would keep an approver's answer out of the log, and so from being given."""
    opened = open_request(policy, f"{'h' * (255 - len('-42-1001'))}-42-1001", facts=longest(character * 10_000))
    request = Request(opened.directory, opened.opened)
    comment = character * COMMENT_MAX_CHARACTERS
    while comment_fault(comment):
        comment = comment[:-1]
    by = {"person": "p" * 32, "via": "command-line", "uid": 2**32 - 1}
    vote = f"{'p' * 32}.{2**64}-{2**63}.approve.json"
    decision = {"decision": "approved", "comment": comment, "why": character * 5000, "rule": "r" * 64}

    request.record("requested", rule="r" * 64, config="c" * 64, why=character * 5000)
    request.record("vote", "by", by=by | {"vote": vote}, decision="approve", comment=comment, early=True)
    record_decided(request, part(decision | {"config": "c" * 64, "by": by}))
    request.record("released", rule="r" * 64, same_user=True)
    dropped = {"name": "n" * 255, "inode": "9" * 20, "ctime_ns": "9" * 20}
    request.record("drop-turned-away", "by", "drop", by=by, drop=dropped, why=character * 5000)
    request.record("notice-failed", "notice", notice="reminder.999999", command=fit("c" * 4096), why=character * 5000)

    assert len(records(policy)) == 7
    with open(os.path.join(layout.audit(policy["state_dir"]), "audit.1.jsonl"), "rb") as lines:
        spare = RECORD_MAX_BYTES - max(len(line) for line in lines)
    assert spare >= 64  # of a host's name


def test_a_record_tells_the_job_by_an_allow_list() -> None:
    told = record_of(facts_of(overridden=["X"], timeout_s=7, token="canary"))

    assert sorted(told) == sorted(
        ["instance", "project_id", "path", "pipeline_id", "id", "name", "stage", "environment", "ref", "sha", "user"]
    )
    assert (told["id"], told["user"]) == (1001, "dev")


@pytest.mark.parametrize(
    ("text", "limit", "kept"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "abc…"),
        ('a"bc', 3, 'a"…'),
        ("aü", 6, "a…"),
        ("aü", 7, "aü"),
        ("👍👍", 12, "👍…"),
        ("", 0, ""),
        ("a", 0, "…"),
    ],
)
def test_fit(text: str, limit: int, kept: str) -> None:
    assert fit(text, limit) == kept
    assert fit("x" * FIELD_MAX_RECORD_BYTES) == "x" * FIELD_MAX_RECORD_BYTES


def test_keyed_hash_needs_the_secret(policy: Any, tmp_path: Path) -> None:
    other = made(tmp_path / "other")

    assert keyed_hash(policy["state_dir"], "token") == keyed_hash(policy["state_dir"], "token")
    assert keyed_hash(policy["state_dir"], "token") != keyed_hash(policy["state_dir"], "token2")
    assert keyed_hash(policy["state_dir"], "token") != keyed_hash(other["state_dir"], "token")
    assert "token" not in keyed_hash(policy["state_dir"], "token")


@pytest.mark.parametrize("umask", [0, 0o077])
def test_files_of_a_request_are_0640(policy: Any, umask: int) -> None:
    before = os.umask(umask)
    try:
        request = open_request(policy)
    finally:
        os.umask(before)

    assert mode_of(os.path.join(request.directory, "request.json")) == 0o640
