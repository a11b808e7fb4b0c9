"""Eight writers at once, killed at any moment, two thousand times: what one was told is on disk is there, in one chain.

At less than full effort (tests/support/effort.py) it is some hundred times.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

from audit import log
from audit.verify import verify
from tests.faults.conftest import SOAK
from tests.support import killed_writers
from tests.support.audit_logs import add
from tests.support.effort import rounds

if TYPE_CHECKING:
    from pathlib import Path

ROUNDS = min(2000, rounds(2000, 600))  # SOAK makes more of these


def test_killed_writers_lose_nothing_and_never_fork_the_chain(tmp_path: Path) -> None:
    directory, told = tmp_path / "audit", tmp_path / "told"
    directory.mkdir()
    script = [sys.executable, "-I", "-S", "-B", killed_writers.__file__]
    subprocess.run([*script, str(directory), str(ROUNDS * SOAK), str(SOAK), str(told)], check=True)

    lines = [line.split() for line in told.read_text(encoding="ascii").splitlines() if line.endswith(" .")]
    heads = [(int(seq), sha256) for seq, sha256, _number, _end in lines] + [add(directory)]
    report = verify(str(directory), heads)
    assert (report.problems, report.unfinished) == ((), None)
    assert len(heads) > ROUNDS * SOAK / 2

    began = Counter(record["request"] for _head, record in log.records(str(directory)) if record["event"] == "decided")
    assert set(began.values()) == {1}
    assert began.keys() >= {f"r-{number}" for _seq, _sha256, number, _end in lines if number != "-"}
    assert log.position(str(directory))[0] > 2
