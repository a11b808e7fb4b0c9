"""How every state of the page looks and behaves: accessible, in light and dark, wide and narrow, with and without a script."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.support.browser import DESKTOP, PHONE, Browsers, faults_of, log_in
from tests.support.site import APPROVER
from tests.support.states import STATES, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.browser.conftest import Shown

    Start = Callable[..., Shown]

AAA_OR_LESS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
# A button's fades to that of the other scheme.
COLOURS_ARE_THERE = "() => Promise.all(document.getAnimations().map((each) => each.finished)).then(() => null)"
# What axe cannot know here: `role=region` on what scrolls.
EXPECTED_STATUS = ("400", "403", "404", "409", "421", "422", "429", "503")


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.name)
def test_axe_finds_nothing_and_nothing_overflows(shown: Start, browser: Browsers, state: State) -> None:
    start = shown(**state.needs)
    start.page.add_user(APPROVER)
    for size in (DESKTOP, PHONE):
        seen = browser.open(viewport=size)
        state.go(start, seen)
        for scheme in SCHEMES:
            seen.emulate_media(color_scheme=scheme)
            seen.evaluate(COLOURS_ARE_THERE)
            found = Axe().run(seen, options={"runOnly": {"type": "tag", "values": AAA_OR_LESS}}).response["violations"]
            assert [(scheme, each["id"], [node["html"] for node in each["nodes"]]) for each in found] == []
        wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        assert not seen.evaluate(wide), f"{state.name} is wider than {size['width']} pixels"
        unexpected = [fault for fault in faults_of(seen) if not any(code in fault for code in EXPECTED_STATUS)]
        assert unexpected == []
    start.stage.close()


def test_without_a_script_people_filter_read_answer_and_search(shown: Start, browser: Browsers) -> None:
    start = shown()
    start.page.add_user(APPROVER)
    one, _other = start.stage.waiting(name="migrate"), start.stage.waiting(name="deploy")
    seen = browser.open(java_script_enabled=False)
    log_in(seen, start.page, APPROVER)
    seen.get_by_role("searchbox").fill("migr")
    seen.get_by_role("button", name="Show").click()
    expect(seen.get_by_role("link", name="migrate #1001")).to_be_visible()
    expect(seen.get_by_role("link", name="deploy #1002")).to_have_count(0)
    seen.get_by_role("link", name="migrate #1001").click()
    seen.get_by_role("button", name="Reject").click()
    expect(seen.locator("#outcome")).to_contain_text("not taken yet")
    start.stage.decided(one, "rejected", "no")
    seen.get_by_role("link", name="History").click()
    seen.get_by_label("Outcome").select_option("rejected")
    seen.get_by_role("button", name="Search").click()
    expect(seen.get_by_role("row")).to_have_count(2)


def test_each_script_is_under_a_hundred_lines() -> None:
    from gate.page.render import STATIC, _static

    scripts = [name for name in STATIC if name.endswith(".js")]
    assert [name for name in scripts if len(_static(name).decode().splitlines()) >= 100] == []


def test_variables_are_marked_and_long_ones_unfold(shown: Start, browser: Browsers) -> None:
    start = shown()
    start.page.add_user(APPROVER)
    seen = browser.open(java_script_enabled=False)
    next(state for state in STATES if state.name == "variables").go(start, seen)
    variables = seen.locator("#variables")
    for text in ("production --force --now", "No longer set: NOTIFY", "overrides the server's"):
        expect(variables).to_contain_text(text)
    expect(variables.locator(".change")).to_have_count(9)
    expect(variables).not_to_contain_text("made-up-secret")
    expect(variables).not_to_contain_text("eu-west-1")
    folded = variables.get_by_text("- change number 11 of this release")
    expect(folded).to_be_hidden()
    variables.get_by_text("characters").click()
    expect(folded).to_be_visible()
    expect(seen.locator("#unknown")).to_contain_text('Unknown field sandbox: {"level": 2}')
    start.stage.close()


def test_a_request_of_an_older_gate_says_that_its_variables_are_not_kept(shown: Start, browser: Browsers) -> None:
    start = shown()
    start.page.add_user(APPROVER)
    request = start.stage.waiting()
    path = Path(request.directory) / "content.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    kept = ("v", "key", "response_sha256", "too_large", "steps", "hooks", "image", "services", "run")
    path.write_text(json.dumps({name: content[name] for name in kept}), encoding="utf-8")
    seen = browser.open()
    log_in(seen, start.page, APPROVER, f"/requests/{request.key}")
    expect(seen.locator("#variables")).to_contain_text("it came to an older version of the gate")
    start.stage.close()
