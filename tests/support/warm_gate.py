"""The `gate` command with all that it needs imported, and forked for each use: importing takes longer than most tests.

`warm_gate.py DESCRIPTOR`, of a socket that keeps messages apart. On it comes, as JSON, a command to start, with the
descriptor of its log, or one to take leave of when it has ended; and goes, in turn, its process id or its exit status.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import socket
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import gitlab_runner_gate

_IMPORTED = ("executor.checks.command", "executor.rehearsal.command", "gate.commands", "gate.page.app")
_PR_SET_DUMPABLE = 4  # linux/prctl.h; a program that is executed is, and its own files in /proc are its user's
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def be(asked: dict[str, Any], log: int) -> None:
    """Be one command, to its end: what setpriv, a shell's redirections, and Python's -c would do."""
    if asked["user"] is not None:
        os.setgroups(asked["groups"])
        os.setresgid(*[asked["user"]["gid"]] * 3)
        os.setresuid(*[asked["user"]["uid"]] * 3)
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
    for number, descriptor in enumerate((os.open(os.devnull, os.O_RDONLY), log, log)):
        os.dup2(descriptor, number)
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.argv[1:] = asked["words"]
    exec(asked["prelude"], {})  # noqa: S102  as a test has written it
    gitlab_runner_gate.gate_main()


def main(channel: socket.socket) -> None:
    """Do what is asked, until nobody can ask any more."""
    while True:
        message, descriptors, _flags, _address = socket.recv_fds(channel, 1 << 20, 1)
        if not message:
            return
        asked = json.loads(message)
        if "ended" in asked:
            answer = os.waitstatus_to_exitcode(os.waitpid(asked["ended"], 0)[1])
        else:
            answer = os.fork()
            if answer == 0:
                channel.close()
                be(asked, *descriptors)
            os.close(*descriptors)
        channel.send(str(answer).encode())


if __name__ == "__main__":
    for _name in _IMPORTED:
        importlib.import_module(_name)
    main(socket.socket(fileno=int(sys.argv[1])))
