"""A host with nothing of ours: the machine's programs, and its own /etc, /opt, /home, /run, /var/lib and /usr/local.

A mount namespace and a process-id namespace of their own, so users, units and programs can be installed as root would
on a real host, and all of it is gone with the test. Needs root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from types import TracebackType
    from typing import Self

IS_ROOT = os.geteuid() == 0
OWN = ("etc", "opt", "home", "run", "srv", "var/lib", "var/mail", "usr/local")
STEP_S = 300
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
_OURS = ("gitlab-gate", "gitlab-job", "deployer")  # on a machine where somebody tried the README by hand


class BareHost:
    """Such a host; its directories lie below `scratch`. `programs` are copied into its /usr/local/bin."""

    def __init__(self, scratch: Path, *, programs: Iterable[str] = (), people: Iterable[str] = ()) -> None:
        if not IS_ROOT:
            pytest.skip("NOT ROOT: nothing is installed on a bare host; run the tests as root")
        self.top = scratch / "host"
        for name in OWN:
            (self.top / name).mkdir(parents=True, mode=0o755)
        subprocess.run(["cp", "-a", "/etc/.", str(self.top / "etc")], check=True)
        for name in ("gitlab-runner", "gitlab-runner-gate"):
            shutil.rmtree(self.top / "etc" / name, ignore_errors=True)
        (self.top / "usr" / "local" / "bin").mkdir()
        for program in programs:
            shutil.copy(program, self.top / "usr" / "local" / "bin")
        self._holder = self._hold()
        self.run("; ".join(f"userdel {user} 2>/dev/null || true" for user in _OURS))
        self.run("groupdel gate-approvers 2>/dev/null || true")
        for person in people:
            self.run(f"userdel {person} 2>/dev/null || true; useradd --create-home {person}", check=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _t: TracebackType | None
    ) -> None:
        self._holder.kill()  # unshare takes pid 1 of the namespace along, and with it every process there
        self._holder.wait()

    def path(self, name: str) -> Path:
        """Where a file of the host, by its whole path there, lies for us."""
        return self.top / name.lstrip("/")

    def words(self, command: str, *, user: str = "root") -> list[str]:
        """The command line that runs `command` there by sh, as that user, with their groups."""
        space = f"/proc/{self._holder.pid}/ns"
        enter = ["nsenter", f"--mount={space}/mnt", f"--pid={space}/pid_for_children", "--wd=/", "--"]
        become = [] if user == "root" else ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--"]
        return [*enter, *become, "sh", "-ec", command]

    def run(
        self, command: str, *, user: str = "root", check: bool = False, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run `command` there to its end; `check`: it must succeed."""
        home = "/root" if user == "root" else f"/home/{user}"
        words, env = self.words(command, user=user), {**_ENVIRONMENT, "HOME": home, **env}
        done = subprocess.run(
            words, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=STEP_S
        )
        assert not check or done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done

    def start(self, command: str, *, log: Path, **env: str) -> subprocess.Popen[bytes]:
        """Start `command` there as root; what it says goes into `log`."""
        with log.open("ab") as out:
            return subprocess.Popen(
                self.words(command), env={**_ENVIRONMENT, **env}, stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )

    def _hold(self) -> subprocess.Popen[str]:
        binds = " && ".join(f"mount --bind {self.top / name} /{name}" for name in OWN)
        script = f"{binds} && mount -t proc proc /proc && echo held && exec sleep infinity"
        words = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script]
        holder = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        assert holder.stdout is not None
        with holder.stdout as said:
            is_held = said.readline() == "held\n"
        if not is_held:
            holder.wait()
            pytest.skip("NO MOUNT NAMESPACE can be made here: nothing is installed on a bare host")
        return holder
