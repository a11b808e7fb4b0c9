"""`gate user`: passwords for the page, given by root or by the page's user, and written by nobody but the latter (threats T12)."""

from __future__ import annotations

import os
import pty
import pwd
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from config.load import load_policy
from gate.page.auth.accounts import Accounts, is_right
from gate.store import layout
from tests.support.gate_state import fork, mode_of
from tests.support.page import PASSWORD, PageServer
from tests.support.peers import ended
from tests.support.site import APPROVER, CHECKOUT, ENTRY, IS_ROOT, PAGE_USER, USERS, Site

if TYPE_CHECKING:
    from collections.abc import Iterator

OTHER = f"{PASSWORD}, another"
_GATE = (
    f"import sys; sys.path.insert(0, {str(ENTRY.parent)!r}); import gitlab_runner_gate; gitlab_runner_gate.gate_main()"
)


class Desk:
    """A gate with a page, whose state was made by the first job."""

    def __init__(self, site: Site) -> None:
        self.site = site.with_page(listen="127.0.0.1:8420")
        policy, _digest = load_policy(str(site.yaml))
        layout.make(policy)
        self.accounts = Accounts(layout.page(policy["state_dir"]))
        self.directory = Path(self.accounts.directory)

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-I", "-c", _GATE, "--config", str(self.site.yaml), "user", *words]

    def run(
        self, *words: str, password: str | bytes = PASSWORD, command: list[str] | None = None
    ) -> tuple[int, str, str]:
        """As the operator: root, where we are; (exit code, stdout, stderr)."""
        stdin = password if isinstance(password, bytes) else f"{password}\n".encode()
        done = subprocess.run(
            command or self.command(*words), input=stdin, capture_output=True, timeout=60, check=False, cwd="/"
        )
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def add(self, person: str = APPROVER) -> None:
        """Give somebody a password beforehand, as the page's user."""
        user = pwd.getpwnam(PAGE_USER)

        def child() -> bool:
            if IS_ROOT:
                os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
                os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
            self.accounts.set_password(person, PASSWORD)
            return True

        assert ended(fork(child))

    def lets_in(self, password: str = PASSWORD, person: str = APPROVER) -> bool:
        return is_right(self.accounts.get(person), password)


@pytest.fixture
def desk() -> Iterator[Desk]:
    if not usable_by_others():
        pytest.skip(f"{sys.executable} or {CHECKOUT} cannot be used by other users: try PYTHON=/usr/bin/python3")
    with Site() as site:
        yield Desk(site)


@cache
def usable_by_others() -> bool:
    """Whether the page's user, which the command turns into, can run this Python and read this checkout."""
    with Site() as site:
        try:
            return Desk(site).run(command=PageServer(site).command("user", "list"))[0] == 0
        except OSError:
            return False


def test_a_password_is_given_and_is_the_page_s_user_s_file(desk: Desk) -> None:
    assert desk.run("add", APPROVER, "--password-stdin") == (
        0,
        f"{APPROVER} can log in at http://gate.localhost:8420/\n",
        "",
    )
    uid, gid = pwd.getpwnam(PAGE_USER)[2:4]
    for path, mode in ((desk.directory, 0o700), (desk.directory / f"{APPROVER}.json", 0o600)):
        assert (path.stat().st_uid, path.stat().st_gid, mode_of(path)) == (uid, gid, mode)
    assert desk.lets_in()


def test_the_page_s_user_can_give_one_too(desk: Desk) -> None:
    command = PageServer(desk.site).command("user", "add", APPROVER, "--password-stdin")
    assert desk.run(command=command)[0] == 0
    assert desk.lets_in()


def test_nobody_else_can(desk: Desk) -> None:
    if not IS_ROOT:
        pytest.skip("another user needs root")
    for words in (["add", "alice", "--password-stdin"], ["passwd", "alice"], ["remove", "alice"], ["list"]):
        done = desk.site.gate("alice", "user", *words)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"gate: only root and {PAGE_USER} can do that: try sudo\n"
    assert not desk.directory.exists()


def test_another_password_takes_the_place_of_the_first(desk: Desk) -> None:
    desk.add()
    code, said, _ = desk.run("passwd", APPROVER, "--password-stdin", password=OTHER)
    assert (code, said) == (0, f"{APPROVER} has another password, and has to log in again\n")
    assert (desk.lets_in(OTHER), desk.lets_in()) == (True, False)


def test_a_password_can_be_taken_away_once(desk: Desk) -> None:
    desk.add()
    assert desk.run("remove", APPROVER) == (0, f"{APPROVER} cannot log in any more\n", "")
    assert desk.run("remove", APPROVER) == (1, "", f"gate: {APPROVER} has no password\n")
    assert (desk.lets_in(), os.listdir(desk.directory)) == (False, [])


def test_everybody_who_has_one_is_listed(desk: Desk) -> None:
    people = sorted(USERS)
    for person in reversed(people):
        desk.add(person)
    assert desk.run("list") == (0, "".join(f"{person}\n" for person in people), "")


def test_whoever_has_gone_from_gate_yaml_is_marked_and_can_be_removed(desk: Desk) -> None:
    desk.add()
    desk.site.config["people"]["erin"] = desk.site.config["people"].pop(APPROVER)
    desk.site.config["groups"]["release-managers"] = ["erin"]
    desk.site.write()
    assert desk.run("list")[1] == f"{APPROVER}  (nobody in gate.yaml, and cannot log in)\n"
    assert desk.run("remove", APPROVER)[0] == 0


