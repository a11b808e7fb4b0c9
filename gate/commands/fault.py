"""The one fatal error of the command line."""

from gate.errors import GateError


class CommandError(GateError):
    """What was asked cannot be done; the message is for people, and the exit code 1."""
