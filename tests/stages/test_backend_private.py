"""What one job leaves behind, another of the same user does not find; and what of a host a job is given on purpose."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from executor.shell import backend, work_tree
from gate import TOOL_PATH
from gate.store import layout
from tests.stages.test_backend_run import MODES, NOBODY, policy, skip_where_impossible, skip_without_root
from tests.stages.test_backend_run import passable as passable  # noqa: PLC0414  a fixture

UNIX_PATH_MAX = 107  # unix(7), without the NUL
IN_NAMESPACE = "pid_namespace"
# Each place where a job could leave something: how it does, and how another finds it (exit code 0: found).
PLACES = {
    "home": ("echo 33 >~/.gitconfig", "test -e ~/.gitconfig"),
    "the user database's home": ('echo 33 >"$OWN_HOME/.bashrc"', 'ls -A "$OWN_HOME" | grep .'),
    "/tmp": ("echo 33 >/tmp/left", "ls -A /tmp | grep left"),
    "/var/tmp": ("echo 33 >/var/tmp/left", "ls -A /var/tmp | grep left"),
    "TMPDIR": ("echo 33 >$TMPDIR/left", "ls -A $TMPDIR | grep left"),
    "/dev/shm": ("echo 33 >/dev/shm/left", "ls -A /dev/shm | grep left"),
    "/run/lock": ("echo 33 >/run/lock/left", "ls -A /run/lock | grep left"),
    "shared memory": ("ipcmk -M 1024", "ipcs -m | grep 0x"),
    "a semaphore": ("ipcmk -S 1", "ipcs -s | grep 0x"),
    "a message queue": ("ipcmk -Q", "ipcs -q | grep 0x"),
    "another job's tree": ("echo 33 >builds/left", 'ls "$STATE"/work | grep -v "^${PWD##*/}$"'),
    "another job's tree, by its name": ("echo 33 >builds/left", 'cat "$STATE/work/first/builds/left"'),
    "another project's cache": ('echo 33 >"$STATE/cache/first/left"', 'cat "$STATE"/cache/first/left'),
    "another project's cache, listed": ("true", 'ls "$STATE"/cache | grep first'),
    "the directory of all trees": ("true", 'touch "$STATE"/work/left'),
    "the directory of state": ("true", 'touch "$STATE"/left'),
    "what the gate keeps": ("true", 'ls -d "$STATE"/[!cw]*'),
}  # fmt: skip


class Two:
    """Two jobs of two projects, of one user, under one state_dir that has more in it; what is tried is `policy`'s."""

    def __init__(self, root: Path, mode: str = IN_NAMESPACE, **changes: object) -> None:
        skip_where_impossible(mode)
        self.root = root
        self.state = root / "state"
        self.home = root / "home"
        self.home.mkdir()
        self.backend = policy(mode, home=str(self.home), **changes)
        uid, gid = int(str(self.backend["uid"])), int(str(self.backend["gid"]))
        os.chown(self.home, uid, gid)
        for name in (".", "work", "cache", "jobs", "drop", "audit"):
            os.makedirs(self.state / name, 0o711, exist_ok=True)
        for name in ("first", "second"):
            backend.make_work(self.backend, self.work(name), self.cache(name))

    def work(self, name: str) -> str:
        return str(self.state / "work" / name)

    def cache(self, name: str) -> str:
        return str(self.state / "cache" / name)

    def run(self, name: str, text: str) -> int:
        script = self.root / f"{name}.sh"
        script.write_text(f"#!/usr/bin/env bash\n\n{text}\n")
        env = {"STATE": str(self.state), "OWN_HOME": str(self.home)}
        return backend.run_script(self.backend, str(script), self.work(name), self.cache(name), env)


@pytest.mark.parametrize("place", PLACES)
def test_nothing_of_an_earlier_job_is_found_by_another(passable: Path, place: str) -> None:
    two = Two(passable)
    leave, find = PLACES[place]
    assert two.run("first", leave) == 0
    assert two.run("second", find) != 0
    backend.remove_work(two.work("first"))
    assert two.run("second", find) != 0