REFUSED: dict[str, tuple[list[str], str | bytes, str]] = {
    "somebody unknown": (["add", "mallory"], PASSWORD, "mallory is not in gate.yaml, which names "),
    "a path": (["add", "../../x"], PASSWORD, "../../x is not in gate.yaml"),
    "a name that would write over the terminal": (["add", "x\x1b[2J"], PASSWORD, "x\\x1b[2J is not in gate.yaml"),
    "somebody who has one": (
        ["add", APPROVER],
        OTHER,
        f"{APPROVER} has a password already: `gate user passwd {APPROVER}`",
    ),
    "a short one": (["passwd", APPROVER], "x" * 11, "a password has at least 12 characters; nothing was changed"),
    "none": (["passwd", APPROVER], b"", "a password has at least 12 characters"),
    "one that is too long": (["passwd", APPROVER], "x" * 1025, "a password has at most 1024 bytes"),
    "no text": (["passwd", APPROVER], b"correct horse \xff\xfe battery\n", "a password is UTF-8 text"),
    "whoever has none": (["passwd", "mallory"], OTHER, "mallory has no password: `gate user add` gives one"),
    "a path to change": (["passwd", f"../accounts/{APPROVER}"], OTHER, f"../accounts/{APPROVER} has no password"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_told_in_one_line_and_changes_nothing(desk: Desk, case: str) -> None:
    words, password, told = REFUSED[case]
    desk.add()
    before = (desk.directory / f"{APPROVER}.json").read_bytes()
    code, said, error = desk.run(*words, "--password-stdin", password=password)
    assert (code, said, error.count("\n")) == (1, "", 1)
    assert error.startswith(f"gate: {told}")
    assert [(path.name, path.read_bytes()) for path in desk.directory.iterdir()] == [(f"{APPROVER}.json", before)]


@pytest.mark.parametrize("words", [["add", APPROVER], ["passwd", APPROVER], ["remove", APPROVER], ["list"]])
def test_without_a_page_there_is_nothing_to_log_in_to(desk: Desk, words: list[str]) -> None:
    del desk.site.config["page"]
    desk.site.write()
    code, _, error = desk.run(*words)
    assert (code, error) == (1, f"gate: {desk.site.yaml} has no page: add one, see docs/how-to/page.md\n")


def test_a_page_without_a_door_for_passwords_is_told_of(desk: Desk) -> None:
    desk.site.config["page"] = {"user": PAGE_USER, "socket": str(desk.site.run / "page.sock")}
    desk.site.write()
    code, _, error = desk.run("add", APPROVER, "--password-stdin")
    assert (code, error) == (0, "note: page in gate.yaml has no `listen`, so there is nowhere to log in yet\n")


def test_where_the_page_has_no_directory_yet_its_command_is_told(desk: Desk) -> None:
    desk.directory.parent.rmdir()
    code, _, error = desk.run("add", APPROVER, "--password-stdin")
    assert code == 1
    assert "the first job makes it where the runner is root, or: install -d -o" in error


def test_names_that_others_put_there_do_nothing_to_a_terminal(desk: Desk) -> None:
    desk.add()
    (desk.directory / "x\x1b[2J\n.json").touch()
    assert "\x1b" not in desk.run("list")[1]
    assert desk.run("list")[1].splitlines()[1].startswith("x\\x1b[2J\\n ")


PLANTED = {
    "add, over an account": ("add", f"{APPROVER}.json"),
    "add, where it writes first": ("add", f"{APPROVER}.json.new"),
    "add, for the directory": ("add", ""),
    "passwd, over an account": ("passwd", f"{APPROVER}.json"),
    "passwd, where it writes first": ("passwd", f"{APPROVER}.json.new"),
    "passwd, for the directory": ("passwd", ""),
    "remove, over an account": ("remove", f"{APPROVER}.json"),
}


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("case", PLANTED)
def test_a_link_that_the_page_s_user_planted_leads_root_nowhere(desk: Desk, case: str, exists: bool) -> None:
    if not IS_ROOT:
        pytest.skip("another user needs root")
    word, name = PLANTED[case]
    kept = desk.site.base / "root's"
    kept.mkdir(mode=0o755)
    if exists:
        (kept / "file").write_text("kept")
    desk.add(APPROVER if word != "add" else list(USERS)[1])
    plant(desk, name, kept / "file" if name else kept)
    _, _, error = desk.run(word, APPROVER, *(["--password-stdin"] if word != "remove" else []), password=OTHER)
    assert "Traceback" not in error
    found = [(path.name, path.read_text(), path.stat().st_uid) for path in kept.iterdir()]
    assert found == ([("file", "kept", 0)] if exists else [])


def plant(desk: Desk, name: str, target: Path) -> None:
    """A link in the place of an account, or of their directory."""
    path = desk.directory / name if name else desk.directory
    if not name:
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.symlink_to(target)
    os.lchown(path, pwd.getpwnam(PAGE_USER).pw_uid, -1)


def typed(command: list[str], *lines: str) -> tuple[int, str]:
    """Type lines as a person at a terminal does, each when it is asked for.

    (exit code, all that stood on the screen).
    """
    pid, terminal = pty.fork()
    if not pid:
        os.execv(command[0], command)  # noqa: S606
    screen = ""
    todo = list(lines)
    while piece := _read(terminal):
        screen += piece
        if todo and screen.endswith(": "):
            os.write(terminal, f"{todo.pop(0)}\n".encode())
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), screen


def _read(terminal: int) -> str:
    try:
        return os.read(terminal, 1024).decode()
    except OSError:  # EIO: the other side is closed
        return ""


def test_at_a_terminal_it_is_asked_for_twice_and_not_shown(desk: Desk) -> None:
    code, screen = typed(desk.command("add", APPROVER), PASSWORD, "a slip", PASSWORD, PASSWORD)
    assert code == 0, screen
    assert screen.count(f"Password for {APPROVER}: ") == 2
    assert PASSWORD not in screen
    assert desk.lets_in()
