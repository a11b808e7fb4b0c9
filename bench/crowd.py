"""Many jobs that wait at once: their memory, what they cost while idle, and how soon one hears of its answer.

`crowd.py [WAITING] [--stages]`: how many wait; 200 if not given. Through the real gitlab-runner where it is on PATH;
otherwise, or with `--stages`, config and prepare are started directly, without a runner. Needs no root.

Each answer is a rejection: what comes after an approval, 5 whole jobs a second, is more than two cores can do.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

CHECKOUT = Path(__file__).parents[1]
sys.path.insert(0, str(CHECKOUT))

from bench.costs import as_installed, pss_mib, waiting_pids  # noqa: E402
from gate.clock import boottime_ms  # noqa: E402
from tests.support.fake_gitlab import FakeGitLab  # noqa: E402
from tests.support.jobs import job_payload  # noqa: E402
from tests.support.runner import Runner, find_runner  # noqa: E402
from tests.support.site import APPROVER, Site  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

WAITING = 200
DROPS = 100
A_SECOND = 5
IDLE_S = 30  # three times the net of each
SETTLE_S = 15
COMES_WITHIN_S = 1800
DECIDED_WITHIN_S = 60
STARTED_AT_ONCE = 4
FIRST_JOB = 1001


class Crowd(Protocol):
    """What brings jobs to the gate."""

    def start(self, jobs: range) -> None:
        """Have these jobs wait, or begin to."""

    def close(self) -> None:
        """End all that was started."""


class ByRunner:
    """Through a real gitlab-runner, and a fake GitLab."""

    def __init__(self, site: Site, scratch: Path, waiting: int) -> None:
        """Start both."""
        self._gitlab = FakeGitLab(first_job=FIRST_JOB)
        self._runner = Runner(self._gitlab.url, as_installed(site), scratch, concurrent=waiting)
        self._gitlab.__enter__()
        self._runner.start()

    def start(self, jobs: range) -> None:
        for job in jobs:
            self._gitlab.submit(project_id=job, timeout=7200)

    def close(self) -> None:
        self._runner.stop()
        self._gitlab.close()


class ByStages:
    """config, then prepare, of each job; this process is their runner."""

    def __init__(self, site: Site, scratch: Path) -> None:
        """Nothing is started yet."""
        self._wiring, self._scratch = as_installed(site), scratch
        self._waiting: list[subprocess.Popen[bytes]] = []

    def start(self, jobs: range) -> None:
        with ThreadPoolExecutor(STARTED_AT_ONCE) as pool:
            self._waiting += pool.map(self._start, jobs)

    def close(self) -> None:
        for process in self._waiting:
            process.send_signal(signal.SIGKILL)
            process.wait()

    def _start(self, job: int) -> subprocess.Popen[bytes]:
        response = self._scratch / f"{job}.json"
        response.write_text(json.dumps(job_payload(job, project_id=job, timeout=7200)), encoding="utf-8")
        response.chmod(0o600)
        codes = {"BUILD_FAILURE_EXIT_CODE": "33", "SYSTEM_FAILURE_EXIT_CODE": "34", "BUILD_EXIT_CODE_FILE": "/dev/null"}
        environment = {**os.environ, **codes, "JOB_RESPONSE_FILE": str(response)}
        done = subprocess.run(list(self._wiring.config or ()), env=environment, capture_output=True, check=True)
        environment |= json.loads(done.stdout)["job_env"]
        null = subprocess.DEVNULL
        return subprocess.Popen(list(self._wiring.prepare or ()), env=environment, stdin=null, stdout=null, stderr=null)


def wait_until_all_wait(site: Site, waiting: int) -> None:
    """Return when so many have looked for the first time.

    Raises:
        TimeoutError: they did not come.
    """
    until = time.monotonic() + COMES_WITHIN_S
    while len(list(site.state.glob("jobs/*/waiting.*"))) < waiting:
        if time.monotonic() > until:
            raise TimeoutError(f"not all of {waiting} jobs wait after {COMES_WITHIN_S} s")
        time.sleep(0.5)
    time.sleep(SETTLE_S)


def cpu_s(pids: list[int]) -> float:
    """What these processes have used, to the nanosecond: /proc/<pid>/schedstat."""
    return sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in pids) / 1e9


def idle_percent(pids: list[int]) -> float:
    """What all of them use while nothing happens, of one core."""
    before, began = cpu_s(pids), time.monotonic()
    time.sleep(IDLE_S)
    return 100 * (cpu_s(pids) - before) / (time.monotonic() - began)


def drops(site: Site, jobs: list[int]) -> Iterator[tuple[int, int]]:
    """Answer them, so many a second; yields each job and when its answer was there, boottime in ms."""
    box, next_s = site.state / "drop" / APPROVER, time.monotonic()
    for job in jobs:
        time.sleep(max(0, next_s - time.monotonic()))
        next_s += 1 / A_SECOND
        made = box / f".{job}"
        made.write_text("no")
        os.chown(made, site.uid(APPROVER), -1)
        now_ms = boottime_ms()
        made.rename(box / f"{job}.reject")
        yield job, now_ms


def drop_to_decided(site: Site, jobs: list[int]) -> list[int]:
    """Milliseconds from each drop to the record of the decision, sorted."""
    dropped = dict(drops(site, jobs))
    until, decided = time.monotonic() + DECIDED_WITHIN_S, dict[int, int]()
    while len(decided) < len(jobs) and time.monotonic() < until:
        time.sleep(1)
        decided = {record["job"]["id"]: record["boottime"] for record in site.records("decided")}
    return sorted(decided[job] - dropped[job] for job in jobs)


def spread(jobs: range, number: int) -> list[int]:
    """So many of them, from all over."""
    step = max(1, len(jobs) // number)
    return list(jobs)[::step][:number]


def main(words: list[str]) -> None:
    """Measure and print a Markdown table."""
    numbers = [int(word) for word in words if word.isdigit()]
    waiting, runner = numbers[0] if numbers else WAITING, find_runner()
    direct = "--stages" in words or runner is None
    jobs = range(FIRST_JOB, FIRST_JOB + waiting)
    with Site(rule={"decide_within": "1h"}) as site, tempfile.TemporaryDirectory() as scratch:
        Path(scratch).chmod(0o700)
        crowd: Crowd = ByStages(site, Path(scratch)) if direct else ByRunner(site, Path(scratch), waiting)
        try:
            crowd.start(jobs)
            wait_until_all_wait(site, waiting)
            pids = waiting_pids(str(site.yaml))
            weight, idle = statistics.mean(pss_mib(pid) for pid in pids), idle_percent(pids)
            load = os.getloadavg()[0]
            taken = drop_to_decided(site, spread(jobs, min(DROPS, waiting)))
        finally:
            crowd.close()
    instances = Path("/proc/sys/fs/inotify/max_user_instances").read_text().strip()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}, Python "
          f"{platform.python_version()},"
          f" load {load:.1f} to {os.getloadavg()[0]:.1f}, fs.inotify.max_user_instances {instances}\n")  # fmt: skip
    print(
        f"| {waiting} jobs wait, {'by stages without a runner' if direct else 'through gitlab-runner'} | gate | aim |"
    )
    print("|---|---|---|")
    print(f"| memory of each, PSS | {weight:.2f} MiB | 4.5 MiB |")
    print(f"| CPU of all while nothing happens, of one core | {idle:.1f} % | {5 * waiting / 1000:g} % |")
    print(f"| drop to decided at {A_SECOND} a second, median / p99 of {len(taken)} "
          f"| {statistics.median(taken):.0f} / {taken[max(0, len(taken) * 99 // 100 - 1)]} ms | 250 ms |")  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])
