"""Playing a conformance case through the installed commands: `gate rehearse`, and drops by the people of the case."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from config.load import load_policy
from gate.store import layout
from tests.support.runner import played_version
from tests.support.warm import Forked
from tests.support.wiring import write_config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.case_file import CaseSite, Vote

WITHIN_S = 60
_HEAD = "audit head seq="
_COLOUR = re.compile(r"\x1b\[[0-9;]*[mK]")


class Played(NamedTuple):
    """What became of a job: its log without colours, and the Outcome that GitLab was told."""

    log: str
    state: str
    failure_reason: str | None
    exit_code: int | None


def play(site: CaseSite, job: dict[str, Any], votes: list[Vote], prepare_timeout: int | None) -> Played:
    """Rehearse a job to its end; votes that are not early are cast once it waits, if it waits."""
    job_file, report = site.base / f"job.{job['id']}.json", site.base / f"outcome.{job['id']}.json"
    job_file.write_text(json.dumps(job), encoding="utf-8")
    _drop_early(site, job["id"], [vote for vote in votes if vote.early])
    words = ["rehearse", "--job", str(job_file), "--report", str(report), "--runner-version", played_version()]
    words += _runner_config(site, prepare_timeout)
    with _started(site, words) as (rehearsal, log):
        _until(rehearsal, lambda: _HEAD in log.read_text(errors="replace"))
        for vote in votes:
            if not vote.early and rehearsal.poll() is None:
                path = site.drop(vote.who, f"{job['id']}.{vote.answer}", vote.comment)
                _until(rehearsal, lambda path=path, vote=vote: vote.passed_over or not path.exists())  # type: ignore[misc]
        with suppress(TimeoutError):
            rehearsal.wait(WITHIN_S)
        said = _COLOUR.sub("", log.read_text(errors="replace"))
        for vote in [vote for vote in votes if vote.passed_over]:
            assert f"a drop of {vote.who} " not in said
        assert rehearsal.poll() is not None, f"the job has not ended within {WITHIN_S} s:\n{said}"
    assert report.exists(), f"the rehearsal made no report:\n{said}"
    return Played(said, **json.loads(report.read_text(encoding="utf-8")))


def _drop_early(site: CaseSite, job: int, votes: list[Vote]) -> None:
    if votes:
        layout.make(load_policy(str(site.yaml))[0])  # the drop directories, as an earlier job would have made them
    for vote in votes:
        site.drop(vote.who, f"{job}.{vote.answer}", vote.comment)


def _runner_config(site: CaseSite, prepare_timeout: int | None) -> list[str]:
    if prepare_timeout is None:
        return []
    path = site.base / "config.toml"
    write_config(path, site.wiring(prepare_timeout=prepare_timeout), url="http://gitlab.example", scratch=site.base)
    return ["--runner-config", str(path)]


@contextmanager
def _started(site: CaseSite, words: list[str]) -> Iterator[tuple[Forked, Path]]:
    """`gate …`, its output going to a file; ended with all that it started, if it is still there."""
    temporary, log = site.base / "tmp", site.base / "log"
    temporary.mkdir(exist_ok=True)
    env = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(site.base), "TMPDIR": str(temporary)}
    with log.open("wb") as output:
        rehearsal = Forked(["--config", str(site.yaml), *words], output.fileno(), env=env)
    try:
        yield rehearsal, log
    finally:
        if rehearsal.poll() is None:
            rehearsal.send_signal(signal.SIGTERM)  # GitLab's Cancel: it ends its driver, and then itself
            with suppress(TimeoutError):
                rehearsal.wait(15)
        if rehearsal.poll() is None:
            rehearsal.send_signal(signal.SIGKILL)
            rehearsal.wait(WITHIN_S)


def _until(rehearsal: Forked, holds: Callable[[], bool]) -> None:
    """Wait until something is so, or the rehearsal has ended."""
    give_up = time.monotonic() + WITHIN_S
    while not holds() and rehearsal.poll() is None:
        assert time.monotonic() < give_up, f"nothing came of it within {WITHIN_S} s"
        time.sleep(0.02)
