"""The approval page: one process of its own user for all jobs. It reads, and leaves votes; it never decides."""
