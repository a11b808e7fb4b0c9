"""A release is read without the module `json`, and comes to exactly what that makes of it."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.store.json_text import parsed
from tests.support.site import CHECKOUT

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
ODD = [
    "",
    " ",
    "{",
    "[1,]",
    "{} {}",
    '{"a":}',
    "nul",
    '"a\nb"',
    "[" * 100_000,
    "{}\x00",
    "\ufeff{}",
    "01",
    "-",
    "'a'",
    "1" * 5000,
]


def outcome(loads: Any, text: str) -> Any:
    try:
        return loads(text)
    except (ValueError, RecursionError) as error:
        return type(error)


@given(VALUES, st.sampled_from([None, 1]))
def test_what_json_writes_is_read_as_json_reads_it(value: Any, indent: int | None) -> None:
    assert parsed(f" {json.dumps(value, indent=indent)}\n") == value


@given(st.text(st.sampled_from('[]{}:,"\\\\ntrue01.-eN a\n')))
def test_any_text_comes_to_what_json_makes_of_it(text: str) -> None:
    assert repr(outcome(parsed, text)) == repr(outcome(json.loads, text))


@pytest.mark.parametrize("text", [*ODD, '{"a": 1, "a": 2}', "NaN", "[1e400]"])
def test_what_is_odd_comes_to_the_same_in_a_process_that_has_no_json(text: str) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(CHECKOUT)!r})\n"
        "from gate.store.json_text import parsed\n"
        "assert 'json' not in sys.modules\n"
        "try: print(repr(parsed(sys.stdin.read())))\n"
        "except (ValueError, RecursionError) as error: print(type(error))\n"
    )
    command = [sys.executable, "-I", "-S", "-X", "utf8", "-c", code]
    done = subprocess.run(command, input=text.encode(), capture_output=True, check=True)
    assert done.stdout.decode().strip() == repr(outcome(json.loads, text))


def test_constants_are_those_of_json() -> None:
    assert [math.isnan(parsed("NaN")), parsed("-Infinity")] == [True, -math.inf]
