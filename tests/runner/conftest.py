"""Each case of the runner runs twice: by rehearsal, and through a real gitlab-runner where there is one."""

from __future__ import annotations

import itertools
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.runner.gated import Gated
from tests.support.harness import Harness, RealHarness, RehearsalHarness
from tests.support.runner import MISSING, find_runner
from tests.support.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.wiring import DriverWiring

    HarnessFactory = Callable[..., Harness]

HALVES: dict[str, type[RealHarness | RehearsalHarness]] = {
    "rehearsal": RehearsalHarness,
    "gitlab-runner": RealHarness,
}


def _open_half(half: str, tmp_path: Path, stack: ExitStack) -> HarnessFactory:
    if half == "gitlab-runner" and find_runner() is None:
        pytest.skip(MISSING)
    numbers = itertools.count()

    def start(wiring: DriverWiring, **options: Any) -> Harness:
        scratch = tmp_path / f"{half}-{next(numbers)}"
        scratch.mkdir()
        harness = HALVES[half](wiring, scratch, **options)
        stack.callback(lambda: print(harness.runner_log()))  # pytest shows it where the case fails
        stack.callback(harness.close)
        return harness

    return start


@pytest.fixture(params=list(HALVES))
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HarnessFactory]:
    """Starts a runner: `harness(wiring, env=…, concurrent=…)`; what it started is ended with the test."""
    with ExitStack() as stack:
        yield _open_half(request.param, tmp_path, stack)


@pytest.fixture
def both(tmp_path: Path) -> Iterator[tuple[HarnessFactory, HarnessFactory]]:
    """The rehearsal and the real runner, to be compared."""
    with ExitStack() as stack:
        yield _open_half("rehearsal", tmp_path, stack), _open_half("gitlab-runner", tmp_path, stack)


@pytest.fixture
def gated(harness: HarnessFactory) -> Iterator[Callable[..., Gated]]:
    """Starts a gate and a runner before it: `gated(rule={…}, prepare_timeout=…, concurrent=…, wiring={…})`."""
    with ExitStack() as stack:

        def start(
            *,
            rule: dict[str, Any] | None = None,
            prepare_timeout: int = 3600,
            concurrent: int = 4,
            wiring: dict[str, Any] | None = None,
            site: Site | None = None,
            **config: Any,
        ) -> Gated:
            place = site or stack.enter_context(Site(rule=rule, **config))
            driver = place.wiring(prepare_timeout=prepare_timeout, **(wiring or {}))
            return Gated(place, harness(driver, concurrent=concurrent))

        yield start
