"""500 hostile strings in the fields that a job's author or an approver writes: each is text on the page, and nothing else.

At full effort (tests/support/effort.py) each string comes to each field, otherwise to some of them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from gate.model.words import shown
from gate.store.request import fit
from tests.support.browser import Browsers, faults_of, log_in
from tests.support.effort import some_of
from tests.support.hostile import strings
from tests.support.site import APPROVER

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from tests.browser.conftest import Shown

    Start = Callable[..., Shown]

FIELDS = ("name", "stage", "environment", "ref", "sha", "project_path", "user_login", "script", "hook", "hook_script", "image",
          "entrypoint", "service", "alias", "command", "variable", "setting", "comment")  # fmt: skip
# What stands in the page, by where: its text content, and the elements below it, with odd characters' marks left out.
_LOOK = """
(html) => {
  const page = html ? new DOMParser().parseFromString(html, "text/html") : document;
  const plain = (element) => [...element.querySelectorAll("*")].filter((e) => !e.matches("span.odd, bdi"));
  const shape = (element) => plain(element).filter((e) => !e.closest("q.comment *, .banner.warn"))
    .map((e) => e.tagName + "." + e.className + "#" + e.id).join(" ");
  const text = (selector) => [...page.querySelectorAll(selector)].map((e) => e.textContent);
  const facts = {};
  for (const dt of page.querySelectorAll("dl.facts dt")) facts[dt.textContent] = dt.nextElementSibling.textContent;
  const said = [...page.querySelectorAll("q.comment *:not(span.odd, bdi)")].map((e) => e.tagName + (e.getAttribute("href") ?? ""));
  return { shape: shape(page.body), title: page.title, h1: text("h1"), script: text(".script code"), facts, h3: text("h3"),
           banners: text(".banner.warn"), comments: text("q.comment"), said, handlers: plain(page).filter((e) =>
           [...e.attributes].some((a) => a.name.startsWith("on") || /^\\s*javascript:/i.test(a.value))).length };
}
"""


NUMBERS = some_of(range(len(strings())), 125)


def fields_of(n: int) -> dict[str, str]:
    """The n-th request's fields: each string comes to each field once."""
    found = strings()
    return {name: found[(n + 29 * at) % len(found)] for at, name in enumerate(FIELDS)}


def job_of(fields: dict[str, str]) -> dict[str, Any]:
    """A job with these fields."""
    variables = {
        f"{fields['variable']}!".replace(
            "GATE_", "X"
        ): "x",  # no name of a shell's, so all of them get the same warning
        "CI_COMMIT_SHA": "e" * 40,
        "GIT_STRATEGY": f"${fields['setting']}",
    }
    return {
        **{name: fields[name] for name in ("name", "stage", "environment", "ref", "sha", "project_path", "user_login")},
        "script": [fields["script"], fields["setting"]],
        "hooks": [{"name": fields["hook"], "script": [fields["hook_script"]]}],
        "image": {"name": fields["image"], "entrypoint": [fields["entrypoint"]]},
        "services": [{"name": fields["service"], "alias": fields["alias"], "command": [fields["command"]]}],
        "variables": variables,
    }


def seen_as(text: str) -> str:
    """How the page's text content has it: NUL, which HTML cannot hold, as its picture."""
    return text.replace("\0", "\u2400")


def test_five_hundred_hostile_strings_are_text(shown: Start, browser: Browsers) -> None:
    start = shown()
    start.page.add_user(APPROVER)
    plain = start.stage.waiting(hold=False, **job_of(dict.fromkeys(FIELDS, "plain")))
    start.stage.decided(plain, "rejected", "plain")
    requests = {}
    for n in NUMBERS:
        fields = fields_of(n)
        requests[n] = start.stage.waiting(hold=False, **job_of(fields))
        start.stage.decided(requests[n], "rejected", fields["comment"].strip()[:1000])
    page = browser.open()
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    log_in(page, start.page, APPROVER)
    wait_for_history(page, start, len(requests) + 1)
    template = looked_at(page, f"/requests/{plain.key}")
    wrong = [
        n for n, request in requests.items() if not is_text(looked_at(page, f"/requests/{request.key}"), n, template)
    ]
    assert wrong == [], fields_of(wrong[0])
    assert (dialogs, faults_of(page)) == ([], [])
    history_shows_them_all(page, start)
    assert (dialogs, faults_of(page)) == ([], [])


def is_text(found: dict[str, Any], n: int, template: dict[str, Any]) -> bool:
    """Whether a request's page has just what was written, in the elements that a plain one has."""
    fields = {name: seen_as(text) for name, text in fields_of(n).items()}
    facts = found["facts"]
    comment = fields["comment"].strip()[:1000]
    assert found["shape"] == template["shape"] or not comment, (found["shape"], template["shape"], fields)
    assert found["handlers"] == 0
    assert all(each.startswith(("Ahttp://", "Ahttps://")) for each in found["said"]), found["said"]
    assert found["h1"][0].startswith(f"{fields['project_path']} · {fields['name']} ")
    title = re.sub(" +", " ", f"{shown(fields_of(n)['name'])} #").strip(" ")  # as a browser takes a title
    assert found["title"].startswith(title), found["title"]
    assert found["script"] == [fields["hook_script"], fields["script"], fields["setting"]]
    assert f"Hook {fields['hook']}" in found["h3"]
    assert facts["Environment"].startswith(fields["environment"])
    assert facts["Ref"].startswith(fields["ref"])
    assert facts["Commit"] == fields["sha"]
    assert facts["Project"].startswith(fields["project_path"])
    assert facts["Job"].startswith(fields["name"])
    assert fields["stage"] in facts["Job"]
    assert fields["user_login"] in facts["Triggered by"]
    assert facts["Image"].startswith(fields["image"])
    assert fields["entrypoint"] in facts["Image"]
    assert facts["Service"].startswith(fields["service"])
    assert all(fields[name] in facts["Service"] for name in ("alias", "command"))
    assert set(found["comments"]) == ({comment} if comment else set())
    return True


def looked_at(page: Page, path: str) -> dict[str, Any]:
    """What a page is made of: fetched from within the browser, and parsed by it."""
    html = page.evaluate("(path) => fetch(path).then((answer) => answer.text())", path)
    found: dict[str, Any] = page.evaluate(_LOOK, html)
    return found


def wait_for_history(page: Page, start: Shown, number: int) -> None:
    page.goto(f"{start.page.url}/history")
    page.wait_for_function(
        "(n) => fetch('/history').then((a) => a.text()).then((t) => t.includes(`${n} decided`))", arg=f"{number:,}"
    )


def history_shows_them_all(page: Page, start: Shown) -> None:
    """Go through the history page by page, for real: every name is there as it was written, cut as the log cuts it."""
    names: list[str] = []
    page.goto(f"{start.page.url}/history")
    while True:
        names += page.locator("tbody td:nth-child(2) a").evaluate_all("(links) => links.map((a) => a.textContent)")
        older = page.get_by_role("link", name="Older")
        if not older.count():
            break
        with page.expect_navigation():
            older.click()
    expected = {seen_as(fit(fields_of(n)["name"])) for n in NUMBERS}
    assert expected <= {name.rpartition(" #")[0] for name in names}
    assert len(names) == len(NUMBERS) + 1
