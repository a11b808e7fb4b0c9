"""An approver's evening, in a real browser: log in, read, answer; and the waiting job goes on or does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.runner.conftest import HALVES
from tests.runner.gated import Gated
from tests.support.browser import PHONE, faults_of, log_in
from tests.support.page import PageServer
from tests.support.ports import free_port
from tests.support.runner import MISSING, find_runner
from tests.support.site import APPROVER, IS_ROOT, Site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Page

    from tests.browser.conftest import Shown
    from tests.support.browser import Browsers

    Start = Callable[..., Shown]

NEEDS_USERS = pytest.mark.skipif(not IS_ROOT, reason="not root: only root can act as a second Unix user")
PATIENT = "import gate.page.voting as v; v.TAKEN_WITHIN_S = 60"  # a vote is taken at once, but for a busy machine
ASKS_FOR_REASONS = {"comment": {"approve": "optional", "reject": "required"}}


@pytest.fixture(params=list(HALVES))
def gated(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Gated, PageServer]]:
    """A gate with a page before a runner, by rehearsal and for real."""
    if request.param == "gitlab-runner" and find_runner() is None:
        pytest.skip(MISSING)
    with Site(rule=ASKS_FOR_REASONS).with_page(listen=f"127.0.0.1:{free_port()}", socket=True) as site:
        harness = HALVES[request.param](site.wiring(), tmp_path)
        try:
            case = Gated(site, harness)
            first = case.waiting()  # makes page/, as the first job does
            with PageServer(site, PATIENT) as page:
                page.add_user(APPROVER)
                case.first = first  # type: ignore[attr-defined]
                yield case, page
        finally:
            harness.close()


def test_rejecting_needs_its_comment_and_approving_lets_the_job_run(
    gated: tuple[Gated, PageServer], browser: Browsers
) -> None:
    case, page = gated
    job: int = case.first  # type: ignore[attr-defined]
    seen = browser.open()
    log_in(seen, page, APPROVER)
    seen.get_by_role("link", name=f"deploy #{job}").click()
    expect(seen.get_by_text("echo THE_SCRIPT_RAN | tr _ ' '", exact=True)).to_be_visible()
    seen.get_by_role("button", name="Reject").click()
    expect(seen.get_by_role("alert")).to_contain_text("wants a comment with each rejection")
    assert (case.ran(job), case.decisions(job)) == (False, [])
    seen.get_by_label("Comment").fill("go **ahead**")
    seen.get_by_role("button", name="Approve").click()
    expect(seen.get_by_text("Your approval was counted.")).to_be_visible()
    assert case.outcome(job) == ("success", None, None)
    assert case.ran(job)
    (vote,) = case.site.records("vote", job)
    assert (vote["by"]["person"], vote["by"]["via"], vote["comment"]) == (APPROVER, "page", "go **ahead**")
    assert [fault for fault in faults_of(seen) if "422" not in fault] == []


def test_a_rejection_on_the_page_fails_the_job_with_its_code(
    gated: tuple[Gated, PageServer], browser: Browsers
) -> None:
    case, page = gated
    job: int = case.first  # type: ignore[attr-defined]
    seen = browser.open(viewport=PHONE, java_script_enabled=False)
    log_in(seen, page, APPROVER, f"/requests/{case.site.job_dir(job).name}")
    seen.get_by_label("Comment").fill("not on a Friday")
    seen.get_by_role("button", name="Reject").click()
    expect(seen.get_by_text("Your rejection was counted.")).to_be_visible()
    expect(seen.locator("#standing")).to_contain_text("not on a Friday")
    assert seen.get_by_role("button", name="Approve").count() == 0
    assert case.outcome(job) == ("failed", "script_failure", 80)
    assert not case.ran(job)


@NEEDS_USERS
def test_of_two_who_answer_at_once_one_stands_and_both_are_told(
    gated: tuple[Gated, PageServer], browser: Browsers
) -> None:
    case, page = gated
    page.add_user("bob")
    job: int = case.first  # type: ignore[attr-defined]
    path = f"/requests/{case.site.job_dir(job).name}"
    both = {person: browser.open() for person in ("alice", "bob")}
    for person, seen in both.items():
        log_in(seen, page, person, path)
        seen.get_by_label("Comment").fill(f"says {person}")
    with both["alice"].expect_request_finished(), both["bob"].expect_request_finished():
        both["alice"].get_by_role("button", name="Approve").click(no_wait_after=True)
        both["bob"].get_by_role("button", name="Reject").click(no_wait_after=True)
    for seen in both.values():
        expect(seen.locator("#outcome, #note").first).to_be_visible()
    ended = case.outcome(job)
    (decided,) = case.decisions(job)
    assert (decided == "approved") == case.ran(job) == (ended[0] == "success")
    for seen in both.values():
        seen.reload()
        expect(seen.locator("#standing .badge")).to_have_text(decided)


def test_a_new_request_and_its_decision_appear_by_themselves(shown: Start, browser: Browsers) -> None:
    start = shown()
    start.page.add_user(APPROVER)
    seen = browser.open()
    log_in(seen, start.page, APPROVER)
    expect(seen.get_by_text("Nothing waits.")).to_be_visible()
    request = start.stage.waiting(name="migrate")
    seen.get_by_role("link", name="migrate #1001").wait_for()
    expect(seen.get_by_role("group", name="Decide the selected ones together")).to_be_visible()
    start.stage.decided(request, "expired")
    expect(seen.get_by_text("Nothing waits.")).to_be_visible()
    assert faults_of(seen) == []


def test_an_open_request_shows_its_decision_and_keeps_what_was_being_written(shown: Start, browser: Browsers) -> None:
    start = shown(rule={"approvals": [{"count": 1, "of": [APPROVER]}]})
    start.page.add_user(APPROVER)
    request = start.stage.waiting()
    seen = browser.open()
    log_in(seen, start.page, APPROVER, f"/requests/{request.key}")
    seen.get_by_label("Comment").fill("half a sent")
    start.stage.waiting(name="another")
    start.stage.vote(request, "carol", "approve", "somebody else's")  # on no list: changes the records only
    expect(seen.locator("#records")).to_contain_text("carol")
    expect(seen.get_by_label("Comment")).to_have_value("half a sent")
    start.stage.decided(request, "expired", why="nobody answered in time")
    expect(seen.locator("#standing")).to_contain_text("nobody answered in time")
    assert seen.get_by_label("Comment").count() == 0
    assert faults_of(seen) == []


def test_selected_requests_are_decided_together_and_each_is_told(shown: Start, browser: Browsers) -> None:
    start = shown()
    start.page.add_user(APPROVER)
    first, second, third = (start.stage.waiting(name=name) for name in ("one", "two", "three"))
    seen = browser.open()
    log_in(seen, start.page, APPROVER)
    for name in ("one", "two", "three"):
        seen.get_by_role("checkbox", name=name).check()
    start.stage.decided(second, "expired")
    expect(seen.get_by_role("checkbox", name="two")).to_have_count(0)
    expect(seen.get_by_role("checkbox", name="one")).to_be_checked()
    seen.get_by_label("Comment").fill("all of you")
    seen.get_by_role("button", name="Reject").click()
    expect(seen.get_by_role("heading", name="Result")).to_be_visible()
    left = [sorted((start.site.state / "jobs" / each.key / "votes").iterdir()) for each in (first, second, third)]
    assert [len(files) for files in left] == [1, 0, 1]
    expect(seen.locator(".outcomes li")).to_have_count(2)


def test_everything_is_reached_and_done_by_keyboard(shown: Start, browser: Browsers) -> None:
    start = shown()
    start.page.add_user(APPROVER)
    request = start.stage.waiting()
    seen = browser.open()
    seen.goto(start.page.url + "/")
    expect(seen.get_by_label("Name")).to_be_focused()
    seen.keyboard.type(APPROVER)
    seen.keyboard.press("Tab")
    seen.keyboard.type("correct horse battery staple")
    seen.keyboard.press("Enter")
    seen.wait_for_url(start.page.url + "/")
    _tab_to(seen, f"deploy #{request.facts['job_id']}")
    seen.keyboard.press("Enter")
    seen.wait_for_url(f"**/requests/{request.key}")
    _tab_to(seen, "Reject")
    assert seen.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    seen.keyboard.press("Enter")
    expect(seen.locator("#outcome")).to_contain_text("not taken yet")


def _tab_to(seen: Page, text: str) -> None:
    for _ in range(60):
        seen.keyboard.press("Tab")
        if seen.evaluate("document.activeElement.innerText").strip() == text:
            return
    raise AssertionError(f"{text!r} cannot be reached by Tab")
