"""The one fatal error of the command line."""


class CommandError(Exception):
    """What was asked cannot be done; the message is for people, and the exit code 1."""
