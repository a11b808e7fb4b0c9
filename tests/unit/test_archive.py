"""What a request that has ended leaves behind: its directory goes, its name stays, and whatever is odd stays whole."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gate.flow.decide import decide, end, record_decided
from gate.store import layout
from gate.store.files import StateError, write_json_once
from gate.upkeep import archive, prune
from tests.support.gate_state import (
    DAY_S,
    IS_ROOT,
    end_before_call,
    fork,
    in_children,
    made,
    open_request,
    records,
    rule_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from gate.store.request import Request

KEY, OTHER = "git.example-42-1001", "git.example-42-1002"
AFTER_30_DAYS = time.time() + 31 * DAY_S


@pytest.fixture
def policy(tmp_path: Path) -> Any:
    return made(tmp_path / "state")


def ended(policy: Any, key: str = KEY, word: Any = "rejected", **opened: Any) -> Request:
    request = open_request(policy, key, **opened)
    request.record("requested", rule="all", config="", why="1 of alice")
    record_decided(request, decide(request, word, "because", rule="all", config=""))
    end(request, word)
    write_json_once(request.directory, "content.json", {"v": 1})
    write_json_once(layout.votes(request.directory), "alice.1-2.reject.json", {"v": 1})
    return request


def tidy(policy: Any, now_s: float = AFTER_30_DAYS, own_key: str = "own") -> list[str]:
    return prune.tidy(policy, own_key, now_s)


def names(policy: Any, *parts: str) -> list[str]:
    return sorted(os.listdir(os.path.join(policy["state_dir"], *parts)))


def archived(policy: Any) -> list[str]:
    return sorted(path.name for path in Path(layout.archive(policy["state_dir"])).glob("????-??/*"))


def test_a_request_that_ended_long_ago_leaves_its_name_and_its_records(policy: Any) -> None:
    ended(policy)
    open_request(policy, OTHER)
    before = records(policy)

    assert not archive.is_archived(policy["state_dir"], KEY)
    assert tidy(policy) == []

    assert (names(policy, "jobs"), archived(policy)) == ([OTHER], [KEY])
    assert names(policy, "archive", "removing") == []
    assert archive.is_archived(policy["state_dir"], KEY)
    assert not archive.is_archived(policy["state_dir"], OTHER)
    assert records(policy) == before


STAYS: dict[str, tuple[float, str]] = {
    "it ended 29 days ago": (time.time() + 29 * DAY_S, "own"),
    "it is the job's own": (AFTER_30_DAYS, KEY),
    "the clock went back": (time.time() - DAY_S, "own"),
}


@pytest.mark.parametrize("case", STAYS)
def test_what_is_not_due_stays(policy: Any, case: str) -> None:
    ended(policy)
    now_s, own_key = STAYS[case]

    assert tidy(policy, now_s, own_key) == []
    assert (names(policy, "jobs"), archived(policy)) == ([KEY], [])


def test_a_job_that_an_older_gate_let_in_has_nothing_removed(policy: Any) -> None:
    ended(policy)
    del policy["keep"]

    assert tidy(policy) == []
    assert names(policy, "jobs") == [KEY]


def overwrite(request: Request, name: str, **changes: Any) -> None:
    path = Path(request.directory) / name
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


def link(request: Request, name: str, to: str) -> None:
    without(request, name)
    os.symlink(to, os.path.join(request.directory, name))


def without(request: Request, name: str) -> None:
    os.unlink(os.path.join(request.directory, name))


NO_RECORD = "the audit log has no record of its end"
NOT_WHOLE = "not all that belongs to it"
ODD: dict[str, tuple[Callable[[Request], Any], str]] = {
    "no decision": (lambda r: without(r, "decision.json"), NOT_WHOLE),
    "no request.json": (lambda r: without(r, "request.json"), NOT_WHOLE),
    "a broken request.json": (lambda r: Path(r.directory, "request.json").write_text("{"), "is not valid JSON"),
    "of a newer version": (lambda r: overwrite(r, "request.json", v=2), "is not of this version"),
    "of another request": (lambda r: overwrite(r, "ended.json", key=OTHER), NOT_WHOLE),
    "an empty ended.json": (lambda r: Path(r.directory, "ended.json").write_text(""), "is not valid JSON"),
    "a link in the place of ended.json": (lambda r: link(r, "ended.json", "decision.json"), "Too many levels"),
    "no log_position": (lambda r: overwrite(r, "request.json", log_position=[]), NOT_WHOLE),
    "its end is before its log_position": (lambda r: overwrite(r, "request.json", log_position=[9, 0]), NO_RECORD),
}


@pytest.mark.parametrize("case", ODD)
def test_what_is_odd_stays_whole_is_told_and_hinders_no_other(policy: Any, case: str) -> None:
    change, told = ODD[case]
    request = ended(policy)
    ended(policy, OTHER)
    change(request)
    before = names(policy, "jobs", KEY)

    faults = [fault for _ in range(3) for fault in tidy(policy)]

    assert len(faults) == 3
    assert all(fault.startswith(f"cannot archive {KEY}: ") and told in fault for fault in faults), faults
    assert (names(policy, "jobs", KEY), archived(policy)) == (before, [OTHER])


def test_a_log_without_the_end_of_a_request_keeps_it(policy: Any) -> None:
    """Say, one that was put back from a backup."""
    request = ended(policy)
    log = Path(layout.audit(policy["state_dir"])) / "audit.1.jsonl"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-1]))

    (fault,) = tidy(policy)
    assert NO_RECORD in fault
    assert request.has("request.json")
    os.unlink(log)
    assert len(tidy(policy)) == 1
    assert names(policy, "jobs") == [KEY]


def test_a_rejection_is_kept_for_as_long_as_it_keeps_a_repeat_out(policy: Any) -> None:
    policy["rules"] = [rule_of(after_rejection_s=60 * DAY_S)]
    ended(policy)

    assert (tidy(policy), names(policy, "jobs")) == ([], [KEY])
    assert (tidy(policy, time.time() + 61 * DAY_S), names(policy, "jobs")) == ([], [])


def test_many_go_a_few_at_a_time(policy: Any) -> None:
    count = 2 * archive.AT_ONCE_MAX + 1
    for number in range(count):
        ended(policy, f"git.example-42-{number}")

    left = []
    for _ in range(3):
        assert tidy(policy) == []
        left.append(len(names(policy, "jobs")))
    assert left == [count - archive.AT_ONCE_MAX, 1, 0]
    assert len(archived(policy)) == count


def test_those_that_cannot_go_keep_out_no_others(policy: Any) -> None:
    for number in range(3 * archive.AT_ONCE_MAX):
        without(ended(policy, f"git.example-42-1{number:03}"), "decision.json")
    ended(policy, "git.example-42-1999")

    for _ in range(100):
        tidy(policy)
        if archived(policy):
            break
    assert archived(policy) == ["git.example-42-1999"]


def test_names_are_forgotten_by_months_when_the_log_forgets_them_too(policy: Any) -> None:
    ended(policy)
    tidy(policy)
    (month,) = [name for name in names(policy, "archive") if name != "removing"]

    assert tidy(policy, AFTER_30_DAYS + 399 * DAY_S) == []
    assert archive.is_archived(policy["state_dir"], KEY)
    assert tidy(policy, AFTER_30_DAYS + 432 * DAY_S) == []
    assert names(policy, "archive") == ["removing"]
    assert month == time.strftime("%Y-%m", time.gmtime(AFTER_30_DAYS))


def test_whether_a_name_is_there_that_cannot_be_told_is_a_fault(policy: Any) -> None:
    path = Path(layout.archive(policy["state_dir"])) / "2026-11"
    path.write_text("")

    with pytest.raises(StateError, match="cannot look into "):
        archive.is_archived(policy["state_dir"], KEY)


def test_a_job_that_never_began_to_wait_leaves_nothing(policy: Any) -> None:
    for key in (KEY, OTHER):
        write_json_once(layout.make_job(policy, key), "plan.1.json", {"v": 1})
    os.utime(layout.job(policy["state_dir"], OTHER))

    assert (tidy(policy, time.time() + 29 * DAY_S), names(policy, "jobs")) == ([], [KEY, OTHER])
    assert (tidy(policy, own_key=OTHER), names(policy, "jobs")) == ([], [OTHER])
    assert archived(policy) == []


@pytest.mark.parametrize("name", ["decision.json", "release.json", "started", "waiting.1"])
def test_a_request_that_lost_its_beginning_stays(policy: Any, name: str) -> None:
    write_json_once(layout.make_job(policy, KEY), name, {"v": 1})

    tidy(policy)
    assert names(policy, "jobs") == [KEY]


def test_sweeps_at_once_archive_each_request_once(policy: Any) -> None:
    for number in range(8):
        ended(policy, f"git.example-42-{number}")

    assert all(in_children(8, lambda _: tidy(policy) == []))
    assert (tidy(policy), names(policy, "jobs"), len(archived(policy))) == ([], [], 8)
    assert names(policy, "archive", "removing") == []


@pytest.mark.slow
def test_a_removal_that_was_stopped_anywhere_is_gone_on_with(tmp_path: Path) -> None:
    """A process that ends before any of its calls of os."""
    reached = 0
    for call in range(1000):
        policy = made(tmp_path / str(call))
        ended(policy)
        child = fork(lambda policy=policy, call=call: _stopped_at(policy, call))  # type: ignore[misc]
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in (33, 36)
        is_whole = "request.json" in names(policy, "jobs", KEY) if names(policy, "jobs") else False
        assert is_whole or archive.is_archived(policy["state_dir"], KEY)
        assert tidy(policy) == []
        assert (names(policy, "jobs"), archived(policy)) == ([], [KEY])
        assert names(policy, "archive", "removing") == []
        if code == 33:
            break
        reached += 1
    assert reached > 50


def _stopped_at(policy: Any, at: int) -> bool:
    end_before_call(
        at, "open", "rename", "unlink", "rmdir", "mkdir", "link", "fsync", "listdir", "scandir", "lstat", "chmod"
    )
    return tidy(policy) == []


def test_what_the_page_s_user_left_in_votes_is_removed_too(policy: Any) -> None:
    if not IS_ROOT:
        pytest.skip("not root: a page with a user of its own needs root")
    policy["page"] = {"user": "gitlab-gate", "uid": 20_010, "gid": 20_011, "url": "http://gate.localhost"}
    kept = Path(policy["state_dir"]) / "kept"
    kept.write_text("33")
    request = ended(policy)

    def plant() -> bool:
        os.chdir(layout.votes(request.directory))  # the test's own directory is root's alone
        os.setgid(20_011)
        os.setuid(20_010)
        Path("deep/er").mkdir(parents=True)
        Path("deep/er/x.vote").write_text("x")
        Path("deep").chmod(0)
        Path("link").symlink_to(kept)
        Path("links").symlink_to("/etc")
        os.mkfifo("fifo")
        return True

    assert os.waitstatus_to_exitcode(os.waitpid(fork(plant), 0)[1]) == 33
    assert tidy(policy) == []
    assert (names(policy, "jobs"), names(policy, "archive", "removing")) == ([], [])
    assert kept.read_text() == "33"
    assert Path("/etc/passwd").exists()
