"""Whatever stands in the file, what comes out is a policy or a ConfigError with places."""

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from config.load import ConfigError, Fault, policy_from
from tests.support.effort import examples
from tests.support.fake_accounts import FakeHost
from tests.unit.test_config_faults import GOOD
from tests.unit.test_config_rules import FULL

PIECES = [
    *GOOD.split(),
    *FULL.split(),
    *(
        "\n",
        "  ",
        "- ",
        "&a",
        "*a",
        "<<:",
        "!!int",
        "!",
        "---",
        "...",
        "%YAML 1.1",
        "? ",
        ": ",
        "|",
        ">-",
        "[",
        "{",
        "]",
    ),
    *('"\\ud800"', '"\\UFFFFFFFF"', "\ufeff", "\x85", "9" * 5_000, "1e999", ".nan", "=", "~", "\t", "\0", "}", "\r"),
]
QUIET = examples(150, suppress_health_check=[HealthCheck.too_slow])


def faults_in(data: bytes) -> list[Fault]:
    try:
        policy_from(data, "gate.yaml", runner_uid=0, host=FakeHost())
    except ConfigError as error:
        return error.faults or [Fault("no fault at all", 0, 0, "")]
    return []


def survives(data: bytes) -> None:
    for fault in faults_in(data):
        assert fault.line >= 1
        assert fault.column >= 1
        assert str(fault).isprintable()
        assert str(fault).isascii()


@QUIET
@given(st.binary(max_size=300))
def test_any_bytes_are_survived(data: bytes) -> None:
    survives(data)


@QUIET
@given(st.text(max_size=300))
def test_any_text_is_survived(text: str) -> None:
    survives(text.encode(errors="replace"))


@QUIET
@given(st.lists(st.sampled_from(PIECES), max_size=40), st.sampled_from(["", " "]))
def test_any_pile_of_yaml_is_survived(pieces: list[str], joint: str) -> None:
    survives(joint.join(pieces).encode())


@QUIET
@given(st.sampled_from([GOOD, FULL]), st.floats(0, 1), st.integers(0, 12), st.sampled_from(PIECES))
def test_any_wound_to_a_good_file_is_survived(text: str, where: float, cut: int, piece: str) -> None:
    at = int(where * len(text))
    survives((text[:at] + piece + text[at + cut :]).encode())


def test_a_billion_laughs_are_not_heard() -> None:
    laughs = "a: &a [x]\n" + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{f'*{chr(97 + i)},' * 9}]\n" for i in range(20))
    with pytest.raises(ConfigError, match="alias"):
        policy_from(laughs.encode(), "gate.yaml", runner_uid=0, host=FakeHost())
