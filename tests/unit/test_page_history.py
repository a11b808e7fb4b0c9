"""Searching what was decided: each filter finds what it says, whatever is written in it, and pages neither skip nor repeat."""

from __future__ import annotations

import calendar
import itertools
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.flow.decide import DECISIONS
from gate.page.history import search
from gate.page.history.index import Index
from gate.page.history.search import BUCKETS_S, Filter, FilterError, filter_of
from tests.support.page_logs import Log, key_of

if TYPE_CHECKING:
    from pathlib import Path

MIDNIGHT_MS = calendar.timegm((2026, 11, 24, 0, 0, 0)) * 1000
PATHS = ("shop/web", "Shop/api", "ops/it's", 'ops/"q"', "ops/100%", "ops/a_b", "ops/back\\slash", "ops/ünder")
ENVIRONMENTS = ("production", "Review/50%", None)
USERS = ("dev", "alice-gl", "O'Hara")
MOMENTS_MS = (-86_400_000, -1, 0, 0, 1, 86_399_999, 86_400_000)  # around a midnight, two of them at once
METACHARACTERS = ("'", '"', "%", "_", "\\", "' OR '1'='1", "%' --", ";DROP TABLE requests", "*", "?", "\0", "[a-z]")


class Decided:
    """A log of decided requests, its index, and the same in plain Python."""

    def __init__(self, directory: Path) -> None:
        self.log, self.rows = Log(directory / "audit"), list[dict[str, Any]]()
        cases = zip(*map(itertools.cycle, (PATHS, ENVIRONMENTS, USERS, MOMENTS_MS, ("alice", "bob"))), strict=False)
        for number, case in zip(range(1, 60), cases, strict=False):
            self._add(number, DECISIONS[number % len(DECISIONS)], *case)
        self.log.requested(1000)  # which waits still, and is in no history
        self.index = Index(str(directory / "index.sqlite"), str(self.log.directory))
        assert self.index.catch_up() > 100

    def _add(
        self, number: int, word: str, path: str, environment: str | None, user: str, at_ms: int, person: str
    ) -> None:
        of = {"names": [user], "ids": [], "emails": []}
        self.log.wall_ms = MIDNIGHT_MS + at_ms
        self.log.whole(number, word, person, 0, path=path, environment=environment, triggered_by=of)
        voters = [person] if word in ("approved", "rejected") else []
        self.rows.append({"key": key_of(number), "path": path, "environment": environment, "user": user,
                          "at_ms": self.log.wall_ms, "voters": voters, "word": word})  # fmt: skip

    def expected(self, wanted: Filter) -> list[str]:
        """The keys that a filter means, newest first."""
        since_ms, until_ms = (
            MIDNIGHT_MS + 86_400_000 * DAYS[day] if day else None for day in (wanted.since, wanted.until)
        )
        found = [
            row
            for row in self.rows
            if wanted.project.lower() in row["path"].lower()
            and wanted.environment.lower() in (row["environment"] or "").lower()
            and (not wanted.environment or row["environment"])
            and (
                not wanted.person
                or wanted.person.lower() in row["voters"]
                or wanted.person.lower() in row["user"].lower()
            )
            and wanted.outcome in ("", row["word"])
            and (since_ms is None or row["at_ms"] >= since_ms)
            and (until_ms is None or row["at_ms"] < until_ms + 86_400_000)
        ]
        return [row["key"] for row in sorted(found, key=lambda row: row["at_ms"])][::-1]


DAYS = {"2026-11-22": -2, "2026-11-23": -1, "2026-11-24": 0, "2026-11-25": 1, "2026-12-01": 7}


@pytest.fixture(scope="module")
def decided(tmp_path_factory: pytest.TempPathFactory) -> Decided:
    return Decided(tmp_path_factory.mktemp("history"))


def keys(decided: Decided, wanted: Filter, limit: int = 1000) -> list[str]:
    return [row["key"] for row in search.search(decided.index, wanted, limit)]


