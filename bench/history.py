"""What the history costs as it grows: `make bench`. See bench/README.md.

Searching 100,000 decided requests against 1,000, and building the index of such a log against reading its lines as
JSON, each in the same run. Ratios can be compared between machines, milliseconds cannot.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

CHECKOUT = Path(__file__).parents[1]
sys.path.insert(0, str(CHECKOUT))

from gate.page.history import search as history  # noqa: E402
from gate.page.history.index import Index  # noqa: E402
from gate.page.history.search import Filter  # noqa: E402
from tests.support.page_logs import Log  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

MANY, FEW = 100_000, 1_000
ROUNDS = 15
PROJECTS, PEOPLE = 200, 50
EVERY_S = 240
ONE_PROJECT, ONE_PERSON = Filter(project="group-7/app-107"), Filter(person="person7")
SEARCHES: dict[str, Callable[[Index], object]] = {
    "newest 50, no filter": lambda index: history.search(index, Filter(), history.PAGE_ROWS),
    f"newest 50 of one project in {PROJECTS}": lambda index: history.search(index, ONE_PROJECT, history.PAGE_ROWS),
    f"newest 50 of one person in {PEOPLE}": lambda index: history.search(index, ONE_PERSON, history.PAGE_ROWS),
    "counting all": lambda index: history.count(index, Filter()),
    f"counting one project in {PROJECTS}": lambda index: history.count(index, ONE_PROJECT),
}


def made_log(directory: Path, requests: int) -> Path:
    """A log of that many decided requests, of several records each."""
    log = Log(directory / "audit")
    log.keep()
    for number in range(1, requests + 1):
        word = ("approved", "approved", "approved", "rejected", "expired")[number % 5]
        project = number % PROJECTS
        log.whole(number, word, f"person{number % PEOPLE}", EVERY_S, path=f"group-{project % 20}/app-{project}")
    log.flush()
    return log.path


def made_index(directory: Path) -> tuple[Index, float]:
    """The index of the log in a directory, and the seconds that it took to build."""
    began_s = time.perf_counter()
    index = Index(str(directory / "index.sqlite"), str(directory / "audit"))
    while index.catch_up():
        pass
    return index, time.perf_counter() - began_s


def json_s(log: Path) -> float:
    """Seconds to read a log's lines as JSON, and nothing else."""
    began_s = time.perf_counter()
    with log.open("rb") as lines:
        for line in lines:
            json.loads(line)
    return time.perf_counter() - began_s


def opened_s(index: Index) -> float:
    """Seconds to open an index that is there already, as a page that starts anew does."""
    began_s = time.perf_counter()
    assert Index(index.path, index.directory).catch_up() == 0  # noqa: S101
    return time.perf_counter() - began_s


def both_ms(many: Index, few: Index, search: Callable[[Index], object]) -> tuple[float, float]:
    """Median milliseconds of a search in either index; interleaved."""
    taken: dict[Index, list[float]] = {many: [], few: []}
    for _ in range(ROUNDS):
        for index, times in taken.items():
            began_s = time.perf_counter()
            search(index)
            times.append((time.perf_counter() - began_s) * 1000)
    return statistics.median(taken[many]), statistics.median(taken[few])


def main() -> None:
    """Measure and print a Markdown table."""
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "many").mkdir()
        (Path(scratch) / "few").mkdir()
        log = made_log(Path(scratch) / "many", MANY)
        made_log(Path(scratch) / "few", FEW)
        many, built_s = made_index(Path(scratch) / "many")
        few, _ = made_index(Path(scratch) / "few")
        bare_s, again_s = json_s(log), opened_s(many)
        print(f"| history, {MANY:,} decided requests | gate | bare | ratio |")
        print("|---|---|---|---|")
        print(f"| building its index, against json.loads of each line | {built_s:.1f} s | {bare_s:.1f} s "
              f"| {built_s / bare_s:.1f} |")  # fmt: skip
        print(f"| opening it again, against the same | {again_s * 1000:.0f} ms | {bare_s * 1000:.0f} ms "
              f"| {again_s / bare_s:.2f} |")  # fmt: skip
        for what, search in SEARCHES.items():
            a, b = both_ms(many, few, search)
            print(f"| {what}, against {FEW:,} requests | {a:.2f} ms | {b:.2f} ms | {a / b:.1f} |")


if __name__ == "__main__":
    main()
