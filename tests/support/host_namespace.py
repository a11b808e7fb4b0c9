"""A host of its own for a test that makes users: a mount namespace with a copy of /etc, and an empty /home, /root and /var/lib.

What is made there is seen from outside under `base`, and nothing of it is on the real host: all else is read-only
there. Its processes are in a namespace of their own, too, and end with it.
"""

from __future__ import annotations

import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.machine import SHUT
from tests.support.shared import made_once
from tests.support.site import ENTRY, IS_ROOT

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_OURS = ("gitlab-gate", "gitlab-job", "gate-approvers", "deployer", "alice", "bob", "carol", "dora")
GATE = f"import sys; sys.argv[0] = 'gate'; sys.path.insert(0, {str(ENTRY.parent)!r}); import gitlab_runner_gate; gitlab_runner_gate.gate_main()"
# Most of the files under /etc: copied, they would take longer than most tests.
_ONLY_READ = [name for name in ("alternatives", "fonts", "ssl", "X11") if Path("/etc", name).is_dir()]
Place = tuple[str, str, str, str]


def copy_etc(copy: Path) -> None:
    """Fill `copy` with this machine's /etc, without gitlab-runner and the gate, and without what is large and only read."""
    left_out = {"gitlab-runner", "gitlab-runner-gate", *_ONLY_READ}
    entries = [str(entry) for entry in Path("/etc").iterdir() if entry.name not in left_out]
    subprocess.run(["cp", "-a", "--", *entries, str(copy)], check=True)
    for name in _ONLY_READ:
        (copy / name).mkdir()


def mounts_of_etc(copy: Path) -> list[str]:
    """Commands that show in `copy` what copy_etc left out; to be run in a mount namespace."""
    return [f"mount -o bind,ro /etc/{name} {copy / name}" for name in _ONLY_READ]


class PrivateHost:
    """Users alice, bob and carol, and nothing of a gate's; /usr/local/sbin, the first of root's PATH, is its own."""

    own: tuple[str, ...] = ("etc", "home", "root", "run", "var/lib", "usr/local/sbin")

    def __init__(self) -> None:
        if not IS_ROOT:
            pytest.skip("not root: nothing that makes users is tested")
        template = made_once("-".join(["host", *self.own]).replace("/", "_"), self._make_template)
        self.base = Path(tempfile.mkdtemp(prefix="gate-host-"))
        self.base.chmod(0o755)
        subprocess.run(["cp", "-a", f"{template}/.", str(self.base)], check=True)
        self._begin()

    def _make_template(self, base: Path) -> None:
        """A host to copy, since making its users takes longer than most tests."""
        self.base = base
        for name in self.own:
            (base / name).mkdir(parents=True)
        copy_etc(base / "etc")
        for name in ("passwd", "shadow", "group", "gshadow", "subuid", "subgid"):
            self._without_ours(base / "etc" / name)
        self._begin()
        try:
            for name in ("alice", "bob", "carol"):
                self.run(["useradd", "--create-home", name], check=True)
            probe = [sys.executable, "-I", "-c", f"import click; open({str(ENTRY)!r})"]
            usable = self.run(probe, user="alice").returncode == 0
        finally:
            self._end()
        if not usable:
            pytest.skip(
                f"{sys.executable} or {ENTRY.parent} cannot be used by other users: try PYTHON=/usr/bin/python3"
            )

    def _begin(self) -> None:
        binds = [*mounts_of_etc(self.base / "etc"), *(f"mount --rbind {self.base / name} /{name}" for name in self.own)]
        script = " && ".join([*binds, *SHUT, "mount -t proc proc /proc", "echo ready", "exec sleep infinity"])
        command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script]
        self._holder = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != b"ready\n":
            said = self._holder.communicate(timeout=60)[1].decode()
            pytest.skip(f"no mount namespace can be made here: {said.strip()}: nothing that makes users is tested")

    def _end(self) -> None:
        self._holder.kill()
        self._holder.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _t: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it; whatever was made there is gone."""
        self._end()
        shutil.rmtree(self.base, ignore_errors=True)

    def command(self, words: list[str], user: str | None = None) -> list[str]:
        """The command line that runs `words` there, as root or as `user`."""
        as_user = [] if user is None else ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--"]
        space = f"/proc/{self._holder.pid}/ns"
        return ["nsenter", f"--mount={space}/mnt", f"--pid={space}/pid_for_children", "--", *as_user, *words]

    def run(
        self, words: list[str], user: str | None = None, check: bool = False, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a command there to its end."""
        given = {"capture_output": True, "text": True, "timeout": 60, "env": ENVIRONMENT, **options}
        if "input" not in given:
            given["stdin"] = subprocess.DEVNULL
        return subprocess.run(self.command(words, user), check=check, **given)

    def gate(self, *words: str, user: str | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run the `gate` command there."""
        return self.run([sys.executable, "-I", "-c", GATE, *words], user, **options)

    def at(self, path: str) -> Path:
        """Where a path of that host is seen from outside."""
        return self.base / path.lstrip("/")

    def tree(self, *paths: str) -> dict[str, Place]:
        """All that is at and under these paths: kind, owner, group and mode of each."""
        names = self._names("passwd"), self._names("group")
        found = {}
        for path in paths:
            top = self.at(path)
            for each in [top, *top.rglob("*")] if top.exists() else []:
                state = each.lstat()
                where = f"{path}{str(each).removeprefix(str(top))}"
                kind, mode = "d" if stat.S_ISDIR(state.st_mode) else "-", f"{stat.S_IMODE(state.st_mode):04o}"
                found[where] = (kind, names[0][state.st_uid], names[1][state.st_gid], mode)
        return found

    def text(self, path: str) -> str:
        """The text of a file there."""
        return self.at(path).read_text(encoding="utf-8")

    def _names(self, database: str) -> dict[int, str]:
        lines = [line.split(":") for line in self.text(f"/etc/{database}").splitlines()]
        return {int(fields[2]): fields[0] for fields in lines}

    def _without_ours(self, path: Path) -> None:
        if path.exists():
            lines = path.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if line.split(":")[0] not in _OURS]
            path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")


ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/", "LANG": "C.UTF-8"}
