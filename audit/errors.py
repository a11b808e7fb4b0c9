"""What goes wrong with an audit log."""


class AuditError(Exception):
    """The audit log could not be used; the message is one line for people."""
