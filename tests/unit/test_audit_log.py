"""Appending: what is written, what is refused, and what every fault turns into."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from audit import log
from audit.verify import verify
from tests.support.audit_logs import VERSION, add, filled, lines_of

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_mock import MockerFixture

ONCE = ("event", "request")


def test_first_append_writes_genesis_then_the_record(tmp_path: Path) -> None:
    head = add(tmp_path, "requested")

    genesis, record = (json.loads(line) for line in lines_of(tmp_path / "audit.1.jsonl"))
    assert (genesis["event"], genesis["seq"], genesis["prev"]) == ("genesis", 1, "0" * 64)
    assert (record["event"], record["seq"], record["log_id"]) == ("requested", 2, genesis["log_id"])
    assert head.seq == 2
    assert record["version"] == VERSION


def test_a_record_is_one_sorted_ascii_line(tmp_path: Path) -> None:
    add(tmp_path, comment="näin\n\x1b[31m", job={"name": "deploy", "id": 7})

    line = lines_of(tmp_path / "audit.1.jsonl")[1]
    assert line.isascii()
    assert line == json.dumps(json.loads(line), sort_keys=True, separators=(",", ":")).encode() + b"\n"


def test_head_is_the_hash_that_the_next_record_names(tmp_path: Path) -> None:
    first = add(tmp_path)
    add(tmp_path)

    assert json.loads(lines_of(tmp_path / "audit.1.jsonl")[2])["prev"] == first.sha256


@pytest.mark.parametrize("umask", [0, 0o027, 0o077])
def test_modes_do_not_depend_on_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        add(tmp_path)
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "audit.1.jsonl").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "audit.lock").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"share": 0.5}, "0.5"),
        ({"share": float("nan")}, "JSON compliant"),
        ({"comment": "\ud800"}, "surrogate"),
        ({"\udfff": "x"}, "surrogate"),
        ({"seq": 7}, "'seq'"),
        ({"torn": {}}, "'torn'"),
        ({"id": 2**53}, "2^53"),
        ({"id": 10**5000}, "integer"),
        ({"pair": (1, 2)}, "lists"),
        ({"names": {1: "x"}}, "text keys"),
        ({"raw": b"x"}, "bytes"),
        ({"comment": "x" * 8192}, "8192"),
        ({"event": "approved"}, "'approved'"),
        ({"event": "genesis"}, "'genesis'"),
        ({"event": None}, "event"),
        ({"request": None}, "request"),
    ],
    ids=lambda value: ascii(value)[:20] if value != {"id": 10**5000} else "huge",
)
def test_what_json_would_change_is_refused_before_anything_is_written(
    tmp_path: Path, fields: dict[str, Any], told: str
) -> None:
    with pytest.raises(log.AuditError) as refused:
        log.append(str(tmp_path), {"event": "vote", "request": "r", **fields}, version=VERSION)

    assert told in str(refused.value)
    assert "\n" not in str(refused.value)
    assert log.head(str(tmp_path)) is None


def test_nesting_without_end_is_refused(tmp_path: Path) -> None:
    deep: list[Any] = []
    for _ in range(3000):
        deep = [deep]

    with pytest.raises(log.AuditError):
        add(tmp_path, comment=deep)


def test_the_largest_record_fits_and_one_byte_more_does_not(tmp_path: Path) -> None:
    add(tmp_path, comment="")
    room = 8192 - len(lines_of(tmp_path / "audit.1.jsonl")[1])
    before = log.position(str(tmp_path))

    with pytest.raises(log.AuditError, match="8192"):
        add(tmp_path, comment="x" * (room + 20))
    assert log.position(str(tmp_path)) == before
    add(tmp_path, comment="x" * (room - 20))
    add(tmp_path)

    assert verify(str(tmp_path)).ok


def test_append_once_returns_the_record_there_is(tmp_path: Path) -> None:
    since = log.position(str(tmp_path))
    first = log.append_once(str(tmp_path), _released("r-1"), same=ONCE, since=since, version=VERSION)
    other = log.append_once(str(tmp_path), _released("r-12"), same=ONCE, since=since, version=VERSION)
    again = log.append_once(str(tmp_path), _released("r-1"), same=ONCE, since=since, version=VERSION)

    assert again == first
    assert other != first
    assert verify(str(tmp_path)).records == 3


def test_append_once_looks_only_from_its_position_on(tmp_path: Path) -> None:
    first = log.append(str(tmp_path), _released("r-1"), version=VERSION)
    since = log.position(str(tmp_path))

    again = log.append_once(str(tmp_path), _released("r-1"), same=ONCE, since=since, version=VERSION)

    assert again.seq == first.seq + 1


def test_append_once_takes_no_nested_value_for_the_key(tmp_path: Path) -> None:
    add(tmp_path, "ended", "r-2", job={"event": "released", "request": "r-1"})

    head = log.append_once(str(tmp_path), _released("r-1"), same=ONCE, since=(1, 0), version=VERSION)

    assert head.seq == 3


def test_append_once_without_the_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(log.AuditError, match="decision"):
        log.append_once(str(tmp_path), _released("r"), same=("decision",), since=(1, 0), version=VERSION)


def test_append_once_returns_nothing_when_the_found_record_cannot_be_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.append(str(tmp_path), _released("r-1"), version=VERSION)
    monkeypatch.setattr(os, "fsync", _failing(errno.EIO))

    with pytest.raises(log.AuditError, match="Input/output error"):
        log.append_once(str(tmp_path), _released("r-1"), same=ONCE, since=(1, 0), version=VERSION)


@pytest.mark.parametrize("call", ["open", "write", "fsync", "pread", "fstat", "listdir", "fchmod"])
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EROFS, errno.EMFILE, errno.EDQUOT])
def test_every_failing_call_becomes_one_plain_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    if call == "pread":
        add(tmp_path)
    with monkeypatch.context() as broken:
        broken.setattr(os, call, _failing(number))
        with pytest.raises(log.AuditError) as told:
            add(tmp_path)

    assert str(tmp_path) in str(told.value)
    assert os.strerror(number) in str(told.value)
    assert "\n" not in str(told.value)
    assert not _open_descriptors_into(tmp_path)
    add(tmp_path)
    assert verify(str(tmp_path)).ok


def test_a_missing_directory_says_what_makes_it(tmp_path: Path) -> None:
    missing = str(tmp_path / "audit")

    def append(directory: str) -> log.Head:
        return log.append(directory, _released("r"), version=VERSION)

    for use in (log.head, log.position, append, lambda directory: list(log.records(directory))):
        with pytest.raises(
            log.AuditError, match=f"no directory {missing} for the audit log; the config stage makes it"
        ):
            use(missing)


def test_a_log_that_is_not_ours_alone_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"")
    for number, place in enumerate(("symlink", "fifo", "directory")):
        folder = tmp_path / place
        folder.mkdir()
        target = folder / "audit.1.jsonl"
        if number == 0:
            target.symlink_to(tmp_path / "elsewhere")
        elif number == 1:
            os.mkfifo(target)
        else:
            target.mkdir()
        with pytest.raises(log.AuditError, match=r"audit\.1\.jsonl"):
            add(folder)
    assert (tmp_path / "elsewhere").read_bytes() == b""


def test_a_lock_that_is_a_link_is_refused_and_not_touched(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"kept")
    (tmp_path / "audit.lock").symlink_to(tmp_path / "secret")

    with pytest.raises(log.AuditError, match=r"audit\.lock"):
        add(tmp_path)
    assert (tmp_path / "secret").read_bytes() == b"kept"


def test_a_log_of_another_user_is_refused(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(filled(tmp_path, 1), 4242, -1)

    with pytest.raises(log.AuditError, match="not a regular file of uid 0"):
        add(tmp_path)


def test_a_log_that_may_not_be_written_is_an_error(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write a file of any mode")
    filled(tmp_path, 1).chmod(0o400)

    with pytest.raises(log.AuditError, match="Permission denied"):
        add(tmp_path)


def test_reading_needs_no_lock(tmp_path: Path) -> None:
    head = add(tmp_path)
    (tmp_path / "audit.lock").unlink()

    assert log.head(str(tmp_path)) == head
    assert [found for found, _ in log.records(str(tmp_path))][-1] == head
    assert not (tmp_path / "audit.lock").exists()


def test_an_empty_directory_has_no_head_and_the_first_position(tmp_path: Path) -> None:
    assert log.head(str(tmp_path)) is None
    assert log.position(str(tmp_path)) == (1, 0)
    assert list(log.records(str(tmp_path))) == []


def test_a_new_segment_goes_on_from_the_one_before(tmp_path: Path) -> None:
    first = filled(tmp_path, 2)
    old_head = log.head(str(tmp_path))
    (tmp_path / "audit.2.jsonl").write_bytes(b"")

    add(tmp_path)

    assert old_head
    genesis = json.loads(lines_of(tmp_path / "audit.2.jsonl")[0])
    assert (genesis["event"], genesis["seq"], genesis["prev"]) == ("genesis", old_head.seq + 1, old_head.sha256)
    assert genesis["log_id"] == json.loads(lines_of(first)[0])["log_id"]
    assert verify(str(tmp_path)).ok
    assert [record["seq"] for _, record in log.records(str(tmp_path))] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("before", [None, b"", b"torn"], ids=["missing", "empty", "torn"])
def test_a_new_segment_after_no_sound_end_is_refused(tmp_path: Path, before: bytes | None) -> None:
    if before is not None:
        (tmp_path / "audit.1.jsonl").write_bytes(before)
    (tmp_path / "audit.2.jsonl").write_bytes(b"")

    with pytest.raises(log.AuditError, match=r"audit\.1\.jsonl"):
        add(tmp_path)
    assert (tmp_path / "audit.2.jsonl").read_bytes() == b""


def test_appending_reads_only_the_end_of_the_log(tmp_path: Path, mocker: MockerFixture) -> None:
    filled(tmp_path, 400)
    pread, preadv = mocker.spy(os, "pread"), mocker.spy(os, "preadv")

    add(tmp_path)

    read = sum(map(len, pread.spy_return_list)) + sum(preadv.spy_return_list)
    assert 0 < read <= 16384 + 2 * (24576 + 4096) < log.position(str(tmp_path))[1]


def test_appending_loads_little_that_json_does_not() -> None:
    root = os.path.dirname(os.path.dirname(log.__file__))
    code = f"""import sys, os, time, fcntl, stat, json, errno, mmap
