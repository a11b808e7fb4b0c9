"""The approval page: one process of its own user for all jobs. It reads, and leaves votes; it never decides."""

SOCKET_MODE = 0o660  # of its Unix sockets: for their owner, and for the group that may connect
