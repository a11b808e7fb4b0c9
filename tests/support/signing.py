"""Keys that sign, made with the real ssh-keygen, as a person at home has them."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from gate.votes import signed
from tests.support.tools import need

if TYPE_CHECKING:
    from pathlib import Path

    from gate.store.request import Request

NAMESPACE = "gate-approval@test.example"


class Key(NamedTuple):
    """A key pair: the private half's file, and the public half as gate.yaml has it."""

    file: Path
    public: str

    @property
    def fingerprint(self) -> str:
        """As `ssh-keygen -l` shows it."""
        listed = subprocess.run(["ssh-keygen", "-lf", f"{self.file}.pub"], capture_output=True, text=True, check=True)
        return listed.stdout.split()[1]

    def armour(self, statement: bytes, namespace: str = NAMESPACE) -> bytes:
        """The signature of a statement."""
        command = ["ssh-keygen", "-q", "-Y", "sign", "-f", str(self.file), "-n", namespace]
        return subprocess.run(command, input=statement, capture_output=True, check=True).stdout

    def drop(self, statement: bytes, namespace: str = NAMESPACE) -> bytes:
        """A whole signed drop."""
        return statement + b"\n" + self.armour(statement, namespace)


def new_key(directory: Path, kind: str = "ed25519", name: str = "key") -> Key:
    """Make a key without a passphrase."""
    need("ssh-keygen")
    file = directory / f"{name}-{kind}"
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "", "-f", str(file)], check=True)
    return Key(file, " ".join(file.with_name(f"{file.name}.pub").read_text(encoding="ascii").split()[:2]))


def statement_for(request: Request, /, **changes: Any) -> bytes:
    """alice's approval of a request, good for an hour."""
    statement = signed.Statement(
        request=request.key,
        digest=request.opened["digest"],
        decision="approve",
        person="alice",
        expires_s=int(time.time()) + 3600,
        comment="",
    )
    return signed.make(statement._replace(**changes))
