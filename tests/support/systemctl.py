"""What `systemctl enable --now` does with our units, for a host without systemd: run as a program of its own.

Sockets are made as their units say, and handed over with the service that they belong to (sd_listen_fds(3)).
"""

import configparser
import grp
import os
import pwd
import shlex
import socket
import sys
from pathlib import Path

UNITS = Path("/etc/systemd/system")
FIRST_HANDED_OVER = 3


def unit(name: str) -> configparser.ConfigParser:
    parsed = configparser.ConfigParser(strict=False, interpolation=None)
    parsed.optionxform = str  # type: ignore[method-assign,assignment]
    if not parsed.read(UNITS / name):
        sys.exit(f"Failed to enable unit: Unit file {name} does not exist.")
    return parsed


def listen(name: str) -> list[socket.socket]:
    """One socket for each `ListenStream`, in their order; a parser would keep the last one only."""
    lines = (UNITS / name).read_text(encoding="utf-8").splitlines()
    paths = [Path(line.partition("=")[2].strip()) for line in lines if line.startswith("ListenStream=")]
    wanted = unit(name)["Socket"]
    return [listen_at(path, grp.getgrnam(wanted["SocketGroup"]).gr_gid, int(wanted["SocketMode"], 8)) for path in paths]


def listen_at(path: Path, gid: int, mode: int) -> socket.socket:
    path.parent.mkdir(mode=0o755, exist_ok=True)
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(path))
    os.chown(path, 0, gid)
    path.chmod(mode)
    made.listen()
    return made


def start(name: str, sockets: list[socket.socket]) -> None:
    wanted = unit(name)["Service"]
    if os.fork():
        return
    os.setsid()
    log = os.open(f"/run/{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for n, each in enumerate(sockets):
        os.dup2(each.fileno(), FIRST_HANDED_OVER + n)
        os.set_inheritable(FIRST_HANDED_OVER + n, True)  # which dup2 onto itself leaves as it is
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    user = pwd.getpwnam(wanted["User"])
    os.initgroups(user.pw_name, user.pw_gid)
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    os.umask(int(wanted["UMask"], 8))
    os.environ.update(LISTEN_FDS=str(len(sockets)), LISTEN_PID=str(os.getpid()))
    words = shlex.split(wanted["ExecStart"])
    os.execv(words[0], words)  # noqa: S606 - that is what a unit asks for


if __name__ == "__main__":
    if sys.argv[1:3] == ["enable", "--now"]:
        names = sys.argv[3:]
        handed_over = [each for name in names if name.endswith(".socket") for each in listen(name)]
        for service in [name for name in names if name.endswith(".service")]:
            start(service, handed_over)
    elif sys.argv[1:] != ["daemon-reload"]:
        sys.exit(f"systemctl: only what README asks for is there, not {sys.argv[1:]}")
