"""What the errors of gate and executor have in common."""


class GateError(Exception):
    """Something could not be done; its text is one plain line for people."""