def test_session_keyring_is_the_stages_own(passable: Path) -> None:
    two = Two(passable)
    for name in ("first", "second"):
        assert two.run(name, f"grep -c . /proc/keys; cat /proc/keys >{two.work(name)}/keys || true") in (0, 1)
    seen = [Path(two.work(name), "keys").read_text().split("\n") for name in ("first", "second")]
    sessions = [{line.split()[0] for line in lines if " _ses" in line} for lines in seen]
    if not any(sessions):
        pytest.skip("this kernel has no /proc/keys")
    assert sessions[0].isdisjoint(sessions[1])


def test_a_terminal_of_another_jobs_is_not_to_be_seen(passable: Path) -> None:
    two = Two(passable)
    held, end = os.openpty()
    ours = os.ttyname(end)
    os.chown(ours, int(str(two.backend["uid"])), -1)  # as if a job of that user had made it
    try:
        made = "import os; print(open(os.ttyname(os.openpty()[1]), 'w').isatty())"
        assert two.run("first", f'test ! -e {ours} && python3 -c "{made}"') == 0
    finally:
        os.close(held)
        os.close(end)


def test_nothing_of_a_job_is_left_on_the_host(passable: Path) -> None:
    two = Two(passable)
    before = {place: set(os.listdir(place)) for place in ("/tmp", "/var/tmp", "/dev/shm")}
    assert two.run("first", "touch {/tmp,/var/tmp,/dev/shm,$OWN_HOME}/of-job-33; ipcmk -Q") == 0
    after = {place: set(os.listdir(place)) for place in before}
    assert not any("of-job-33" in names for names in after.values())
    assert os.listdir(two.home) == []


@pytest.mark.parametrize("mode", MODES)
def test_stages_of_one_job_share_tmp_and_home(passable: Path, mode: str) -> None:
    two = Two(passable, mode)
    assert two.run("first", "echo 33 >$TMPDIR/a; echo 33 >~/b; test $TMPDIR != /tmp || echo 33 >/var/tmp/c") == 0
    assert two.run("first", "cat $TMPDIR/a ~/b; test $TMPDIR != /tmp || cat /var/tmp/c") == 0


@pytest.mark.parametrize("mode", MODES)
def test_part_that_the_job_removed_is_there_for_the_next_stage(passable: Path, mode: str) -> None:
    two = Two(passable, mode)
    assert two.run("first", 'cd "$STATE/work/first"; rm -rf home tmp var-tmp || true') == 0
    backend.complete_work(two.backend, two.work("first"))
    assert two.run("first", "touch ~/x $TMPDIR/x") == 0


@pytest.mark.parametrize("part", ["home", "tmp", "var-tmp"])
@pytest.mark.parametrize("plant", ["ln -s /etc {}", "touch {}", "ln -s /no/such/place {}"])
def test_part_that_became_something_else_ends_the_job_and_leads_nowhere(passable: Path, part: str, plant: str) -> None:
    two = Two(passable)
    assert two.run("first", f"mv {part} old; {plant.format(part)}") == 0
    with pytest.raises(backend.BackendError, match=f"files of its own: .*{part}"):
        two.run("first", "true")


def test_way_to_state_dir_below_tmp_is_made_through_no_link_of_the_job(passable: Path) -> None:
    skip_without_root()
    two = Two(passable)
    below = passable.relative_to("/tmp").parts[0]
    planted = passable / "planted"
    planted.mkdir()
    link = Path(two.work("first"), "tmp", below)
    link.symlink_to(planted)
    with pytest.raises(backend.BackendError, match="files of its own"):
        two.run("first", "true")
    assert os.listdir(planted) == []