FILTERS = {
    "nothing": Filter(),
    "a project": Filter(project="shop/web"),
    "part of a project, whatever its case": Filter(project="SHOP"),
    "who voted": Filter(person="alice"),
    "who voted, in capitals": Filter(person="BOB"),
    "who triggered it": Filter(person="alice-gl"),
    "part of who triggered it": Filter(person="hara"),
    "an environment": Filter(environment="prod"),
    "an environment with a per cent sign": Filter(environment="50%"),
    "since a day, its first moment included": Filter(since="2026-11-24"),
    "until a day, its last moment included": Filter(until="2026-11-24"),
    "one day": Filter(since="2026-11-24", until="2026-11-24"),
    "the day before": Filter(since="2026-11-23", until="2026-11-23"),
    "no day at all": Filter(since="2026-11-25", until="2026-11-24"),
    "all at once": Filter("o", "alice", "pro", "approved", "2026-11-22", "2026-11-25"),
    **{word: Filter(outcome=word) for word in DECISIONS},
}


@pytest.mark.parametrize("case", FILTERS)
def test_a_filter_finds_what_it_says(decided: Decided, case: str) -> None:
    found = keys(decided, FILTERS[case])
    assert found == decided.expected(FILTERS[case])
    assert found or case == "no day at all"
    assert search.count(decided.index, FILTERS[case]) == len(found)


TEXTS = st.sampled_from(["", "", "o", "ops/", "shop", "alice", "bob", "dev", "pro", "50%", *METACHARACTERS]) | st.text(
    max_size=3
)
CHOICES = {
    "outcome": st.sampled_from(["", *DECISIONS]),
    "since": st.sampled_from(["", *DAYS]),
    "until": st.sampled_from(["", *DAYS]),
}


@given(st.builds(Filter, project=TEXTS, person=TEXTS, environment=TEXTS, **CHOICES))
def test_any_filters_together_find_what_they_say(decided: Decided, wanted: Filter) -> None:
    clean = filter_of(wanted.given)
    if any(text.lower() != text.casefold() or not text.isascii() for text in clean.given.values()):
        keys(decided, clean)  # SQLite folds the case of ASCII only; such a filter does no harm
        return
    assert keys(decided, clean) == decided.expected(clean)
    assert search.count(decided.index, clean) == len(decided.expected(clean))


@pytest.mark.parametrize("text", METACHARACTERS)
@pytest.mark.parametrize("name", ["project", "person", "environment"])
def test_no_text_in_a_filter_means_more_than_itself(decided: Decided, name: str, text: str) -> None:
    wanted = Filter(**{name: text})
    assert keys(decided, wanted) == decided.expected(wanted)
    assert len(keys(decided, wanted)) <= 20
    assert len(keys(decided, Filter())) == 59


def test_what_waits_is_in_no_history(decided: Decided) -> None:
    assert key_of(1000) not in keys(decided, Filter())


@given(st.integers(1, 20), st.sampled_from(list(FILTERS)))
def test_pages_have_each_request_once_and_in_order(decided: Decided, size: int, case: str) -> None:
    found: list[str] = []
    before = None
    while page := search.search(decided.index, FILTERS[case], size, before):
        assert len(page) <= size
        found += [row["key"] for row in page]
        before = (page[-1]["decided_ms"], page[-1]["number"])
    assert found == decided.expected(FILTERS[case])


