"""gate.yaml as it is now: looked at with each request, read again when it has changed."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from config.load import ConfigError, load_policy_as_reader
from config.page import absence

if TYPE_CHECKING:
    from gate.shapes import Policy


class Rulebook:
    """The policy, and what is wrong with a gate.yaml that was changed since.

    While `fault` is not empty, `policy` is that of the last sound file: enough to look at what waits, and for nothing
    else.
    """

    def __init__(self, config_file: str) -> None:
        """Read gate.yaml for the first time.

        Raises:
            ConfigError: it has faults.
        """
        self.config_file = config_file
        self.fault = ""
        self._identity = self._look()
        self._lock = asyncio.Lock()
        self.policy: Policy = load_policy_as_reader(config_file)[0]

    async def refresh(self) -> None:
        """Read gate.yaml again if it has changed, without holding up others."""
        if self._look() == self._identity:
            return
        async with self._lock:
            identity = self._look()
            if identity == self._identity:
                return
            try:
                policy = (await asyncio.to_thread(load_policy_as_reader, self.config_file))[0]
                self.fault = "" if policy["page"] else absence(policy, self.config_file)
                self.policy = policy if policy["page"] else self.policy
            except ConfigError as error:
                self.fault = str(error)
            self._identity = identity

    def _look(self) -> tuple[int, ...]:
        try:
            found = os.stat(self.config_file)
        except OSError:
            return ()
        return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
