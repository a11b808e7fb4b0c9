"""GitLab's Cancel, as something that a signal handler may press and a select() may wait for."""

from __future__ import annotations

import os


class Cancel:
    """Pressed once: the job is cancelled, but after_script still runs. Pressed again: everything stops (force cancel).

    `set` only writes to an eventfd, so it may be called from a signal handler or another thread.
    """

    def __init__(self) -> None:
        flags = os.EFD_CLOEXEC | os.EFD_NONBLOCK
        self.cancel_fd = os.eventfd(0, flags)
        self.abort_fd = os.eventfd(0, flags)
        self._presses = 0

    def set(self) -> None:
        """Press it."""
        self._presses += 1
        os.eventfd_write(self.cancel_fd if self._presses == 1 else self.abort_fd, 1)

    @property
    def is_set(self) -> bool:
        """Whether it was pressed at all; GitLab then shows the job as cancelled, whatever the runner says of it."""
        return self._presses > 0

    def close(self) -> None:
        """Give the descriptors back."""
        os.close(self.cancel_fd)
        os.close(self.abort_fd)
