"""What is kept of a gate.yaml saves a stage the schema, and nothing else: what the host says is asked each time."""

from __future__ import annotations

import json
import os
import shutil
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from config import compiled, schema
from config.document import Trap
from config.load import ConfigError, load_for_stage, load_policy
from gate.store import compiled as store
from tests.support.fake_accounts import FakeHost, someone_else
from tests.unit.test_config_faults import GOOD

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ME = os.geteuid()
TEXT = GOOD.replace("run_as: gitlab-job", "allow_same_user: true")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    (tmp_path / "state").mkdir(mode=0o755)
    (tmp_path / "state" / "compiled").mkdir(mode=0o700)
    (tmp_path / "gate.yaml").write_text(TEXT.replace("/var/lib/gitlab-runner-gate", str(tmp_path / "state")))
    (tmp_path / "gate.yaml").chmod(0o640)
    return tmp_path


def stage(home: Path, host: FakeHost | None = None) -> bool:
    """Load as a stage does, and keep what it gives; whether it had to read the file whole."""
    path, host = str(home / "gate.yaml"), host or FakeHost()
    policy, digest, fresh = load_for_stage(path, compiled.code_digest(), host=host)
    assert (policy, digest) == load_policy(path, host=host)
    if fresh:
        store.keep(str(home / "state"), fresh.key, fresh.content())
    return fresh is not None


def kept(home: Path) -> Path:
    (found,) = (home / "state" / "compiled").iterdir()
    return found


def changed(path: Path, **values: object) -> bytes:
    """What is kept, with other values in it, as only R could write it."""
    value: dict[str, Any] = json.loads(path.read_bytes().split(b"\n")[1])
    return compiled.Compiled("", json.dumps(value | values).encode()).content()


@pytest.fixture
def warm(home: Path) -> Path:
    assert [stage(home), stage(home)] == [True, False]
    return home


