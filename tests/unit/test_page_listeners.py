"""The listening sockets: whose they are, what stands in their place, and those that systemd hands over (threats T11)."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from config.page import link_socket_of
from gate.page.listeners import FIRST_FD, DoorError, open_doors
from tests.support.gate_state import IS_ROOT, fork, mode_of
from tests.support.peers import ended
from tests.support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gate.page.connection import Door

GID, PROXY_GID = (20_099, 20_098) if IS_ROOT else (os.getegid(), os.getegid())


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir(mode=0o755)
    return tmp_path / "run"


@pytest.fixture
def opened() -> Iterator[Callable[..., list[Door]]]:
    """open_doors, whose sockets are closed in the end."""
    doors: list[Door] = []

    def open_them(**page: Any) -> list[Door]:
        doors.extend(open_doors(policy(**page)))
        return doors

    yield open_them
    for door in doors:
        door.sock.close()


def policy(**page: Any) -> Any:
    empty = {"socket": None, "proxy_socket": None, "listen": None, "proxy_gid": PROXY_GID, "login_link": False}
    given = {name: plain(value) for name, value in page.items()}
    return {"approvers_gid": GID, "page": {**empty, "link_socket": link_socket_of(page), **given}}


def plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def test_login_links_have_a_socket_of_their_own_beside_the_page_s(run: Path, opened: Any) -> None:
    doors = opened(socket=run / "page.sock", login_link=True)
    assert [(door.kind, door.name) for door in doors] == [
        ("socket", f"{run}/page.sock"),
        ("link_socket", f"{run}/page-link.sock"),
    ]
    assert (mode_of(run / "page-link.sock"), (run / "page-link.sock").stat().st_gid) == (0o660, GID)


def test_a_socket_for_login_links_that_cannot_be_made_is_told_with_both_ways_out(run: Path, opened: Any) -> None:
    (run / "page-link.sock").mkdir()
    with pytest.raises(DoorError, match=r"page-link\.sock .*copy this version's gate-page\.socket .*login_link: false"):
        opened(socket=run / "page.sock", login_link=True)


def test_what_systemd_hands_over_for_links_is_taken_though_none_are_wanted(run: Path) -> None:
    def child() -> bool:
        for descriptor, name in enumerate(("page.sock", "page-link.sock"), FIRST_FD):
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(str(run / name))
                made.listen()
                os.dup2(made.fileno(), descriptor)
        os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2"}
        return [door.kind for door in open_doors(policy(socket=run / "page.sock"))] == ["socket", "link_socket"]

    assert ended(fork(child))


@pytest.mark.parametrize("umask", [0, 0o077, 0o777])
def test_a_unix_socket_is_for_its_group_and_nobody_else(run: Path, opened: Any, umask: int) -> None:
    before = os.umask(umask)
    try:
        opened(socket=run / "page.sock", proxy_socket=run / "proxy.sock")
        assert os.umask(before) == umask
    finally:
        os.umask(before)
    for name, gid in (("page.sock", GID), ("proxy.sock", PROXY_GID)):
        assert mode_of(run / name) == 0o660
        assert ((run / name).stat().st_uid, (run / name).stat().st_gid) == (os.geteuid(), gid)


def test_all_doors_listen_and_have_their_names(run: Path, opened: Any) -> None:
    port = free_port()
    opened(socket=run / "page.sock", proxy_socket=run / "proxy.sock", listen=["127.0.0.1", port])
    doors = opened(listen=["::1", free_port()])
    assert [door.kind for door in doors] == ["socket", "proxy_socket", "listen", "listen"]
    assert [door.name for door in doors[:3]] == [f"{run}/page.sock", f"{run}/proxy.sock", f"127.0.0.1:{port}"]
    for door in doors:
        assert door.sock.getblocking() is False
        with socket.socket(door.sock.family) as client:
            client.connect(door.sock.getsockname())


def test_without_an_approvers_group_the_socket_is_its_user_s_alone(run: Path) -> None:
    (door,) = open_doors(policy(socket=run / "page.sock") | {"approvers_gid": None})
    door.sock.close()
    assert mode_of(run / "page.sock") == 0o600


def test_a_socket_that_a_page_of_before_has_left_is_replaced(run: Path, opened: Any) -> None:
    with socket.socket(socket.AF_UNIX) as before:
        before.bind(str(run / "page.sock"))
        before.listen()
    opened(socket=run / "page.sock")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(run / "page.sock"))


def test_a_socket_where_a_page_answers_is_left_alone(run: Path, opened: Any) -> None:
    opened(socket=run / "page.sock")
    made = (run / "page.sock").stat().st_ino
    with pytest.raises(DoorError, match="another page listens there already"):
        open_doors(policy(socket=run / "page.sock"))
    assert (run / "page.sock").stat().st_ino == made


def test_a_socket_where_a_page_is_too_busy_to_answer_is_left_alone(run: Path) -> None:
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as client:
        busy.bind(str(run / "page.sock"))
        busy.listen(0)
        client.connect(str(run / "page.sock"))
        with pytest.raises(DoorError, match="another page listens there already"):
            open_doors(policy(socket=run / "page.sock"))


STRANGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a file": (lambda path: path.write_text("kept"), "is there and is no socket: move it away"),
    "a directory": (lambda path: path.mkdir(), "is there and is no socket"),
    "a link": (lambda path: path.symlink_to("/dev/null"), "is there and is no socket"),
    "a link to nothing": (lambda path: path.symlink_to("nothing"), "is there and is no socket"),
    "a pipe": (os.mkfifo, "is there and is no socket"),
    "a directory for all": (lambda path: path.parent.chmod(0o777), r"run can be written by others .*chmod go-w"),
    "a directory for a group": (lambda path: path.parent.chmod(0o775), r"run can be written by others"),
    "a directory above for a group": (lambda path: path.parent.parent.chmod(0o770), "can be written by others"),
    "no directory": (lambda path: path.parent.rmdir(), r"there is no directory .*run: install -d -o [0-9]+ -m 0755"),
    "a directory that is elsewhere": (lambda path: path.parent.rename(path.parent.with_name("x")), "there is no directory"),
}  # fmt: skip


@pytest.mark.parametrize("case", STRANGE)
def test_what_stands_in_the_way_is_told_and_left_alone(run: Path, case: str) -> None:
    make, told = STRANGE[case]
    make(run / "page.sock")
    before = sorted((path.name, path.lstat().st_ino) for path in run.parent.rglob("*"))
    with pytest.raises(DoorError, match=told):
        open_doors(policy(socket=run / "page.sock"))
    assert sorted((path.name, path.lstat().st_ino) for path in run.parent.rglob("*")) == before


def test_a_directory_of_somebody_else_s_is_told(run: Path) -> None:
    if not IS_ROOT:
        pytest.skip("a directory of another user needs root")
    os.chown(run, 20_001, -1)
    with pytest.raises(DoorError, match="run belongs to uid 20001"):
        open_doors(policy(socket=run / "page.sock"))


def test_a_path_that_is_too_long_is_told(run: Path) -> None:
    deep = run / ("x" * 120)
    deep.mkdir()
    with pytest.raises(DoorError, match="path too long"):
        open_doors(policy(socket=deep / "page.sock"))


def test_a_group_that_the_page_s_user_is_not_in_is_told(run: Path) -> None:
    if IS_ROOT:
        pytest.skip("root may give a file to any group")
    with pytest.raises(DoorError, match="be in its group"):
        open_doors(policy(socket=run / "page.sock") | {"approvers_gid": 0})


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_port_that_is_taken_is_told(host: str) -> None:
    with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(DoorError, match=f"{host}:{port}: address already in use; name another in page.listen"):
            open_doors(policy(listen=[host, port]))


def test_an_address_that_this_host_has_not_is_told() -> None:
    with pytest.raises(DoorError, match=r"192\.0\.2\.1:8420: cannot assign requested address"):
        open_doors(policy(listen=["192.0.2.1", 8420]))


def started_by_systemd(sockets: list[socket.socket], then: Callable[[], bool], **env: str) -> bool:
    """Whether `then` is true in a process that was handed these sockets, from descriptor 3 on (sd_listen_fds(3))."""

    def work() -> bool:
        aside = [os.dup2(os.dup(each.fileno()), 100 + n) for n, each in enumerate(sockets)]
        for n, each in enumerate(aside):
            os.dup2(each, FIRST_FD + n, inheritable=True)
        os.environ.update({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(sockets)), **env})
        return then()

    return ended(fork(work))


@pytest.fixture
def systemd_s(run: Path) -> Iterator[list[socket.socket]]:
    """A Unix and two TCP sockets that listen already."""
    with (
        socket.socket(socket.AF_UNIX) as unix,
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.create_server(("::1", 0), family=socket.AF_INET6) as tcp6,
    ):
        unix.bind(str(run / "page.sock"))
        unix.listen()
        yield [unix, tcp, tcp6]


def test_what_systemd_hands_over_is_told_apart_by_its_address(run: Path, systemd_s: list[socket.socket]) -> None:
    unix, tcp, tcp6 = systemd_s

    def then() -> bool:
        page = {"socket": run / "page.sock", "proxy_socket": run / "proxy.sock", "listen": list(tcp.getsockname())}
        doors = open_doors(policy(**page))
        assert [(door.kind, door.sock.fileno()) for door in doors][0::2] == [("socket", 4), ("listen", 3)]
        assert doors[1].name == f"{run}/proxy.sock"
        return not any(door.sock.getblocking() or os.get_inheritable(door.sock.fileno()) for door in doors)

    def then6() -> bool:
        (door,) = open_doors(policy(listen=list(tcp6.getsockname()[:2])))
        return door.sock.fileno() == FIRST_FD

    assert started_by_systemd([tcp, unix], then)
    assert started_by_systemd([tcp6], then6)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_socket_that_gate_yaml_does_not_name_is_told(run: Path, systemd_s: list[socket.socket], which: int) -> None:
    def then() -> bool:
        with pytest.raises(
            DoorError, match=r"systemd hands over a socket at .*, which page in gate\.yaml does not name"
        ):
            open_doors(policy(socket=run / "other.sock", listen=["127.0.0.1", 1]))
        return True

    assert started_by_systemd(systemd_s[which : which + 1], then)
    assert not (run / "other.sock").exists()


@pytest.mark.parametrize("env", [{"LISTEN_PID": "1"}, {"LISTEN_PID": ""}, {"LISTEN_FDS": "0"}])
def test_what_was_handed_to_another_process_is_not_taken(systemd_s: list[socket.socket], env: dict[str, str]) -> None:
    port = free_port()

    def then() -> bool:
        (door,) = open_doors(policy(listen=["127.0.0.1", port]))
        return door.name == f"127.0.0.1:{port}"

    assert started_by_systemd(systemd_s[1:2], then, **env)
