"""`keep` in gate.yaml: how long what is over is kept."""

from __future__ import annotations

import pytest

from config.load import policy_from
from tests.support.fake_accounts import FakeHost
from tests.unit.test_config_faults import GOOD, faults_of

DAYS = "write one number and its unit, hours or days, such as 12h or 30d"
LESS = "so keep it as long"


@pytest.mark.parametrize(
    ("keep", "requests_s", "log_s"),
    [
        ("", 30 * 86_400, 400 * 86_400),
        ("keep: {}\n", 30 * 86_400, 400 * 86_400),
        ("keep: {requests: 12h}\n", 43_200, 400 * 86_400),
        ("keep: {log: 30d}\n", 30 * 86_400, 30 * 86_400),
        ("keep: {requests: 720h, log: 30d}\n", 30 * 86_400, 30 * 86_400),
    ],
)
def test_how_long(keep: str, requests_s: int, log_s: int) -> None:
    policy = policy_from((GOOD + keep).encode(), "gate.yaml", runner_uid=0, host=FakeHost())
    assert policy["keep"] == {"requests_s": requests_s, "log_s": log_s}


@pytest.mark.parametrize(
    ("keep", "fault"),
    [
        (
            "{requests: 90d, log: 30d}",
            f"log: 30d is less than requests: 90d: the log is what is left of a request, {LESS}",
        ),
        ("{requests: 401d}", f"log: 400d is less than requests: 401d: the log is what is left of a request, {LESS}"),
        ("{log: 29d}", f"log: 29d is less than requests: 30d: the log is what is left of a request, {LESS}"),
        ("{requests: 30m}", f"'30m' does not fit: {DAYS}"),
        ("{requests: 0d}", f"'0d' does not fit: {DAYS}"),
        ("{log: for ever}", f"'for ever' does not fit: {DAYS}"),
        ("{log: 400}", f"'400' does not fit: {DAYS}"),
        ("{logs: 400d}", "unknown key 'logs': did you mean 'log'?"),
        ("", "'keep' has no value: write for instance keep: {requests: 90d, log: 800d}, or remove the key"),
    ],
)
def test_nonsense_is_told_at_its_place(keep: str, fault: str) -> None:
    (found,) = faults_of(f"{GOOD}keep: {keep}\n")
    line, _, rest = found.partition(":")
    assert (int(line), rest.partition(": ")[2]) == (GOOD.count("\n") + 1, fault)
