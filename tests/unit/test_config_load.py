"""Which files are believed at all, and which state directories."""

import hashlib
import os
from pathlib import Path

import pytest

from config.host import CHOICE, check_state_dir, is_network, type_of_mount, walk
from config.load import MAX_BYTES, ConfigError, load_policy, load_policy_as_reader
from tests.support.fake_accounts import FakeHost, someone_else
from tests.unit.test_config_faults import GOOD

ME = os.geteuid()
OTHER = someone_else()
TEXT = GOOD.replace("run_as: gitlab-job", "allow_same_user: true")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    (tmp_path / "gate.yaml").write_text(TEXT.replace("/var/lib/gitlab-runner-gate", str(tmp_path / "state")))
    (tmp_path / "gate.yaml").chmod(0o640)
    (tmp_path / "state").mkdir(mode=0o755)
    return tmp_path


def complaint(path: Path | str, owner: int | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load_policy(str(path), owner=owner, host=FakeHost())
    assert all(fault.line == fault.column == 0 for fault in caught.value.faults)
    return str(caught.value).replace(str(path), "F", 1)


def test_a_private_file_is_loaded_and_its_bytes_are_hashed(home: Path) -> None:
    policy, digest = load_policy(str(home / "gate.yaml"), host=FakeHost())
    assert policy["backend"]["uid"] == ME
    assert digest == hashlib.sha256((home / "gate.yaml").read_bytes()).hexdigest()


def test_a_relative_path_is_loaded(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    assert load_policy("gate.yaml", host=FakeHost())[0]["site"] == "build01.example.com"


@pytest.mark.parametrize("mode", [0o660, 0o646, 0o666])
def test_a_file_that_others_can_write_is_refused(home: Path, mode: int) -> None:
    (home / "gate.yaml").chmod(mode)
    expected = f"F: can be written by others than its owner (mode {mode:04o}): chmod go-w it"
    assert complaint(home / "gate.yaml") == expected


@pytest.mark.parametrize("mode", [0o775, 0o757])
def test_a_directory_above_that_others_can_write_is_refused(home: Path, mode: int) -> None:
    (home / "a" / "b").mkdir(parents=True)
    (home / "gate.yaml").rename(home / "a" / "b" / "gate.yaml")
    (home / "a").chmod(mode)
    expected = f"F: {home}/a can be written by others than its owner (mode {mode:04o}): chmod go-w it{CHOICE}"
    assert complaint(home / "a" / "b" / "gate.yaml") == expected


def test_a_sticky_directory_is_fine_only_where_it_is_root_s(home: Path) -> None:
    (home / "sticky").mkdir()
    (home / "gate.yaml").rename(home / "sticky" / "gate.yaml")
    (home / "sticky").chmod(0o1777)
    if ME == 0:
        assert load_policy(str(home / "sticky" / "gate.yaml"), host=FakeHost())
    else:
        assert "sticky can be written by others" in complaint(home / "sticky" / "gate.yaml")


def test_a_file_of_somebody_else_is_refused(home: Path) -> None:
    if ME != 0:
        pytest.skip("only root can give a file away")
    os.chown(home / "gate.yaml", OTHER, -1)
    assert (
        complaint(home / "gate.yaml")
        == f"F: belongs to uid {OTHER}, and the gate runs as uid 0: chown it to 0, or to root"
    )
    assert load_policy(str(home / "gate.yaml"), owner=OTHER, host=FakeHost())


def test_a_file_is_refused_under_an_owner_that_it_does_not_have(home: Path) -> None:
    if ME == 0:
        assert load_policy(str(home / "gate.yaml"), owner=OTHER, host=FakeHost())  # root's files are everybody's
    else:
        assert f"the gate runs as uid {OTHER}" in complaint(home / "gate.yaml", owner=OTHER)


def test_a_directory_of_somebody_else_above_is_refused(home: Path) -> None:
    if ME != 0:
        pytest.skip("only root can give a directory away")
    (home / "sub").mkdir()
    (home / "gate.yaml").rename(home / "sub" / "gate.yaml")
    os.chown(home / "sub", OTHER, -1)
    expected = f"F: {home}/sub belongs to uid {OTHER}, who could change it: chown it to root{CHOICE}"
    assert complaint(home / "sub" / "gate.yaml") == expected


def test_a_link_to_the_file_is_refused(home: Path) -> None:
    (home / "link.yaml").symlink_to(home / "gate.yaml")
    assert complaint(home / "link.yaml").endswith("it is a symbolic link, name the file itself")


def test_a_linked_directory_is_judged_by_where_it_leads(home: Path) -> None:
    (home / "open" / "etc").mkdir(parents=True)
    (home / "gate.yaml").rename(home / "open" / "etc" / "gate.yaml")
    (home / "etc").symlink_to("open/etc")
    assert load_policy(str(home / "etc" / "gate.yaml"), host=FakeHost())
    (home / "open").chmod(0o777)
    assert "open can be written by others" in complaint(home / "etc" / "gate.yaml")


def test_a_circle_of_links_is_refused(home: Path) -> None:
    (home / "a").symlink_to("b")
    (home / "b").symlink_to("a")
    assert "too many symbolic links" in complaint(home / "a" / "gate.yaml")


def test_what_is_no_regular_file_is_refused_without_waiting(home: Path) -> None:
    os.mkfifo(home / "pipe")
    for path in (home / "pipe", home / "state", "/dev/null"):
        assert complaint(path) == "F: not a regular file: name one"


def test_a_file_over_the_limit_is_refused(home: Path) -> None:
    (home / "gate.yaml").write_text("#" * (MAX_BYTES + 1))
    assert complaint(home / "gate.yaml") == "F: larger than 1048576 bytes: name the right file"


def test_a_file_at_the_limit_is_loaded(home: Path) -> None:
    text = (home / "gate.yaml").read_text()
    (home / "gate.yaml").write_text(text + "#" * (MAX_BYTES - len(text)))
    assert load_policy(str(home / "gate.yaml"), host=FakeHost())


def test_a_missing_file_is_said_to_be_missing(home: Path) -> None:
    expected = "F: no such file or directory: write it, or name another with --config or GATE_CONFIG"
    assert complaint(home / "none.yaml") == complaint(home / "none" / "gate.yaml") == expected
    assert complaint("a\0b") == "F: no path that a file can have: name another"


def test_a_fault_inside_is_told_under_the_path_as_given(home: Path) -> None:
    (home / "gate.yaml").write_text("version: 2\n")
    with pytest.raises(ConfigError) as caught:
        load_policy(str(home / "gate.yaml"), host=FakeHost())
    assert f"{home}/gate.yaml:1:10: 'version' cannot be '2': write 1" in str(caught.value).split("\n")


def test_a_reader_takes_the_owner_of_the_state_directory_for_the_gate_s(home: Path) -> None:
    if ME != 0:
        pytest.skip("only root can give files away")
    os.chown(home / "gate.yaml", OTHER, -1)
    os.chown(home / "state", OTHER, -1)
    assert load_policy_as_reader(str(home / "gate.yaml"), host=FakeHost())[0]["backend"]["uid"] == OTHER
    os.chown(home / "state", OTHER + 1, -1)
    with pytest.raises(ConfigError, match=f"belongs to uid {OTHER}, and the gate runs as uid {OTHER + 1}"):
        load_policy_as_reader(str(home / "gate.yaml"), host=FakeHost())


def test_a_reader_can_check_a_gate_that_no_job_has_come_to_yet(home: Path) -> None:
    (home / "state").rmdir()
    assert load_policy_as_reader(str(home / "gate.yaml"), host=FakeHost())[0]["state_dir"] == str(home / "state")


def test_a_reader_is_told_of_faults(home: Path) -> None:
    (home / "gate.yaml").write_text("state_dir: 7\n")
    with pytest.raises(ConfigError, match=r"gate.yaml:1:12: '7' does not fit: write a whole path"):
        load_policy_as_reader(str(home / "gate.yaml"), host=FakeHost())


def test_a_private_state_directory_has_no_problem(home: Path) -> None:
    assert check_state_dir(str(home / "state"), ME) == []


def test_a_state_directory_that_others_can_write_has_one(home: Path) -> None:
    (home / "state").chmod(0o1777 if ME else 0o775)
    (problem,) = check_state_dir(str(home / "state"), ME)
    assert problem.startswith(f"{home}/state can be written by others than its owner")


def test_a_state_directory_of_another_is_told_once(home: Path) -> None:
    problems = check_state_dir(str(home / "state"), OTHER)
    assert [problem for problem in problems if problem.startswith(f"{home}/state belongs to uid {ME}")]


def test_what_is_no_state_directory_is_said_to_be_none(home: Path) -> None:
    (home / "link").symlink_to("state")
    for name in ("link", "gate.yaml"):
        expected = [f"{home}/{name} is not a directory: name one, and no symbolic link to one"]
        assert check_state_dir(str(home / name), ME) == expected
    (problem,) = check_state_dir(str(home / "none"), ME)
    assert problem.startswith(f"{home}/none: no such file or directory: make it a directory of ")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        *((kind, True) for kind in ("nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "virtiofs", "fuse.sshfs", "fuse", "CIFS")),
        *((kind, False) for kind in ("ext4", "xfs", "btrfs", "overlay", "tmpfs", "zfs", "fuseblk", "f2fs")),
    ],
)  # fmt: skip
def test_network_file_systems_are_known_by_name(kind: str, expected: bool) -> None:
    assert is_network(kind) is expected


def test_a_state_directory_on_a_network_is_refused_by_name(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("config.host.file_system", lambda _path: "nfs4")
    expected = (
        f"{home}/state lies on nfs4, where locks and appends cannot be relied on: choose a directory on a local disk"
    )
    assert check_state_dir(str(home / "state"), ME) == [expected]


def test_the_type_of_a_mount_stands_after_the_hyphen() -> None:
    mounts = (
        "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
        "36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 shared:2 - ext3 /dev/root rw\n"
        "37 35 0:50 / /srv rw - nfs4 files:/srv rw\n"
    )
    assert [type_of_mount(mounts, str(mount)) for mount in (36, 37, 38)] == ["ext3", "nfs4", None]
    assert type_of_mount("garbage\n\n", "") is None


def test_a_walk_goes_through_links_and_dots(home: Path) -> None:
    (home / "link").symlink_to("state/..")
    places = [place for place, _ in walk(f"{home}/link/gate.yaml")]
    assert places[0] == "/"
    assert places[-3:] == [f"{home}/link", f"{home}/state", f"{home}/gate.yaml"]
