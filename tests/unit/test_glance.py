"""A glance finds each name that could be an answer, and does not look again where nothing has come."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from executor import glance
from executor.glance import Glance
from gate.store import beneath
from tests.support.gate_state import next_tick

if TYPE_CHECKING:
    from pathlib import Path

PLACES = {
    "alice": ["alice/1.approve", "alice/1.reject", "alice"],
    "bob": ["bob/1.approve", "bob/1.reject", "bob"],
    "signed/alice": ["signed/k-1.alice.approve"],
}
CARRIED = ["k-1.alice.approve"]


@pytest.fixture
def now(tmp_path: Path) -> Any:
    for name in ("drop/alice", "drop/bob", "drop/signed", "votes"):
        (tmp_path / name).mkdir(parents=True)
    return {"root": str(tmp_path / "drop"), "votes": str(tmp_path / "votes"), "places": PLACES, "carried": CARRIED}


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if what changed last had changed long ago."""
    monkeypatch.setattr(glance, "SETTLED_NS", 0)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the file system is asked for."""
    paths: list[str] = []

    def identity(directory: int, path: str) -> tuple[int, ...]:
        paths.append(path)
        return true_identity(directory, path)

    true_identity = beneath.identity
    monkeypatch.setattr(beneath, "identity", identity)
    return paths


def names(found: dict[str, Any]) -> dict[str, list[str]]:
    return {source: sorted(name for name, _ in there) for source, there in found.items() if source != "page" and there}


@pytest.mark.parametrize("settle", [0, glance.SETTLED_NS])
@pytest.mark.parametrize(
    ("path", "source"),
    [("alice/1.approve", "alice"), ("bob/1.reject", "bob"), ("bob/k-1.alice.approve", "bob"),
     ("signed/k-1.alice.approve", "signed/alice")],
)  # fmt: skip
def test_each_name_is_found_whether_it_was_there_or_comes(
    now: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settle: int, path: str, source: str
) -> None:
    monkeypatch.setattr(glance, "SETTLED_NS", settle)
    looks, file = Glance(), os.path.join(now["root"], path)
    assert names(looks.found(now)) == {}
    next_tick(tmp_path)
    os.mknod(file)
    assert names(Glance().found(now)) == names(looks.found(now)) == {source: [path]}
    os.unlink(file)
    assert names(looks.found(now)) == {}
    next_tick(tmp_path)
    os.mknod(file)
    assert names(looks.found(now)) == {source: [path]}


def test_what_tells_its_content_changes_where_its_directory_does_not(now: Any, settled: None) -> None:
    looks, file = Glance(), os.path.join(now["root"], "alice/1.approve")
    os.mknod(file)
    before = looks.found(now)["alice"]
    with open(file, "w", encoding="ascii") as target:
        target.write("ok")
    assert looks.found(now)["alice"] != before


def test_what_nobody_looks_for_changes_nothing(now: Any) -> None:
    """Also in a directory where people bring what others have signed."""
    looks = Glance()
    before = looks.found(now)
    os.mknod(os.path.join(now["root"], "alice/2.approve"))
    assert looks.found(now) == before


def test_a_directory_that_nothing_has_come_to_is_not_looked_into(now: Any, settled: None, asked: list[str]) -> None:
    looks = Glance()
    looks.found(now)
    asked.clear()
    looks.found(now)
    assert asked == ["alice", "bob", "signed"]


def test_one_that_has_just_changed_is_looked_into_again(now: Any, asked: list[str]) -> None:
    """In one tick of the clock that stamps files, a name can come after the glance and leave the time as it was."""
    looks = Glance()
    looks.found(now)
    asked.clear()
    looks.found(now)
    assert len(asked) == 3 + 3 + 3 + 1


def test_a_step_of_an_older_version_names_no_carried_ones_and_its_directories_count(now: Any) -> None:
    del now["carried"]
    looks = Glance()
    before = looks.found(now)["alice"]
    os.mknod(os.path.join(now["root"], "alice/k-1.alice.approve"))
    assert looks.found(now)["alice"] != before


def test_votes_of_the_page_are_found_and_what_cannot_be_told_is(now: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mknod(os.path.join(now["votes"], "a.vote"))
    os.mknod(os.path.join(now["votes"], "a.json"))
    assert Glance().found(now)["page"] == {"a.vote"}

    def failing(_path: str) -> list[str]:
        raise OSError(24, os.strerror(24))

    monkeypatch.setattr(os, "listdir", failing)
    assert Glance().found(now)["page"] == {"/.vote"}
