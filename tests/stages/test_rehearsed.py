"""A rehearsal is shown as one wherever requests are: on the page, in its exports and figures, on the command line."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING

import pytest

from tests.support.page import Client, PageServer
from tests.support.site import APPROVER, Site
from tests.support.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def shown() -> Iterator[tuple[Site, Stage, Client]]:
    """Two that wait and two that were approved, a real one and a rehearsal of each."""
    with Site(rule={"decide_within": "1d"}).with_page(socket=True) as site:
        stage = Stage(site)
        for is_rehearsal in (False, True):
            stage.waiting(name="migrate", rehearsal=is_rehearsal)
            stage.decided(stage.waiting(name="deploy", rehearsal=is_rehearsal), "approved")
        with PageServer(site) as page:
            client = Client(page, APPROVER)
            while "deploy" not in client.get("/history").text:
                pass
            yield site, stage, client
        stage.close()


BADGE = '<span class="badge rehearsal">rehearsal</span>'


@pytest.mark.parametrize(
    ("address", "badges"), [("/", 1), ("/history", 1), ("/history?rehearsals=no", 0), ("/history?rehearsals=only", 1)]
)
def test_the_page_marks_it(shown: tuple[Site, Stage, Client], address: str, badges: int) -> None:
    assert shown[2].get(address).body.count(BADGE) == badges


@pytest.mark.parametrize("number", [1001, 1002, 1003, 1004])
def test_its_own_page_is_marked(shown: tuple[Site, Stage, Client], number: int) -> None:
    site, _stage, client = shown
    reply = client.get(f"/requests/{site.job_dir(number).name}")
    assert (reply.status, reply.body.count(BADGE)) == (200, number > 1002)


def test_exports_say_it(shown: tuple[Site, Stage, Client]) -> None:
    client = shown[2]
    exported = {row["request"]: row["rehearsal"] for row in json.loads(client.get("/history.json").body)}
    assert sorted(exported.items()) == [("REHEARSAL.gitlab.example-42-1004", True), ("gitlab.example-42-1002", False)]
    rows = list(csv.DictReader(io.StringIO(client.get("/history.csv?rehearsals=only").body)))
    assert [(row["request"], row["rehearsal"]) for row in rows] == [("REHEARSAL.gitlab.example-42-1004", "true")]


def test_figures_do_not_count_it(shown: tuple[Site, Stage, Client]) -> None:
    lines = shown[2].get("/metrics").body.splitlines()
    assert "gate_requests_waiting 1.0" in lines
    assert 'gate_decisions_total{decision="approved"} 1.0' in lines
    assert "gate_time_to_decide_seconds_count 1.0" in lines


def test_the_command_line_says_it(shown: tuple[Site, Stage, Client]) -> None:
    site = shown[0]
    real, rehearsed = site.gate_here("list").stdout.splitlines()[::4]
    assert (real[:8], rehearsed[:21]) == ("migrate ", "rehearsal of migrate ")
    assert [each["rehearsal"] for each in json.loads(site.gate_here("list", "--json").stdout)] == [False, True]
    said = {word: site.gate_here("audit", "show", "--rehearsals", word, "--json").stdout for word in ("no", "only")}
    marks = {
        word: {json.loads(line).get("rehearsal", False) for line in text.splitlines()} for word, text in said.items()
    }
    assert marks == {"no": {False}, "only": {True}}
