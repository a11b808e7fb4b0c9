"""A gate whose audit log the tests fill themselves, and its `gate audit …` commands, run in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config.load import load_policy
from gate.store import layout
from tests.support.audit_logs import add
from tests.support.site import Site

if TYPE_CHECKING:
    from click.testing import Result

    from audit.log import Head


class AuditGate(Site):
    """A site with its directories made."""

    def __init__(self, **config: Any) -> None:
        super().__init__(**config)
        self.policy, _ = load_policy(str(self.yaml))
        layout.make(self.policy)
        self.log = Path(layout.audit(self.policy["state_dir"]))

    def fill(self, count: int) -> list[Head]:
        """Append so many records; returns their heads."""
        return [add(self.log, comment=f"number {number}") for number in range(count)]

    def audit(self, *words: str, stdin: str | bytes | None = None) -> Result:
        """`gate audit WORDS`; what stops it is in `exception`."""
        return self.gate_here("audit", *words, stdin=stdin)

    def audit_json(self, *words: str) -> dict[str, Any]:
        """What `gate audit WORDS --json` prints."""
        found: dict[str, Any] = json.loads(self.audit(*words, "--json").stdout)
        return found
