"""For all tests: the machine is left as it was, and with GATE_TESTS_DEMAND_ALL=1, as .ci/run sets it, nothing is skipped.

Only a gitlab-runner may be missing then.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tests.support import machine, shared
from tests.support.effort import EXAMPLES, LEAST_EXAMPLES, rounds
from tests.support.spread import SLOW, how_long, spread

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

# Some tests take disk space away: a bytecode file written then is cut short, and breaks the others. Collecting alone
# writes, see below: without pytest's files of it, each worker would compile all tests, and Hypothesis, each time.
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
sys.dont_write_bytecode = True

# However the tests were started, under nohup or in the background of a script: no signal is ignored by inheritance.
for _number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGINT, signal.SIGTERM):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.SIG_DFL)

# The checkout may be another user's, and no test asserts a time: nor that of making examples, on a busy machine.
hypothesis.settings.register_profile(
    "gate",
    database=None,
    deadline=None,
    max_examples=rounds(EXAMPLES, LEAST_EXAMPLES),
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("gate")

DEMAND_ALL = os.environ.get("GATE_TESTS_DEMAND_ALL") == "1"
# What root cannot see fail, and a way that needs less, are no tools that one could install.
_MAY_BE_MISSING = ("no gitlab-runner on PATH", "root may ", "root serves ",
                   "the rehearsal writes scripts for bash only")  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    """Begin what all workers share, in the process that starts them."""
    if not hasattr(config, "workerinput"):
        shared.begin()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove it."""
    if not hasattr(config, "workerinput"):
        shared.end()


def pytest_collectstart() -> None:
    """Keep the bytecode of a file of tests that is imported now; gitlab_runner_gate, which some import, forbids it."""
    sys.dont_write_bytecode = False


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Have each worker begin with what takes long."""
    workers: int = getattr(config, "workerinput", {}).get("workercount", 1)
    slow = sorted(filter(is_slow, items), key=lambda item: how_long(item.nodeid))
    items[:] = spread(slow, list(itertools.filterfalse(is_slow, items)), workers)


def is_slow(item: pytest.Item) -> bool:
    """Whether a test takes long, by its directory or by its mark."""
    return how_long(item.nodeid) < len(SLOW) or item.get_closest_marker("slow") is not None


def pytest_collection_finish() -> None:
    """From here on, tests run."""
    sys.dont_write_bytecode = True


@pytest.fixture(scope="session", autouse=True)
def _machine_is_left_alone() -> Iterator[None]:
    """Fail where tests have changed the machine's own directories; each process of pytest-xdist looks."""
    before = machine.look()
    yield
    changed = machine.changes(before, machine.look())
    assert not changed, f"THE TESTS HAVE CHANGED THIS MACHINE: {'; '.join(changed)}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure where everything must be there."""
    report = yield
    if DEMAND_ALL and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not any(allowed in reason for allowed in _MAY_BE_MISSING):
            report.outcome = "failed"
            report.longrepr = (
                f"{item.nodeid}: {reason} (GATE_TESTS_DEMAND_ALL=1 allows no skip but for a gitlab-runner)"
            )
    return report
