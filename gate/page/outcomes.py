"""What came of a vote that the page left, by the audit log and the request's own files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gate.model.words import NOUNS
from gate.store.request import is_open

if TYPE_CHECKING:
    from gate.page.history.index import Index
    from gate.store.request import Request


def file_of(nonce: str) -> str:
    """The name that a form's vote is left under."""
    return f"{nonce}.vote"


def outcome(index: Index, asked: Request, nonce: str) -> tuple[str, str]:
    """What came of it: counted, turned-away, late or left; and in words."""
    record = index.record_of_file(asked.key, file_of(nonce))
    if record and record["event"] == "vote":
        return "counted", f"Your {NOUNS[record['decision']]} was counted."
    if record:
        return "turned-away", f"Your answer does not count: {record['why']}."
    if not is_open(asked):
        return "late", "Too late: it was decided before your answer was taken, which came to nothing."
    return "left", "Your answer is written down, and not taken yet. If that stays so, the job's gate is gone."
