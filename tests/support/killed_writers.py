"""Rounds of writers of one audit log, each of which is killed; `killed_writers.py DIRECTORY ROUNDS SEED TOLD`.

In each round eight of them begin at once. Each records once for all that the round began, then appends on and on, and
begins a new segment where the last one has grown. TOLD gets `<seq> <sha256> <round or -> .`, between line feeds, for
each record that one of them was told is on disk, before it does anything else; what lacks its full stop was cut by a
kill. Runs under `python -I -S`, as the stages do.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from audit import log
from audit.rotate import rotate

WRITERS = 8
ROTATE_AT_BYTES = 64 * 1024
LIVES_S = 0.01  # at most; in every other round from when one was told something
GIVE_UP_S = 60


def write(directory: str, number: int, since: tuple[int, int], told: int) -> None:
    """Be a writer, until killed."""
    began = {"event": "decided", "request": f"r-{number}"}
    head = log.append_once(directory, began, same=("event", "request"), since=since, version="0")
    os.write(told, b"\n%d %s %d .\n" % (head.seq, head.sha256.encode(), number))
    while True:
        head = log.append(directory, {"event": "vote", "request": f"w-{os.getpid()}"}, version="0")
        os.write(told, b"\n%d %s - .\n" % (head.seq, head.sha256.encode()))
        rotated = rotate(directory, ROTATE_AT_BYTES, version="0")
        if rotated:
            os.write(told, b"\n%d %s - .\n" % (rotated.seq, rotated.sha256.encode()))


def one_round(directory: str, number: int, chance: random.Random, told: int) -> bool:
    """Start them, and kill them; whether each was ended by that."""
    since, before = log.position(directory), os.fstat(told).st_size
    writers = []
    for _ in range(WRITERS):
        writers.append(os.fork())
        if writers[-1] == 0:
            write(directory, number, since, told)
    give_up = time.monotonic() + GIVE_UP_S
    while number % 2 and os.fstat(told).st_size == before and time.monotonic() < give_up:
        time.sleep(0.0005)
    killed_at = sorted((time.monotonic() + chance.uniform(0, LIVES_S), writer) for writer in writers)
    for at, writer in killed_at:
        time.sleep(max(at - time.monotonic(), 0))
        os.kill(writer, signal.SIGKILL)
    return all(os.waitpid(writer, 0)[1] == signal.SIGKILL for writer in writers)


def main(directory: str, rounds: int, seed: int, told: str) -> int:
    """Do the rounds."""
    chance = random.Random(seed)
    descriptor = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    return 0 if all(one_round(directory, number, chance, descriptor) for number in range(rounds)) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
