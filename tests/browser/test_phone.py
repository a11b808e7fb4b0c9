"""An approver's half minute: on a phone, by keyboard only, and with what was written never lost."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.test_answering import _tab_to
from tests.support.browser import PHONE, faults_of, log_in
from tests.support.jobs import variable
from tests.support.site import APPROVER
from tests.support.states import STATES

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from tests.browser.conftest import Shown
    from tests.support.browser import Browsers

    Start = Callable[..., Shown]

WITHIN_S = 60  # against hanging: a person takes half a minute, and this machine may be busy


def _state(name: str, start: Shown, seen: Page) -> None:
    next(state for state in STATES if state.name == name).go(start, seen)


@pytest.mark.parametrize("has_script", [True, False])
def test_a_job_of_one_line_is_answered_on_a_phone_within_one_screen_of_scrolling(
    shown: Start, browser: Browsers, *, has_script: bool
) -> None:
    start = shown()
    start.page.add_user(APPROVER)
    seen = browser.open(viewport=PHONE, java_script_enabled=has_script)
    _state("one-line", start, seen)
    opened_s = time.monotonic()
    seen.reload()
    expect(seen.get_by_role("heading", level=1)).to_contain_text("shop/web · deploy → production")
    bar = seen.get_by_role("link", name="Approve…")
    expect(bar).to_be_in_viewport(ratio=1)
    bar.click()
    expect(seen.get_by_label("Comment")).to_be_focused()
    expect(seen.get_by_role("button", name="Approve")).to_be_in_viewport()
    assert seen.evaluate("scrollY") <= PHONE["height"]
    expect(bar).to_be_hidden()
    seen.get_by_role("button", name="Approve").click()
    expect(seen.locator("#outcome")).to_contain_text("is written down")
    assert time.monotonic() - opened_s < WITHIN_S
    assert faults_of(seen) == []


def test_the_script_stands_before_the_answer_and_the_facts_behind(shown: Start, browser: Browsers) -> None:
    start = shown()
    start.page.add_user(APPROVER)
    seen = browser.open(viewport=PHONE)
    _state("one-line", start, seen)
    order = [seen.locator(part).bounding_box() for part in ("#script", "#variables", "#answer", "#facts", "#records")]
    tops = [box["y"] for box in order if box]
    assert (len(tops), tops) == (5, sorted(tops))


def test_the_bar_is_as_large_as_a_thumb_and_covers_nothing_at_the_end(shown: Start, browser: Browsers) -> None:
    start = shown()
    start.page.add_user(APPROVER)
    seen = browser.open(viewport=PHONE)
    _state("one-line", start, seen)
    for name in ("Approve…", "Reject…"):
        box = seen.get_by_role("link", name=name).bounding_box()
        assert box
        assert box["height"] >= 44
    seen.evaluate("scrollTo(0, document.body.scrollHeight)")
    bar, end = seen.locator(".reach").bounding_box(), seen.locator("#records").bounding_box()
    assert bar
    assert end
    assert end["y"] + end["height"] <= bar["y"]


def test_all_of_it_is_done_by_keyboard_shortcuts_that_never_answer(shown: Start, browser: Browsers) -> None:
    start = shown()
    start.page.add_user(APPROVER)
    one, two = start.stage.waiting(name="one", waited_s=60), start.stage.waiting(name="two")
    seen = browser.open()
    log_in(seen, start.page, APPROVER)
    seen.keyboard.press("?")
    expect(seen.get_by_role("dialog")).to_contain_text("No key approves or rejects by itself.")
    seen.keyboard.press("Escape")
    expect(seen.get_by_role("dialog")).to_be_hidden()
    for key, request in (("j", one), ("j", two), ("k", one)):
        seen.keyboard.press(key)
        assert seen.evaluate("document.activeElement.getAttribute('href')") == f"/requests/{request.key}"
    seen.keyboard.press("Enter")
    seen.wait_for_url(f"**/requests/{one.key}")
    seen.keyboard.press("c")
    expect(seen.get_by_label("Comment")).to_be_focused()
    seen.keyboard.type("what?")  # no shortcut while somebody writes
    expect(seen.get_by_label("Comment")).to_have_value("what?")
    _tab_to(seen, "Approve")
    seen.keyboard.press("Enter")
    expect(seen.locator("#outcome")).to_contain_text("is written down")
    assert faults_of(seen) == []


def test_shortcuts_can_be_turned_off(shown: Start, browser: Browsers) -> None:
    start = shown()
    start.page.add_user(APPROVER)
    seen = browser.open()
    log_in(seen, start.page, APPROVER)
    seen.keyboard.press("?")
    seen.get_by_label("Shortcuts are on").uncheck()
    seen.keyboard.press("Escape")
    seen.reload()
    seen.keyboard.press("?")
    expect(seen.get_by_role("dialog")).to_be_hidden()
    seen.get_by_role("button", name="Keyboard shortcuts").click()
    expect(seen.get_by_label("Shortcuts are on")).not_to_be_checked()


def test_times_are_the_reader_s_own_with_utc_behind_and_utc_without_a_script(shown: Start, browser: Browsers) -> None:
    start = shown()
    start.page.add_user(APPROVER)
    request = start.stage.waiting()
    for script, zone in ((True, "Asia/Kolkata"), (False, "Asia/Kolkata")):
        seen = browser.open(timezone_id=zone, java_script_enabled=script)
        log_in(seen, start.page, APPROVER, f"/requests/{request.key}")
        until = seen.locator("#standing time")
        utc = until.get_attribute("title") or ""
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", utc)
        text = until.inner_text()
        assert (text == utc) == (not script)
        if script:
            minute, *_offset = re.findall(r":(\d\d)", text)
            assert int(minute) == (int(utc[14:16]) + 30) % 60


def test_links_to_gitlab_open_beside(shown: Start, browser: Browsers) -> None:
    start = shown()
    start.page.add_user(APPROVER)
    seen = browser.open()
    _state("one-line", start, seen)
    leads = seen.locator("main a[href^='http']")
    assert leads.count() >= 5
    for link in leads.all():
        assert link.get_attribute("target") == "_blank"
        assert "noopener" in (link.get_attribute("rel") or "")


def test_what_was_written_outlives_an_error_a_new_login_and_a_decision(shown: Start, browser: Browsers) -> None:
    start = shown(rule={"comment": {"approve": "required", "reject": "optional"}})
    start.page.add_user(APPROVER)
    request = start.stage.waiting()
    seen = browser.open()
    log_in(seen, start.page, APPROVER, f"/requests/{request.key}")
    comment = seen.get_by_label("Comment")
    comment.fill("half a sent")
    seen.context.clear_cookies()
    start.stage.waiting(name="another")  # the page fetches itself, and finds that nobody is logged in
    seen.get_by_label("Password").wait_for()
    log_in(seen, start.page, APPROVER, f"/requests/{request.key}")
    expect(comment).to_have_value("half a sent")
    start.stage.decided(request, "expired")
    expect(seen.locator("#answer")).to_contain_text("You had written: half a sent")


def test_without_a_script_what_was_written_is_shown_when_the_session_has_ended(shown: Start, browser: Browsers) -> None:
    start = shown()
    start.page.add_user(APPROVER)
    request = start.stage.waiting()
    seen = browser.open(java_script_enabled=False)
    log_in(seen, start.page, APPROVER, f"/requests/{request.key}")
    seen.get_by_label("Comment").fill("not <b>yet</b>")
    seen.context.clear_cookies()
    seen.get_by_role("button", name="Reject").click()
    expect(seen.get_by_role("main")).to_contain_text("You had written: not <b>yet</b>")
    seen.get_by_role("link", name="Log in again").click()
    seen.get_by_label("Name").fill(APPROVER)
    seen.get_by_label("Password").fill("correct horse battery staple")
    seen.get_by_role("button", name="Log in").click()
    seen.wait_for_url(f"**/requests/{request.key}")


def test_a_comment_that_came_too_late_is_still_there(shown: Start, browser: Browsers) -> None:
    start = shown()
    start.page.add_user(APPROVER)
    request = start.stage.waiting()
    seen = browser.open(java_script_enabled=False)
    log_in(seen, start.page, APPROVER, f"/requests/{request.key}")
    seen.get_by_label("Comment").fill("why not")
    start.stage.decided(request, "expired")
    seen.get_by_role("button", name="Reject").click()
    expect(seen.get_by_role("alert")).to_contain_text("Too late")
    expect(seen.locator("#answer")).to_contain_text("You had written: why not")


HOSTILE = "<script>alert(1)</script>\u202e\n" + "x" * 100_000


def test_hostile_claims_stand_to_the_letter_cut_and_marked(shown: Start, browser: Browsers) -> None:
    start = shown()
    start.page.add_user(APPROVER)
    names = ("TITLE", "MESSAGE", "AUTHOR", "TAG")
    claims = [variable(f"CI_COMMIT_{name}", HOSTILE + name) for name in names]
    request = start.stage.waiting(variables=[*claims, variable("CI_MERGE_REQUEST_TITLE", HOSTILE)])
    seen = browser.open(viewport=PHONE)
    log_in(seen, start.page, APPROVER, f"/requests/{request.key}")
    change = seen.locator("#change")
    expect(change).to_contain_text("as the job's variables say")
    expect(change).to_contain_text("<script>alert(1)</script>")
    assert change.locator(".odd").count() == 5
    assert len(change.inner_text()) < 5_000
    assert not seen.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    assert faults_of(seen) == []


def test_what_changed_is_a_small_diff_and_what_did_not_is_folded(shown: Start, browser: Browsers) -> None:
    start = shown()
    start.page.add_user(APPROVER)
    seen = browser.open(viewport=PHONE, java_script_enabled=False)
    _state("changed", start, seen)
    expect(seen.locator(".diff .removed code")).to_have_text(["./deploy.sh --env production"])
    expect(seen.locator(".diff .added code")).to_have_text(["./deploy.sh --env production --force"])
    expect(seen.locator("#variables")).to_contain_text("staging")
    last = seen.get_by_text("./check.sh --part 19", exact=True)
    expect(last).to_be_hidden()
    seen.get_by_text("All of it").click()
    expect(last).to_be_visible()


def test_an_unchanged_script_is_folded_and_says_so(shown: Start, browser: Browsers) -> None:
    start = shown()
    start.page.add_user(APPROVER)
    script = [f"./step {n}" for n in range(20)]
    start.stage.decided(start.stage.waiting(script=script), "approved", "go")
    request = start.stage.waiting(script=script)
    seen = browser.open(viewport=PHONE, java_script_enabled=False)
    log_in(seen, start.page, APPROVER, f"/requests/{request.key}")
    expect(seen.get_by_text("./step 19", exact=True)).to_be_hidden()
    seen.get_by_text("Unchanged since job #1001 was approved: 20 lines").click()
    expect(seen.get_by_text("./step 19", exact=True)).to_be_visible()


def test_filters_of_the_history_are_folded_on_a_phone_only(shown: Start, browser: Browsers) -> None:
    start = shown()
    start.page.add_user(APPROVER)
    start.stage.decided(start.stage.waiting(), "rejected", "no")
    for viewport, is_folded in ((PHONE, True), ({"width": 1280, "height": 800}, False)):
        seen = browser.open(viewport=viewport, java_script_enabled=False)
        log_in(seen, start.page, APPROVER, "/history")
        expect(seen.get_by_role("button", name="Search")).to_be_visible(visible=not is_folded)
        if is_folded:
            seen.get_by_label("Filters").check()
        seen.get_by_label("Outcome").select_option("rejected")
        seen.get_by_role("button", name="Search").click()
        expect(seen.get_by_role("button", name="Search")).to_be_visible()
        expect(seen.locator("tbody tr")).to_have_count(1)
