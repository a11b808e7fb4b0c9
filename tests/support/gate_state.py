"""Small pieces of a gate for unit tests: a policy, the facts of a job, a request on disk, drops, and forked children.

As root the people are three uids that need not exist; otherwise all of them are the current user, which only the
checks of gate.yaml forbid.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import stat
import time
import warnings
from typing import TYPE_CHECKING, Any

from audit import log
from gate.clock import boot_id, boottime_ms
from gate.store import layout
from gate.store.files import write_json_once
from gate.store.request import Request, load, log_mark

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

IS_ROOT = os.geteuid() == 0
PEOPLE = ("alice", "bob", "carol")
UIDS = {person: 20_001 + n if IS_ROOT else os.geteuid() for n, person in enumerate(PEOPLE)}
HOUR_MS = 3_600_000
DAY_S = 86_400
GIVE_UP_S = 300  # a child that hangs


def rule_of(**changes: Any) -> Any:
    """One rule: an approval of alice or bob."""
    return {
        "name": "all",
        "match": {},
        "approvals": [{"count": 1, "of": ["release-managers"], "people": ["alice", "bob"]}],
        "rejections": 1,
        "decide_within_s": 600,
        "early": False,
        "reserve_s": None,
        "self_approval": False,
        "comment": {"approve": "optional", "reject": "optional"},
        "run_as": None,
        "after_rejection_s": 300,
        "remind_every_s": None,
        "supersede": False,
        **changes,
    }


def policy_of(state_dir: Path, **changes: Any) -> Any:
    """A policy as config makes it; carol is known, and on no list."""
    people = {
        person: {
            "unix": person,
            "uid": UIDS[person],
            "gitlab_names": [f"{person}-gl"],
            "gitlab_ids": [4711 + n],
            "ssh_keys": [],
            "proxy_names": [],
        }
        for n, person in enumerate(PEOPLE)
    }
    return {
        "version": 1,
        "site": "test.example",
        "state_dir": str(state_dir),
        "approvers_group": None,
        "approvers_gid": None,
        "people": people,
        "groups": {"release-managers": ["alice", "bob"]},
        "rules": [rule_of()],
        "backend": {"type": "shell", "run_as": None, "uid": 998, "gid": 998, "home": "/", "allow_same_user": False},
        "exit_codes": {"rejected": 80, "expired": 81, "superseded": 82, "refused": 83},
        "page": None,
        "audit": {"rotate_at_bytes": 64 * 1024**2, "copy_to": None},
        "keep": {"requests_s": 30 * DAY_S, "log_s": 400 * DAY_S},
        "on_event": [],
        "warnings": [],
        **changes,
    }


def facts_of(**changes: Any) -> Any:
    """The facts of a job that `dev` triggered."""
    return {
        "instance": "git.example",
        "project_id": 42,
        "job_id": 1001,
        "path": "grp/app",
        "pipeline_id": 7,
        "name": "deploy",
        "stage": "deploy",
        "ref": "main",
        "ref_type": "branch",
        "sha": "0123456789" * 4,
        "protected": True,
        "environment": "production",
        "environments": ["production"],
        "runner": 12,
        "triggered_by": {"names": ["dev"], "ids": [5], "emails": ["dev@example.com"]},
        "timeout_s": 3600,
        "overridden": [],
        "checkout": [],
        "gate_variables": [],
        **changes,
    }


def made(state_dir: Path, **changes: Any) -> Any:
    """A policy, with everything that it needs on disk."""
    policy = policy_of(state_dir, **changes)
    layout.make(policy)
    return policy


def open_request(policy: Any, key: str = "git.example-42-1001", **opened: Any) -> Request:
    """A request on disk, as the step `opening` leaves it."""
    directory = layout.make_job(policy, key)
    job_id = int(key.rpartition("-")[2])
    now_ms = boottime_ms()
    content = {
        "v": 1,
        "key": key,
        "facts": facts_of(instance=key.rsplit("-", 2)[0], job_id=job_id),
        "response_sha256": "0" * 64,
        "token_hash": "1" * 64,
        "digest": "2" * 64,
        "boot_id": boot_id(),
        "opened_boottime_ms": now_ms,
        "opened_wall_s": time.time(),
        "deadline_boottime_ms": now_ms + HOUR_MS,
        "deadline_set_by": "decide_within of rule 'all'",
        "deadline_shortened": False,
        "start_by_boottime_ms": now_ms + HOUR_MS,
        "rule": "all",
        **log_mark(policy["state_dir"]),
        **opened,
    }
    assert write_json_once(directory, "request.json", content)
    request = load(policy["state_dir"], key)
    assert request is not None
    return request


def drop_file(policy: Any, person: str, name: str, content: str | bytes = "ok") -> str:
    """A drop of a person, written and closed; returns its path. `ok` is what it says without a comment."""
    path = os.path.join(layout.drops(policy["state_dir"]), person, name)
    with open(path, "wb") as target:
        target.write(content.encode() if isinstance(content, str) else content)
    os.chown(path, UIDS[person], -1)
    return path


def next_tick(directory: Path) -> None:
    """Return when files made from now on have a later ctime than those that are there: that clock ticks every few ms."""
    then_ns, probe = time.clock_gettime_ns(time.CLOCK_REALTIME), directory / ".tick"
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        probe.unlink(missing_ok=True)
        probe.touch()
        if probe.stat().st_ctime_ns > then_ns:
            probe.unlink()
            return
    raise AssertionError("the file system's clock stands still")


def records(policy: Any, event: str | None = None) -> list[Any]:
    """The audit log, whole or of one event."""
    found = [record for _head, record in log.records(layout.audit(policy["state_dir"]))]
    return [record for record in found if event in (None, record["event"])]


def mode_of(path: str | Path) -> int:
    """All twelve bits of a file's mode."""
    return stat.S_IMODE(os.lstat(path).st_mode)


def in_children(count: int, work: Callable[[int], bool]) -> list[bool]:
    """What `work(n)` says in each of `count` processes that are let go at the same moment."""
    gate, let_go = os.pipe()
    children = [fork(lambda n=n: os.read(gate, 1) == b"" and work(n), closing=let_go) for n in range(count)]  # type: ignore[misc]
    os.close(gate)
    os.close(let_go)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 33 for child in children]


def fork(work: Callable[[], bool], closing: int = -1) -> int:
    """A child that does `work` and exits 33 where that is true; its pid.

    What it raises is told on stderr, and exits 34.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads: those of pytest-xdist, idle
        child = os.fork()
    if child:
        return child
    code = 34
    try:
        signal.alarm(GIVE_UP_S)
        if closing >= 0:
            os.close(closing)
        code = 33 if work() else 35
    except BaseException as error:  # noqa: BLE001
        os.write(2, f"child: {error!r}\n".encode())
    finally:
        os._exit(code)


def same_json(path: str) -> Any:
    """The JSON in a file."""
    with open(path, encoding="utf-8") as source:
        return json.load(source)


def end_before_call(at: int, *names: str) -> None:
    """From now on this process ends, with 36, before its call number `at`, from 0, of those functions of os."""
    calls = itertools.count()

    def around(function: Callable[..., Any]) -> Callable[..., Any]:
        def stopping(*args: Any, **kwargs: Any) -> Any:
            if next(calls) == at:
                os._exit(36)
            return function(*args, **kwargs)

        return stopping

    for name in names:
        setattr(os, name, around(getattr(os, name)))