before = set(sys.modules)
sys.path.insert(0, {root!r})
import audit.log
print(*sorted(set(sys.modules) - before))"""
    said = subprocess.run([sys.executable, "-I", "-S", "-c", code], stdout=subprocess.PIPE, text=True, check=True)

    assert {name.split(".")[0] for name in said.stdout.split()} <= {"audit", "__future__", "_sha2", "_sha256"}


def test_each_record_has_the_place_where_its_line_stands(tmp_path: Path) -> None:
    content = filled(tmp_path, 3).read_bytes()
    found = list(log.placed_records(str(tmp_path)))

    assert [content[offset : offset + length] for (_number, offset, length), _head, _record in found] == lines_of(
        tmp_path / "audit.1.jsonl"
    )
    assert [(head, record) for _place, head, record in found] == list(log.records(str(tmp_path)))


def test_reading_goes_on_behind_a_place(tmp_path: Path) -> None:
    filled(tmp_path, 3)
    whole = list(log.placed_records(str(tmp_path)))

    for count, ((number, offset, length), _head, _record) in enumerate(whole, 1):
        assert list(log.placed_records(str(tmp_path), (number, offset + length))) == whole[count:]


def test_places_are_right_behind_what_is_torn_and_in_the_next_segment(tmp_path: Path) -> None:
    file = filled(tmp_path, 1)
    with file.open("ab") as torn:
        torn.write(b"x" * 20_000 + b"half a reco")
    add(tmp_path, comment="behind it")
    (tmp_path / "audit.2.jsonl").write_bytes(b"")
    add(tmp_path, comment="in the next")

    places = {record.get("comment"): place for place, _head, record in log.placed_records(str(tmp_path))}
    assert (places["behind it"][0], places["in the next"][0]) == (1, 2)
    for comment, place in places.items():
        assert log.record_at(str(tmp_path), place)[1].get("comment") == comment


def test_a_record_that_is_half_written_has_no_place_yet(tmp_path: Path) -> None:
    file = filled(tmp_path, 2)
    content = file.read_bytes()
    file.write_bytes(content[:-1])

    assert [record["seq"] for _place, _head, record in log.placed_records(str(tmp_path))] == [1, 2]


NO_PLACES = {
    "a byte before": (1, -1, 0),
    "a byte behind": (1, 1, 0),
    "a byte too few": (1, 0, -1),
    "a byte too many": (1, 0, 1),
    "beyond the end": (1, 10**9, 0),
    "in no segment": (7, 0, 0),
    "of no length": (1, 0, -(10**9)),
}


@pytest.mark.parametrize("case", NO_PLACES)
def test_where_no_record_stands_none_is_found(tmp_path: Path, case: str) -> None:
    filled(tmp_path, 3)
    (number, offset, length), _head, _record = list(log.placed_records(str(tmp_path)))[2]
    segment, before, more = NO_PLACES[case]

    with pytest.raises(log.AuditError, match=rf"audit\.{segment}\.jsonl"):
        log.record_at(str(tmp_path), (number - 1 + segment, offset + before, max(length + more, 0)))


def test_a_line_that_was_changed_is_no_record(tmp_path: Path) -> None:
    file = filled(tmp_path, 1)
    (place, head, record) = list(log.placed_records(str(tmp_path)))[1]
    assert log.record_at(str(tmp_path), place) == (head, record)
    file.write_bytes(file.read_bytes().replace(b'"vote"', b'"voTe"'))

    with pytest.raises(log.AuditError, match=rf"audit\.1\.jsonl, byte {place[1]}: what stands there has event 'voTe'"):
        log.record_at(str(tmp_path), place)


def test_a_segment_that_is_a_link_is_not_read(tmp_path: Path) -> None:
    file = filled(tmp_path, 1)
    place = next(log.placed_records(str(tmp_path)))[0]
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(log.AuditError, match=r"audit\.1\.jsonl"):
        log.record_at(str(tmp_path), place)


def _released(request: str) -> dict[str, Any]:
    return {"event": "released", "request": request}


def _failing(number: int) -> Any:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def _open_descriptors_into(directory: Path) -> list[str]:
    found = []
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        except FileNotFoundError:
            continue
    return [path for path in found if path.startswith(str(directory))]


@pytest.mark.parametrize("name", ["audit.1.jsonl", "audit.lock"])
def test_a_second_name_of_the_log_elsewhere_stops_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    directory = tmp_path / "audit"
    directory.mkdir()
    add(directory, "requested")
    os.link(directory / name, tmp_path / "elsewhere" / name)

    assert add(directory, "ended").seq == 3
    assert verify(str(directory)).ok
