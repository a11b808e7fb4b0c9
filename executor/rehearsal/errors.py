"""What can go wrong in a rehearsal: of the person who asks for it, of the job, or of the driver."""

from __future__ import annotations

from gate.errors import GateError


class RehearsalError(GateError):
    """The rehearsal cannot begin; the message says where the fault is and what to do."""


class BuildError(GateError):
    """Ends the job for good; `exit_code` is None where GitLab gets none."""

    def __init__(self, message: str, *, exit_code: int | None = None, reason: str = "script_failure") -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.reason = reason


class DriverError(GateError):
    """A system failure: in prepare it is tried again."""
