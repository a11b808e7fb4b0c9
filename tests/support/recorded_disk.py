"""A disk that records each write and each flush: from the record any disk can be made that a power cut may have left.

The file system on it is mounted from a loop device whose file is a FUSE file of a process of ours, so nothing is needed
that a kernel of Debian's does not have. What was written before a flush that has been answered is on the disk for
certain; what came after it may be there or not, in any choice. (A copy of an image that is being written to has blocks
of different moments in it, and only such choices as the kernel happened to make.)

`recorded_disk.py IMAGE FILE RECORD FAILS` serves FILE, which must exist, with IMAGE's content, until it is unmounted;
says `ready`. A RECORD is: offset and length of each write, then its bytes; a flush has the length 0. While there is a
file FAILS, writes that have its content in them fail with EIO, and where it is empty, flushes do.
"""

from __future__ import annotations

import ctypes
import enum
import errno
import os
import stat
import struct
import subprocess
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from tests.support.loop_mount import UNMOUNT_S, mounted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import BinaryIO

ENTRY = struct.Struct("<QI")
IMAGE_BYTES = 24 << 20
# Small blocks, so that few bytes are many writes; a journal that holds a whole run, so that nothing is written twice.
MKFS = ["mkfs.ext4", "-q", "-F", "-b", "1024", "-J", "size=8", "-E", "lazy_itable_init=0,lazy_journal_init=0"]

# linux/fuse.h, protocol 7.31: the requests that a loop device makes of one file, and the structures they come in.
_IN, _OUT = struct.Struct("<IIQQIIII"), struct.Struct("<IiQ")
_READ_IN, _WRITE_IN = struct.Struct("<QQI"), struct.Struct("<QQI20x")
_INIT_OUT = struct.Struct("<IIIIHHIIHHI28x")
_ATTR_OUT = struct.Struct("<QIIQQQQQQIIIIIIIIII")
_MAX_WRITE_BYTES = 1 << 17
_DIRECT_IO = 1  # what a write that failed should have left is not to be read from a cache
_ROOT_INODE, _SECTOR_BYTES, _BLOCK_BYTES, _VALID_S = 1, 512, 4096, 3600


class Opcode(enum.IntEnum):
    """What the kernel asks."""

    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    OPEN = 14
    READ = 15
    WRITE = 16
    RELEASE = 18
    FSYNC = 20
    FLUSH = 25
    INIT = 26


class Server:
    """One file, each write to which is recorded before it is answered."""

    def __init__(self, image: str, record: str, fails: str) -> None:
        self.fails = fails
        self.image = os.open(image, os.O_RDWR | os.O_CLOEXEC)
        self.record = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.size = os.fstat(self.image).st_size

    def serve(self, device: int) -> None:
        """Answer until the file is unmounted."""
        while True:
            try:
                request = os.read(device, 2 * _MAX_WRITE_BYTES)
            except OSError as error:
                if error.errno == errno.ENODEV:
                    return
                raise
            _length, opcode, unique, *_ = _IN.unpack_from(request)
            if opcode == Opcode.FORGET:
                continue
            try:
                answer, fault = self.answer(opcode, request[_IN.size :]), 0
            except OSError as error:
                answer, fault = b"", -(error.errno or errno.EIO)
            os.write(device, _OUT.pack(_OUT.size + len(answer), fault, unique) + answer)

    def answer(self, opcode: int, body: bytes) -> bytes:
        """The answer to one request.

        Raises:
            OSError: its error.
        """
        answers: dict[int, Callable[[bytes], bytes]] = {
            Opcode.READ: self._read,
            Opcode.WRITE: self._write,
            Opcode.FSYNC: self._flush,
            Opcode.INIT: lambda _: _INIT_OUT.pack(7, 31, _MAX_WRITE_BYTES, 0, 12, 9, _MAX_WRITE_BYTES, 1, 0, 0, 0),
            Opcode.GETATTR: self._attributes,
            Opcode.SETATTR: self._attributes,
            Opcode.OPEN: lambda _: struct.pack("<QII", 0, _DIRECT_IO, 0),
            Opcode.RELEASE: lambda _: b"",
            Opcode.FLUSH: lambda _: b"",
        }
        if opcode not in answers:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        return answers[opcode](body)

    def _read(self, body: bytes) -> bytes:
        _handle, offset, length = _READ_IN.unpack_from(body)
        return os.pread(self.image, length, offset)

    def _write(self, body: bytes) -> bytes:
        _handle, offset, length = _WRITE_IN.unpack_from(body)
        content = body[_WRITE_IN.size :][:length]
        failing = self._failing()
        if failing and failing in content:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        os.write(self.record, ENTRY.pack(offset, length) + content)
        os.pwrite(self.image, content, offset)
        return struct.pack("<II", length, 0)

    def _flush(self, _body: bytes) -> bytes:
        if self._failing() == b"":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        os.write(self.record, ENTRY.pack(0, 0))
        return b""

    def _failing(self) -> bytes | None:
        try:
            with open(self.fails, "rb") as source:
                return source.read()
        except FileNotFoundError:
            return None

    def _attributes(self, _body: bytes) -> bytes:
        times = (0,) * 6
        mode = stat.S_IFREG | stat.S_IRUSR | stat.S_IWUSR
        sectors = self.size // _SECTOR_BYTES
        owner_and_device = (1, 0, 0, 0, _BLOCK_BYTES, 0)
        return _ATTR_OUT.pack(_VALID_S, 0, 0, _ROOT_INODE, self.size, sectors, *times, mode, *owner_and_device)