def test_an_unchanged_file_is_read_by_what_was_kept(warm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(schema, "check", no)
    assert load_for_stage(str(warm / "gate.yaml"), compiled.code_digest(), host=FakeHost())[2] is None


def test_what_is_kept_is_r_s_alone(warm: Path) -> None:
    found = kept(warm).lstat()
    assert (found.st_uid, found.st_mode & 0o7777, found.st_nlink) == (ME, 0o600, 1)


def test_a_changed_file_is_read_whole_and_takes_the_place_of_the_other(warm: Path) -> None:
    before = kept(warm).name
    (warm / "gate.yaml").write_text((warm / "gate.yaml").read_text() + "# one more line\n")
    assert [stage(warm), stage(warm)] == [True, False]
    assert kept(warm).name != before


@pytest.mark.parametrize("name", ["HERE/new.py", "HERE/schema.json", "FORM", "PYTHON"])
def test_what_the_values_come_from_is_in_the_key(warm: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    if name == "PYTHON":
        monkeypatch.setattr(sys, "version", "4.0.0")
    elif name == "FORM":
        monkeypatch.setattr(compiled, "FORM", b"2")
    else:
        here = shutil.copytree(compiled._HERE, warm / "config")
        monkeypatch.setattr(compiled, "_HERE", str(here))
        assert not stage(warm)
        with open(here / os.path.basename(name), "a", encoding="utf-8") as file:
            file.write("\n")
    assert stage(warm)


def test_where_our_own_code_cannot_be_read_nothing_is_believed_nor_kept(
    warm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "_HERE", str(warm / "gone"))
    assert (compiled.code_digest(), compiled.key_of(b"", "")) == ("", "")
    assert not stage(warm)


def test_an_upgrade_while_the_file_is_read_keeps_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digests = iter(["1" * 64, "1" * 64, "2" * 64])
    monkeypatch.setattr(compiled, "code_digest", lambda: next(digests))
    assert not stage(home)


def test_an_upgrade_while_our_code_is_imported_has_nothing_believed_nor_kept(warm: Path) -> None:
    """Otherwise one version would go by what the other has kept, or keep its own under the other's key."""
    load = partial(load_for_stage, str(warm / "gate.yaml"), host=FakeHost())
    before, data = "1" * 64, (warm / "gate.yaml").read_bytes()
    content = changed(kept(warm), site="believed")
    for code in (before, compiled.code_digest()):
        store.keep(str(warm / "state"), compiled.key_of(data, code), content)
        assert load(code)[0]["site"] == ("build01.example.com" if code == before else "believed")
    (warm / "gate.yaml").write_text((warm / "gate.yaml").read_text() + "# one more line\n")
    assert [load(code)[2] is None for code in (before, compiled.code_digest())] == [True, False]


@pytest.mark.parametrize("value", ["\ud83d\ude00", ("a", "b"), Trap("a date"), {1: "a"}, float("nan")])
def test_what_json_would_give_back_as_another_value_is_not_kept(value: object) -> None:
    assert compiled.of("1" * 64, {"state_dir": value}) is None


class NoGroups(FakeHost):
    def gid(self, group: str) -> None:
        del group


def without(name: str) -> FakeHost:
    users = FakeHost().users
    del users[name]
    return FakeHost(users)


def one_human() -> FakeHost:
    users = FakeHost().users
    return FakeHost(users | {"bob": users["alice"]})


@pytest.mark.parametrize(
    ("host", "said"),
    [(NoGroups(), ":4:18: no Unix group 'gate-approvers'"), (one_human(), ":7:15: the uid '1001' is alice's already")],
)
def test_a_fault_that_the_host_has_by_now_is_found_and_has_its_place(warm: Path, host: FakeHost, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_for_stage(str(warm / "gate.yaml"), compiled.code_digest(), host=host)


def test_a_person_who_has_gone_from_the_host_has_no_uid(warm: Path) -> None:
    policy, _digest, fresh = load_for_stage(str(warm / "gate.yaml"), compiled.code_digest(), host=without("alice"))
    assert (policy["people"]["alice"]["uid"], fresh) == (None, None)
    assert not stage(warm, without("alice"))


@pytest.fixture
def with_page(home: Path) -> Path:
    with open(home / "gate.yaml", "a", encoding="utf-8") as file:
        file.write("page: {user: gitlab-gate, listen: 127.0.0.1:8420}\non_event: [/usr/bin/true]\n")
    assert [stage(home), stage(home)] == [True, False]
    return home


def test_what_is_set_aside_by_now_has_its_place_and_what_is_kept_stays(with_page: Path) -> None:
    policy, _digest, fresh = load_for_stage(
        str(with_page / "gate.yaml"), compiled.code_digest(), host=without("gitlab-gate")
    )
    assert [aside["message"].removeprefix(str(with_page)) for aside in policy["asides"]] == [
        "/gate.yaml:16:14: no Unix user 'gitlab-gate' on this host: create it, or name another; there is no page until then"
    ]
    assert (policy["page"], fresh) == (None, None)
    assert not stage(with_page)


@pytest.mark.parametrize("exposed", [True, False])
def test_the_command_of_on_event_is_looked_at_each_time(home: Path, exposed: bool) -> None:
    command = home / "hooks" / "notify"
    command.parent.mkdir(mode=0o755)
    command.symlink_to("/usr/bin/true")
    with open(home / "gate.yaml", "a", encoding="utf-8") as file:
        file.write(f"on_event: [{command}]\n")
    assert [stage(home), stage(home)] == [True, False]
    if exposed:
        command.parent.chmod(0o777)
        with pytest.raises(ConfigError, match="on_event would run what somebody else put there"):
            stage(home)
        return
    command.unlink()
    policy, _digest, fresh = load_for_stage(str(home / "gate.yaml"), compiled.code_digest(), host=FakeHost())
    assert ([aside["of"] for aside in policy["asides"]], fresh) == (["on_event"], None)


def _link(path: Path) -> None:
    path.rename(path.parent.parent / "elsewhere")
    path.symlink_to(path.parent.parent / "elsewhere")


def _second_name(path: Path) -> None:
    os.link(path, path.parent.parent / "elsewhere")


def _rewrite(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def rewrite(path: Path) -> None:
        path.write_bytes(change(path.read_bytes()))

    return rewrite


def _other_state_dir(path: Path) -> None:
    path.write_bytes(changed(path, state_dir="/srv/other"))


def _no_object(path: Path) -> None:
    path.write_bytes(compiled.Compiled("", b'["no", "object"]').content())


def _too_deep(path: Path) -> None:
    path.write_bytes(compiled.Compiled("", b"[" * 100_000).content())


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _given_away(path: Path) -> None:
    if ME != 0:
        pytest.skip("only root can give a file away")
    os.chown(path, someone_else(), -1)


def _of_somebody(path: Path) -> None:
    _given_away(path.parent)


ODD: dict[str, Callable[[Path], Any]] = {
    "others can read it": lambda path: path.chmod(0o644),
    "others can write it": lambda path: path.chmod(0o602),
    "somebody else's": _given_away,
    "a link": _link,
    "a second name": _second_name,
    "a pipe": _fifo,
    "a directory": _directory,
    "empty": _rewrite(lambda _: b""),
    "cut short": _rewrite(lambda text: text[:-40]),
    "another letter": _rewrite(lambda text: text.replace(b"alice", b"alicf")),
    "no object": _no_object,
    "too deep": _too_deep,
    "another state_dir": _other_state_dir,
    "the directory is open to others": lambda path: path.parent.chmod(0o755),
    "the directory is somebody else's": _of_somebody,
    "a directory above is open to others": lambda path: path.parent.parent.chmod(0o777),
}


@pytest.mark.parametrize("what", ODD)
def test_what_is_odd_is_not_believed(warm: Path, what: str) -> None:
    ODD[what](kept(warm))
    key = compiled.key_of((warm / "gate.yaml").read_bytes(), compiled.code_digest())
    assert compiled.find((warm / "gate.yaml").read_bytes(), key, ME) is None
    assert load_for_stage(str(warm / "gate.yaml"), compiled.code_digest(), host=FakeHost())[2]


def test_values_that_are_none_of_a_gate_yaml_s_have_the_file_read_whole(warm: Path) -> None:
    kept(warm).write_bytes(changed(kept(warm), people=3))
    policy, digest, fresh = load_for_stage(str(warm / "gate.yaml"), compiled.code_digest(), host=FakeHost())
    assert ((policy, digest), fresh) == (load_policy(str(warm / "gate.yaml"), host=FakeHost()), None)


def test_what_was_not_believed_is_kept_again(warm: Path) -> None:
    kept(warm).write_bytes(b"")
    assert [stage(warm), stage(warm)] == [True, False]


def test_a_file_that_others_can_write_is_refused_whatever_is_kept(warm: Path) -> None:
    (warm / "gate.yaml").chmod(0o666)
    with pytest.raises(ConfigError, match="can be written by others"):
        stage(warm)


def test_a_write_that_fails_leaves_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert stage(home)
    assert list((home / "state" / "compiled").iterdir()) == []
    assert stage(home)


@pytest.mark.parametrize("written", ["state_dir: |\n  S\n", 'state_dir: "S"\n', "{state_dir: S}\n", "#state_dir: S\n"])
def test_a_state_dir_in_another_form_is_no_hint(written: str) -> None:
    assert compiled._state_dir(written.replace("S", "/srv/state").encode()) == ""


@pytest.mark.parametrize("written", ["state_dir: S\n", "state_dir:   S  # there\r\n", "site: x\nstate_dir: S"])
def test_a_state_dir_in_plain_form_is_a_hint(written: str) -> None:
    assert compiled._state_dir(written.replace("S", "/srv/state").encode()) == "/srv/state"
