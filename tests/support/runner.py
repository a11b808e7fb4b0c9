"""A real gitlab-runner as a child process of the tests."""

from __future__ import annotations

import functools
import os
import select
import shutil
import signal
import subprocess
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from executor.rehearsal.version import chosen
from tests.support.wiring import DriverWiring, write_config

if TYPE_CHECKING:
    from collections.abc import Mapping

MISSING = (
    "no gitlab-runner on PATH: the real-runner half of the cases is not run; "
    "install GitLab's gitlab-runner package or set GITLAB_RUNNER"
)
MARK = "GATE_TEST_RUNNER"


def find_runner() -> str | None:
    """The path of the binary: what GITLAB_RUNNER names, else what is on PATH; None where there is none."""
    return shutil.which(os.environ.get("GITLAB_RUNNER") or "gitlab-runner")


@functools.cache
def played_version() -> str:
    """The version that a rehearsal plays unless it is told one; asked once, since a runner takes a while to say it."""
    return chosen(None)


class Runner:
    """`gitlab-runner run` on one config.toml; `url` is the (fake) GitLab's, `env` adds to the runner's environment."""

    def __init__(
        self,
        url: str,
        wiring: DriverWiring,
        scratch: Path,
        *,
        env: Mapping[str, str] | None = None,
        concurrent: int = 4,
        shutdown_timeout: int = 2,
    ) -> None:
        self.config_file = scratch / "config.toml"
        self.shutdown_timeout = shutdown_timeout
        self._log = scratch / "runner.log"
        self._mark = uuid.uuid4().hex
        self._env = {
            **os.environ,
            "HOME": str(scratch),
            "TMPDIR": str(scratch / "tmp"),
            MARK: self._mark,
            **(env or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None
        (scratch / "tmp").mkdir(exist_ok=True)
        write_config(
            self.config_file, wiring, url=url, scratch=scratch, concurrent=concurrent, shutdown_timeout=shutdown_timeout
        )

    def start(self) -> None:
        binary = find_runner()
        if binary is None:
            raise FileNotFoundError(MISSING)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [binary, "run", "-c", str(self.config_file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._env,
                process_group=0,
            )

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def kill(self, sig: signal.Signals) -> None:
        """Sends `sig` and waits until the runner is gone; drivers that it leaves behind live on."""
        if self._process is None:
            return
        self._process.send_signal(sig)
        try:
            self._process.wait(self.shutdown_timeout + 15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def stop(self) -> None:
        """Ends the runner, and whatever it started that still runs."""
        self.kill(signal.SIGKILL)
        end_marked(self._mark)


def end_marked(mark: str) -> None:
    """SIGKILLs every process whose environment bears this run's own mark: drivers left behind, and their children."""
    wanted = f"{MARK}={mark}".encode()
    for entry in Path("/proc").iterdir():
        with suppress(OSError):  # it may end by itself meanwhile
            if entry.name.isdigit() and wanted in (entry / "environ").read_bytes().split(b"\0"):
                _kill(int(entry.name))


def _kill(pid: int) -> None:
    fd = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(fd, signal.SIGKILL)
        select.select([fd], [], [], 5)
    finally:
        os.close(fd)