@pytest.mark.parametrize("mode", MODES)
def test_sockets_work_where_all_names_are_as_long_as_they_get(passable: Path, mode: str) -> None:
    """TMPDIR is bounded whatever the host is called: ssh-agent and multiprocessing add some 32 bytes to it."""
    skip_where_impossible(mode)
    key = f"{'h' * 63}.{'d' * 100}-{2**31}-{2**63}"
    state = passable / "gitlab-runner-gate"
    for directory in (state, state / "work", state / "cache"):
        directory.mkdir(mode=0o711)
    work, cache = layout.work(str(state), key), layout.cache(str(state), "p")
    asked = policy(mode)
    backend.make_work(asked, work, cache)
    script = passable / "script"
    script.write_text(
        "#!/usr/bin/env bash\nset -e\neval $(ssh-agent -s)\nssh-add -l || test $? = 1\n"
        "/usr/bin/python3 -c 'import multiprocessing as m; m.Manager().list([33])'\n"
    )
    if not os.path.exists("/usr/bin/ssh-agent"):
        pytest.skip("no ssh-agent here: install openssh-client to see this")
    assert backend.run_script(asked, str(script), work, cache, {}) == 0
    assert len(backend._tmp(asked, work)) + 40 < UNIX_PATH_MAX


def test_short_tmp_goes_with_its_tree(passable: Path) -> None:
    two = Two(passable, "process_group")
    assert os.path.islink(work_tree.short_tmp(two.work("first")))
    backend.remove_work(two.work("first"))
    assert not os.path.lexists(work_tree.short_tmp(two.work("first")))
    assert os.path.islink(work_tree.short_tmp(two.work("second")))


def named_home(root: Path) -> Path:
    home = root / "keys"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh" / "id_33").write_text("a key")
    return home


def test_named_home_is_read_only_and_where_ssh_looks_too(passable: Path) -> None:
    home = named_home(passable)
    os.chmod(home, 0o777)
    two = Two(passable, named_home=str(home))
    text = 'cat ~/.ssh/id_33 "$OWN_HOME/.ssh/id_33" && ! touch ~/x && ! touch "$OWN_HOME/x" && test ~ = ' + str(home)
    assert two.run("first", text) == 0
    assert two.run("first", 'mkdir -p "$XDG_CACHE_HOME/x" "$XDG_STATE_HOME/y"') == 0


def test_named_home_may_be_the_one_of_the_user_database(passable: Path) -> None:
    """The way to go on for those who kept keys there."""
    two = Two(passable)
    (two.home / "key").write_text("33")
    two.backend["named_home"] = str(two.home)
    assert two.run("first", "cat ~/key && ! touch ~/x") == 0


def test_home_that_is_not_the_users_own_is_left_alone(passable: Path) -> None:
    two = Two(passable)
    two.backend["home"] = "/usr/bin"
    assert two.run("first", "test $(ls /usr/bin | wc -l) -gt 3 && touch ~/x") == 0


def test_user_without_a_home_has_one(passable: Path) -> None:
    two = Two(passable)
    two.backend["home"] = "/nonexistent"
    assert two.run("first", "cd && touch x") == 0


def test_setuid_program_gains_nothing_unless_it_may(passable: Path) -> None:
    skip_without_root("a setuid program")
    two = Two(passable)
    program = Path(two.cache("first"), "id")  # of what is in the test's directory, this is what a job sees
    program.write_bytes(Path("/usr/bin/id").read_bytes())
    program.chmod(0o4755)
    for may, uid in ((False, NOBODY.pw_uid), (True, 0)):
        two.backend["no_new_privileges"] = not may
        assert two.run("first", f"test $({program} -u) = {uid}") == 0


@pytest.mark.parametrize("mode", MODES)
def test_path_and_environment_are_as_gate_yaml_says(passable: Path, mode: str) -> None:
    own = passable / "bin"
    own.mkdir()
    two = Two(passable, mode, path=["/usr/games", "/opt"], environment={"HTTPS_PROXY": "http://p:3128", "LANG": "C"})
    text = f"test $PATH = /usr/games:/opt:{TOOL_PATH} && test $HTTPS_PROXY = http://p:3128"
    assert two.run("first", text) == 0


def test_path_that_others_can_write_to_is_refused(passable: Path) -> None:
    own = passable / "bin"
    own.mkdir()
    asked = policy("process_group", path=[str(own)])
    assert backend.check(asked) is None
    own.chmod(0o777)
    assert "can be written by others" in str(backend.check(asked))
    assert "cannot be a job's" in str(backend.check(policy("process_group", path=[f"{own}/no"])))
    assert "is not a directory" in str(backend.check(policy("process_group", named_home=f"{own}/no")))
