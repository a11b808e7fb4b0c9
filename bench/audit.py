"""What `gate audit verify` costs, against a bare loop of json.loads and SHA-256 over the same lines, in one run.

Makes a log of RECORDS records, in segments of the default size, as a gate with many jobs would: some 700 MB.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

CHECKOUT = Path(__file__).parents[1]
sys.path.insert(0, str(CHECKOUT))

from audit import chain, segments  # noqa: E402
from audit.verify import verify  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RECORDS = 1_000_000
SEGMENT_BYTES = 64 * 1024 * 1024
LOG_ID = "0123456789abcdef" * 2
STAMP = {"time": "2026-11-24T01:43:41.123Z", "boottime": 123_456_789, "host": "build01", "version": "0.1.0"}


def story(number: int) -> Iterator[dict[str, Any]]:
    """The records of one approved job, without the log's own keys."""
    job = {"instance": "gitlab.example.com", "project_id": 42, "path": "shop/web", "pipeline_id": number, "id": number}
    job |= {"user": "dev (5)", "name": "deploy production", "stage": "deploy", "environment": "production"}
    job |= {"ref": "main", "sha": "0123456789" * 4}
    own = {"request": f"gitlab.example.com-42-{number}", "job": job}
    rule = {"rule": "production", "config": "a" * 64, "digest": "b" * 64}
    vote = {"by": {"person": "alice", "via": "page"}, "comment": "sieht gut aus für mich, go ahead"}
    yield {"event": "requested", **own, **rule, "why": "1 of release-managers (alice, bob) and 1 of carol"}
    yield {"event": "vote", **own, **vote, "decision": "approve"}
    yield {"event": "decided", **own, **rule, **vote, "decision": "approved", "why": "1 of 1 from release-managers"}
    yield {"event": "released", **own, "rule": "production", "digest": "b" * 64}
    yield {"event": "ended", **own, "why": "the job's stages are over"}


def make_log(directory: str, records: int) -> None:
    """A log of so many records, as appending and rotating make it."""
    stories = itertools.chain.from_iterable(story(number) for number in itertools.count(100_000))
    before, written, number = None, 0, segments.FIRST_SEGMENT
    while written < records:
        with open(os.path.join(directory, segments.name(number)), "wb") as target:
            new = [{"event": "genesis"}]
            while written < records and target.tell() < SEGMENT_BYTES:
                lines, head = chain.links(before, new, STAMP, LOG_ID)
                target.writelines(lines)
                before, written = (head, LOG_ID), written + len(lines)
                new = [next(stories)]
        number += 1


def bare(directory: str) -> int:
    """The least that anybody could do with each record; returns how many there are."""
    count = 0
    for number in segments.numbers(directory):
        with open(os.path.join(directory, segments.name(number)), "rb") as source:
            for line in source:
                json.loads(line)
                hashlib.sha256(line).hexdigest()
                count += 1
    return count


def seconds_of(work: Callable[[], object]) -> float:
    """CPU seconds that `work` takes."""
    began = time.process_time()
    work()
    return time.process_time() - began


def verified(directory: str) -> None:
    """Verify the whole log, which must be sound."""
    report = verify(directory)
    assert report.ok  # noqa: S101
    assert report.records == RECORDS  # noqa: S101


def main() -> None:
    """Measure and print a row for the table in bench/README.md."""
    with tempfile.TemporaryDirectory() as directory:
        make_log(directory, RECORDS)
        least = seconds_of(lambda: bare(directory))
        ours = seconds_of(lambda: verified(directory))
    print(f"{platform.machine()}, Linux {platform.release()}, Python {platform.python_version()}\n")
    print("| what | gate | bare | ratio |")
    print("|---|---|---|---|")
    print(f"| verifying {RECORDS:,} records, CPU | {ours:.1f} s | {least:.1f} s | {ours / least:.2f} |")


if __name__ == "__main__":
    main()
