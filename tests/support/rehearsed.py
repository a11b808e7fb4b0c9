"""One rehearsal as a process of its own: it plays the runner's process, so it can be signalled and killed like one."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from executor.rehearsal import run

if __name__ == "__main__":
    sys.exit(run(**json.loads(sys.argv[1])))
