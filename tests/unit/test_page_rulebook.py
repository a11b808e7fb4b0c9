"""gate.yaml while the page runs: read again when it has changed, and a fault in it never loosens anything."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import pytest

from config.load import ConfigError, load_policy_as_reader
from gate.page import rulebook
from gate.page.rulebook import Rulebook
from tests.support.event_loop import run
from tests.support.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as made:
        yield made.with_page(socket=True)


def book_of(site: Site) -> Rulebook:
    return Rulebook(str(site.yaml))


def named(site: Site, name: str) -> None:
    """gate.yaml with another name for its site, under which its policy can be told."""
    site.config["site"] = name
    site.write()


def test_a_page_begins_with_what_gate_yaml_says(site: Site) -> None:
    named(site, "first.example")
    book = book_of(site)
    assert (book.policy["site"], book.fault) == ("first.example", "")


@pytest.mark.parametrize("text", ["", "version: 2\n", "\0", "x: ["])
def test_a_page_does_not_begin_with_a_fault(site: Site, text: str) -> None:
    site.write(text)
    with pytest.raises(ConfigError, match=r"gate\.yaml"):
        book_of(site)


def test_what_has_not_changed_is_not_read_again(site: Site) -> None:
    book = book_of(site)
    before = book.policy
    run(book.refresh())
    assert book.policy is before


def test_what_has_changed_is(site: Site) -> None:
    book = book_of(site)
    named(site, "second.example")
    run(book.refresh())
    assert (book.policy["site"], book.fault) == ("second.example", "")


def test_a_change_that_keeps_size_and_time_is_seen_too(site: Site) -> None:
    named(site, "first.example")
    book, before = book_of(site), site.yaml.stat()
    site.yaml.write_text(site.yaml.read_text().replace("first.example", "other.example"))
    os.utime(site.yaml, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (site.yaml.stat().st_ino, site.yaml.stat().st_size) == (before.st_ino, before.st_size)
    run(book.refresh())
    assert book.policy["site"] == "other.example"


def directory(site: Site) -> None:
    site.yaml.unlink()
    site.yaml.mkdir()


def without_page(site: Site) -> None:
    del site.config["page"]
    site.config["site"] = "without.example"
    site.write()


FAULTS: dict[str, tuple[Callable[[Site], Any], str]] = {
    "a typo": (lambda site: site.write("version: 1\nrulez: []\n"), "rulez"),
    "cut short": (lambda site: site.write(site.yaml.read_text()[:40]), "gate.yaml"),
    "gone": (lambda site: site.yaml.unlink(), "no such file"),
    "a directory": (directory, "not a regular file"),
    "for all to write": (lambda site: site.yaml.chmod(0o666), "can be written by others"),
    "without a page": (without_page, "has no page: add one"),
}  # fmt: skip


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_is_told_and_what_was_before_stays(site: Site, case: str) -> None:
    book = book_of(site)
    before = book.policy
    make, told = FAULTS[case]
    make(site)
    for _ in range(2):
        run(book.refresh())
        assert told in book.fault
        assert book.policy is before


@pytest.mark.parametrize("case", ["a typo", "gone", "for all to write", "without a page"])
def test_a_fault_that_was_mended_is_over(site: Site, case: str) -> None:
    book, content = book_of(site), site.yaml.read_text()
    FAULTS[case][0](site)
    run(book.refresh())
    site.write(content.replace("test.example", "mended.example"))
    run(book.refresh())
    assert (book.policy["site"], book.fault) == ("mended.example", "")


def test_a_second_fault_takes_the_place_of_the_first(site: Site) -> None:
    book = book_of(site)
    for text in ("one: 1\n", "two: 2\n"):
        site.write(text)
        run(book.refresh())
    assert "two" in book.fault
    assert "one" not in book.fault


def test_a_crowd_of_visitors_has_it_read_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    book, reads, true = book_of(site), list[str](), load_policy_as_reader

    def counted(path: str) -> Any:
        reads.append(path)
        return true(path)

    async def crowd() -> list[str]:
        async def visit() -> str:
            await book.refresh()
            return str(book.policy["site"])

        return await asyncio.gather(*[visit() for _ in range(50)])

    monkeypatch.setattr(rulebook, "load_policy_as_reader", counted)
    named(site, "second.example")
    assert run(crowd()) == ["second.example"] * 50
    assert len(reads) == 1


def test_a_change_while_it_is_read_is_seen_the_next_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    book, true = book_of(site), load_policy_as_reader

    def read(path: str) -> Any:
        found = true(path)
        monkeypatch.undo()
        named(site, "third.example")
        return found

    monkeypatch.setattr(rulebook, "load_policy_as_reader", read)
    named(site, "second.example")
    run(book.refresh())
    assert book.policy["site"] == "second.example"
    run(book.refresh())
    assert book.policy["site"] == "third.example"