@pytest.mark.parametrize("rows", [1, 7, 58, 59, 60])
def test_an_export_has_all_in_pieces(decided: Decided, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(search, "EXPORT_ROWS", rows)
    pieces = list(search.search_all(decided.index, Filter()))
    assert [row["key"] for piece in pieces for row in piece] == decided.expected(Filter())
    assert max(map(len, pieces)) == min(rows, 59)


NO_DAYS = ("yesterday", "2026-13-01", "2026-02-30", "2026-11-24T00:00", "24.11.2026", "2026-11-24 ", "1795478400", "0000-01-01",
           "2026-11-24'", "-1-1-1", "9" * 200, "\0")  # fmt: skip


@pytest.mark.parametrize("name", ["since", "until"])
@pytest.mark.parametrize("text", NO_DAYS)
def test_what_is_no_day_is_told(name: str, text: str) -> None:
    with pytest.raises(FilterError, match=f"{name} is a day, such as 2026-11-24"):
        Filter(**{name: text})


@pytest.mark.parametrize("text", ["Approved", "approve", "vote", "approved'", "%", "approved,rejected"])
def test_what_is_no_outcome_is_told_with_those_there_are(text: str) -> None:
    with pytest.raises(FilterError, match="outcome is one of approved, rejected, refused, expired"):
        Filter(outcome=text)


@pytest.mark.parametrize("day", ["0001-01-01", "1970-01-01", "9999-12-31"])
def test_the_first_and_the_last_day_are_days(decided: Decided, day: str) -> None:
    assert len(keys(decided, Filter(since=day))) + len(keys(decided, Filter(until=day))) == 59


def test_a_filter_is_read_from_an_address_without_what_is_not_its() -> None:
    query = {"project": "  shop ", "person": "x" * 500, "since": "", "before": "7-7", "limit": "1"}
    wanted = filter_of(query)
    assert wanted == Filter(project="shop", person="x" * 200)
    assert wanted.given == {"project": "shop", "person": "x" * 200}
    assert filter_of(wanted.given) == wanted


def test_each_outcome_is_counted(decided: Decided) -> None:
    words = [row["word"] for row in decided.rows]
    assert search.by_outcome(decided.index) == {word: words.count(word) for word in DECISIONS}


def test_rehearsals_are_found_and_not_counted(tmp_path: Path) -> None:
    log = Log(tmp_path / "audit")
    log.whole(1)
    log.whole(2, rehearsal=True)
    log.whole(3, "rejected", rehearsal=True)
    index = Index(str(tmp_path / "index.sqlite"), str(log.directory))
    index.catch_up()
    found = {
        word: {row["key"] for row in search.search(index, Filter(rehearsals=word), 10)} for word in ("", "no", "only")
    }
    assert found == {"": {key_of(1), key_of(2), key_of(3)}, "no": {key_of(1)}, "only": {key_of(2), key_of(3)}}
    assert search.by_outcome(index) == dict.fromkeys(DECISIONS, 0) | {"approved": 1}
    assert search.times_to_decide(index)[1:] == (1, 60)
    with pytest.raises(FilterError, match="rehearsals is no or only"):
        Filter(rehearsals="some")


def test_an_empty_log_has_figures_too(tmp_path: Path) -> None:
    index = Index(str(tmp_path / "index.sqlite"), str(Log(tmp_path / "audit").directory))
    index.catch_up()
    assert search.by_outcome(index) == dict.fromkeys(DECISIONS, 0)
    assert search.times_to_decide(index) == ([0] * len(BUCKETS_S), 0, 0)
    assert (search.search(index, Filter(), 10), search.count(index, Filter())) == ([], 0)


def test_times_to_decide_fall_into_each_bucket_that_holds_them(tmp_path: Path) -> None:
    log = Log(tmp_path / "audit")
    for number, waited_s in enumerate([1, 10, 10.001, 60, 3600, 86_400, 100_000]):
        log.whole(number, ("approved", "rejected")[number % 2], waited_s=waited_s)
    for number, word in enumerate(DECISIONS[2:], 100):
        log.whole(number, word, waited_s=5)
    index = Index(str(tmp_path / "index.sqlite"), str(log.directory))
    index.catch_up()
    buckets, number, total_s = search.times_to_decide(index)
    assert dict(zip(BUCKETS_S, buckets, strict=True)) == {
        10: 2, 30: 3, 60: 4, 300: 4, 900: 4, 3600: 5, 14_400: 5, 86_400: 6
    }  # fmt: skip
    assert number == 7
    assert total_s == pytest.approx(190_081.001)
