"""`prepare` whose net is an hour away: `distant_net.py [gate-executor's arguments]`.

So it hears of an answer only if it is rung.
"""

from __future__ import annotations

import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
sys.path.insert(0, str(CHECKOUT))

import executor.prepare  # noqa: E402
from executor.main import main  # noqa: E402

executor.prepare.POLL_MS = 3_600_000

if __name__ == "__main__":
    main(sys.argv[1:])