def main(image: str, file: str, record: str, fails: str) -> None:
    """Mount and serve."""
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={device},rootmode={stat.S_IFREG:o},user_id={os.geteuid()},group_id={os.getegid()}"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"recorded-disk", os.fsencode(file), b"fuse", 0, options.encode()) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), file)
    print("ready", flush=True)
    Server(image, record, fails).serve(device)


class RecordedDisk:
    """The disk, and what was recorded of it; `scratch` takes its files."""

    def __init__(self, scratch: Path) -> None:
        self.first, self.record = scratch / "first.image", scratch / "record"
        self._image, self.file, self._fails = scratch / "image", scratch / "file", scratch / "fails"

    @contextmanager
    def mounted(self, at: Path) -> Iterator[None]:
        """A new file system on it, mounted at `at`."""
        with self.served(), mounted(self.file, at):
            yield

    @contextmanager
    def served(self) -> Iterator[None]:
        """A new file system on it, that can be mounted from `file`, once (loop_mount.py)."""
        with self.first.open("wb") as image:
            image.truncate(IMAGE_BYTES)
        subprocess.run([*MKFS, str(self.first)], check=True)
        subprocess.run(["cp", "--sparse=always", str(self.first), str(self._image)], check=True)
        self.file.touch()
        paths = [str(path) for path in (self._image, self.file, self.record, self._fails)]
        with subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", __file__, *paths], stdout=subprocess.PIPE, text=True
        ) as server:
            assert server.stdout
            assert server.stdout.readline() == "ready\n", "no FUSE file can be mounted here"
            try:
                yield
            finally:
                # Lazily: the kernel takes its time to let go of the loop device's file. The server ends when it has,
                # which a mount namespace that somebody has made meanwhile may put off for as long as it lives.
                subprocess.run(["umount", "--lazy", str(self.file)], check=True)
                with suppress(subprocess.TimeoutExpired):
                    server.wait(UNMOUNT_S)
                server.kill()

    @contextmanager
    def failing(self, marker: bytes = b"") -> Iterator[None]:
        """Writes that have `marker` in them fail; without one, flushes do."""
        made = self._fails.with_suffix(".new")
        made.write_bytes(marker)
        made.rename(self._fails)
        try:
            yield
        finally:
            self._fails.unlink()

    def kept(self) -> Path:
        """A copy of what it has now, as an image."""
        copy = self._image.with_name("kept")
        subprocess.run(["cp", "--sparse=always", str(self._image), str(copy)], check=True)
        return copy

    def position(self) -> int:
        """How much is recorded by now: what was answered before is in it."""
        return self.record.stat().st_size


class PowerCut:
    """What is left of a recorded disk whose power goes at one position after the other."""

    def __init__(self, disk: RecordedDisk, scratch: Path) -> None:
        self._safe = scratch / "safe.image"
        subprocess.run(["cp", "--sparse=always", str(disk.first), str(self._safe)], check=True)
        self._entries = entries(disk.record)
        self._pending: list[tuple[int, bytes]] = []

    def at(self, position: int, image: Path, keep: Callable[[], bool]) -> None:
        """Make `image` what is left at that position, not before the last one.

        `keep` says of each unflushed write whether it is.
        """
        with self._safe.open("r+b") as safe:
            while self._entries and self._entries[0][0] <= position:
                _end, offset, content = self._entries.pop(0)
                if content:
                    self._pending.append((offset, content))
                    continue
                _write(safe, self._pending)
                self._pending = []
        subprocess.run(["cp", "--sparse=always", str(self._safe), str(image)], check=True)
        with image.open("r+b") as left:
            _write(left, [write for write in self._pending if keep()])


def entries(record: Path) -> list[tuple[int, int, bytes]]:
    """Where each entry ends, its offset on the disk, and what was written there; nothing where it was a flush."""
    found, content, at = [], record.read_bytes(), 0
    while at < len(content):
        offset, length = ENTRY.unpack_from(content, at)
        at += ENTRY.size + length
        found.append((at, offset, content[at - length : at]))
    return found


def _write(image: BinaryIO, writes: list[tuple[int, bytes]]) -> None:
    for offset, content in writes:
        image.seek(offset)
        image.write(content)


if __name__ == "__main__":
    main(*sys.argv[1:])
