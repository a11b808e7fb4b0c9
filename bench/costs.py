"""What the gate costs, each against something bare in the same run: `make bench`. See bench/README.md.

The stages are wired as runner-config.example.toml wires them, by the console script. Ratios can be compared between
machines, milliseconds cannot. Needs no root; as root, jobs run in a process-id namespace.
"""

from __future__ import annotations

import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

CHECKOUT = Path(__file__).parents[1]
sys.path.insert(0, str(CHECKOUT))

from tests.support.harness import RehearsalHarness  # noqa: E402
from tests.support.site import APPROVER, Site  # noqa: E402
from tests.support.wiring import DriverWiring  # noqa: E402

CONSOLE_SCRIPT = Path(sys.executable).parent / "gate-executor"
WAITERS = 10
ROUNDS = 15
SETTLE_S = 2
BARE_WAITER = "import ctypes, json, hashlib, time; print('up', flush=True); time.sleep(600)"
DO_NOTHING = """
import json, os, subprocess, sys
if sys.argv[1] == "config":
    print(json.dumps({"builds_dir": "/tmp/gate-bench-builds", "cache_dir": "/tmp/gate-bench-cache"}))
elif sys.argv[1] == "run":
    sys.exit(subprocess.run(["bash", sys.argv[-2]], stdin=subprocess.DEVNULL).returncode)
"""


class Cost(NamedTuple):
    """Seconds of one job."""

    cpu: float
    wall: float


def as_installed(site: Site) -> DriverWiring:
    """The stages of this gate as the example wires them."""
    command = [str(CONSOLE_SCRIPT), "--config", str(site.yaml)]
    return DriverWiring.of(command, prepare=[*command, "prepare", "--prepare-timeout", "3600"])


def pss_mib(pid: int) -> float:
    """Proportional set size of a process."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:"))


def waiting_memory() -> tuple[float, float]:
    """Mean PSS in MiB of ten waiting jobs, and of as many bare Pythons asleep with ctypes, json and hashlib."""
    with Site() as site, tempfile.TemporaryDirectory() as scratch:
        harness = RehearsalHarness(as_installed(site), Path(scratch), concurrent=WAITERS)
        try:
            jobs = [harness.submit() for _ in range(WAITERS)]
            for job in jobs:
                harness.wait_trace(job, "audit head seq=")
            time.sleep(SETTLE_S)  # the steps that opened and looked are forks of the same command line
            ours = statistics.mean(pss_mib(pid) for pid in waiting_pids(str(site.yaml)))
        finally:
            harness.close()
    command = [sys.executable, "-I", "-S", "-c", BARE_WAITER]
    bare = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(WAITERS)]
    try:
        for process in bare:
            assert process.stdout is not None  # noqa: S101
            process.stdout.readline()
        return ours, statistics.mean(pss_mib(process.pid) for process in bare)
    finally:
        for process in bare:
            process.kill()
            process.communicate()


def waiting_pids(config: str) -> list[int]:
    """Of the processes that wait for an answer, with that gate.yaml."""
    found = []
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"prepare" in words and b"-S" in words and config.encode() in words:
            found.append(int(pid))
    return found


def answer_to_running() -> list[float]:
    """Seconds from a drop to the first line of the job's script, over ROUNDS jobs."""
    taken = []
    with Site() as site, tempfile.TemporaryDirectory() as scratch:
        harness = RehearsalHarness(as_installed(site), Path(scratch))
        try:
            for _ in range(ROUNDS):
                job = harness.submit(script=["date +began=%s.%N"])
                harness.wait_trace(job, "audit head seq=")
                path = site.drop(APPROVER, f"{job}.approve")
                dropped = time.time()
                harness.wait(job)
                began = next(line for line in harness.trace(job).splitlines() if line.startswith("began="))
                taken.append(float(began.removeprefix("began=")) - dropped)
                assert not path.exists()  # noqa: S101
        finally:
            harness.close()
    return taken


def whole_job() -> tuple[list[Cost], list[Cost]]:
    """What a trivial job costs that was approved beforehand, and the same with a do-nothing Python driver.

    Interleaved.
    """
    ours: list[Cost] = []
    bare: list[Cost] = []
    with Site(rule={"early": True, "decide_within": "10m"}) as site, tempfile.TemporaryDirectory() as scratch:
        driver = Path(scratch) / "driver.py"
        driver.write_text(DO_NOTHING)
        for name in ("ours", "bare"):
            (Path(scratch) / name).mkdir()
        nothing = DriverWiring.of([sys.executable, "-I", str(driver)])
        first = RehearsalHarness(as_installed(site), Path(scratch) / "ours")
        second = RehearsalHarness(nothing, Path(scratch) / "bare")
        try:
            job = first.submit()
            first.wait_trace(job, "audit head seq=")
            for number in range(ROUNDS):
                site.drop(APPROVER, f"{job + number}.approve")
            first.wait(job)
            for _ in range(ROUNDS - 1):
                ours.append(_cost_of(first))
                bare.append(_cost_of(second))
        finally:
            first.close()
            second.close()
    return ours, bare


def _cost_of(harness: RehearsalHarness) -> Cost:
    cpu_s, began = _cpu_of_stages_s(), time.perf_counter()
    harness.wait(harness.submit(script=["true"]))
    return Cost(_cpu_of_stages_s() - cpu_s, time.perf_counter() - began)


def _cpu_of_stages_s() -> float:
    """Of all processes that were waited for: not of the sweep behind config, which no job waits for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Measure and print a Markdown table."""
    ours, bare = waiting_memory()
    latency = answer_to_running()
    job, nothing = whole_job()
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}, Python "
        f"{platform.python_version()}\n"
    )
    print("| what | gate | bare | ratio |")
    print("|---|---|---|---|")
    print(f"| memory of a waiting job, PSS, {WAITERS} waiting | {ours:.1f} MiB | {bare:.1f} MiB | {ours / bare:.2f} |")
    for number, of in enumerate(("CPU", "wall")):
        a, b = (statistics.median(cost[number] for cost in costs) for costs in (job, nothing))
        print(
            f"| a whole trivial job, approved beforehand, {of} | {a * 1000:.0f} ms | {b * 1000:.0f} ms | {a / b:.2f} |"
        )
    print(f"| from an answer to the script's first line, median / worst of {ROUNDS} "
          f"| {statistics.median(latency) * 1000:.0f} / {max(latency) * 1000:.0f} ms | | |")  # fmt: skip


if __name__ == "__main__":
    main()
