"""Every state that the page has, one after the other: for the tests of its looks, and for the pictures in docs/images."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.browser import log_in
from tests.support.jobs import variable
from tests.support.site import APPROVER, IS_ROOT, USERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from gate.store.request import Request
    from tests.browser.conftest import Shown

SCRIPT = ["./deploy.sh --env production", 'curl --fail https://shop.example/health\necho "deployed $CI_COMMIT_SHA"']
TWO_LISTS = {"approvals": [{"count": 1, "of": ["release-managers"]}, {"count": 1, "of": [list(USERS)[-1]]}]}
REASONS = {"comment": {"approve": "optional", "reject": "required"}}


@dataclass(frozen=True)
class State:
    """One state: what its gate.yaml needs, and how a browser gets there."""

    name: str
    go: Callable[[Shown, Page], None]
    needs: dict[str, Any] = field(default_factory=dict)


def _deployment(start: Shown, **changes: Any) -> Request:
    job: dict[str, Any] = {
        "project_path": "shop/web",
        "script": SCRIPT,
        "after_script": ["./notify-chat"],
        "timeout": 7200,
        "user_login": "dana",
        "waited_s": 840,
        "left_s": 9_000,
        "sha": "3f1c9a7be2d04c5586c1a9d2f70b1e44a7c05d19",
        **changes,
    }
    return start.stage.waiting(**job)


def _several(start: Shown) -> None:
    _deployment(start)
    migrate = _deployment(start, name="migrate", stage="database", ref="release/2.4", waited_s=95, left_s=600)
    start.stage.vote(migrate, list(USERS)[-1], "approve", "ran fine on staging")
    _deployment(start, project_path="shop/payments-service", user_login=f"{APPROVER}-gl", waited_s=30)


def _waiting(start: Shown, seen: Page) -> None:
    _several(start)
    log_in(seen, start.page, APPROVER)


def _nothing_waits(start: Shown, seen: Page) -> None:
    log_in(seen, start.page, APPROVER)


def _no_match(start: Shown, seen: Page) -> None:
    _several(start)
    log_in(seen, start.page, APPROVER)
    seen.goto(f"{start.page.url}/?q=warehouse")


def _request(start: Shown, seen: Page) -> None:
    before = _deployment(start, sha="77d0c0ffee5586c1a9d2f70b1e44a7c05d193f1c")
    start.stage.decided(before, "approved", "go")
    hooks = [{"name": "pre_get_sources_script", "script": ["git config --global http.sslVerify true"]}]
    request = _deployment(start, hooks=hooks, variables={"CI_COMMIT_REF_NAME": "something-else"})
    log_in(seen, start.page, APPROVER, f"/requests/{request.key}")


def _variables(start: Shown, seen: Page) -> None:
    """Every kind of variable: new, changed and gone, folded, hidden, dangerous, and in the place of one of GitLab's."""
    before = [
        variable("TARGET", "staging"),
        variable("REGION", "eu-west-1", public=False),
        variable("NOTIFY", "#ops"),
        variable("RELEASE_NOTES", "first"),
        variable("DEPLOY_KEY", "made-up-secret-1", public=False, masked=True),
    ]
    now = [
        variable("TARGET", "production --force"),
        variable("REGION", "us-east-1", public=False),
        variable("BASH_ENV", "$(curl -s https://example.com/x)"),
        variable("GIT_CONFIG_COUNT", "1"),
        variable("CI_COMMIT_REF_NAME", "something-else"),
        variable("CI_COMMIT_BRANCH", "main"),
        variable("RELEASE_NOTES", "\n".join(f"- change number {n} of this release" for n in range(12))),
        variable("DEPLOY_KEY", "made-up-secret-1", public=False, masked=True),
        variable("KUBE_FILE", "apiVersion: v1", file=True),
        variable("TARGET", "production --force --now"),
    ]
    start.stage.decided(_deployment(start, variables=before), "approved", "go")
    image = {"name": "registry.example.com/deploy:3"}
    request = _deployment(start, variables=now, image=image, extra={"sandbox": {"level": 2}})
    log_in(seen, start.page, APPROVER, f"/requests/{request.key}")


CLAIMS = [
    variable("CI_COMMIT_TITLE", "Take the new payment form live"),
    variable(
        "CI_COMMIT_MESSAGE",
        "Take the new payment form live\n\nBehind a switch since June; 1 % of buyers had it for a week.",
    ),
    variable("CI_COMMIT_AUTHOR", "Dana Doe <dana@example.com>"),
    variable("CI_MERGE_REQUEST_IID", "412"),
    variable("CI_MERGE_REQUEST_TITLE", "New payment form"),
    variable("CI_DEFAULT_BRANCH", "main"),
]


def _one_line(start: Shown, seen: Page) -> None:
    """A job of one line that is asked about for the first time, of a commit that its variables tell of."""
    request = _deployment(
        start, script=["./deploy.sh"], after_script=[], ref="release/2.4", strategy="", variables=CLAIMS
    )
    log_in(seen, start.page, APPROVER, f"/requests/{request.key}")


def _changed(start: Shown, seen: Page) -> None:
    """A script and a variable that are not as they were when the job was last approved."""
    longer = [*SCRIPT, *(f"./check.sh --part {n}" for n in range(20))]
    before = _deployment(start, script=longer, variables=[variable("TARGET", "staging")])
    start.stage.decided(before, "approved", "go")
    now = ["./deploy.sh --env production --force", *longer[1:]]
    request = _deployment(start, script=now, variables=[variable("TARGET", "production"), *CLAIMS])
    log_in(seen, start.page, APPROVER, f"/requests/{request.key}")


def _first_of_two(start: Shown, seen: Page) -> None:
    """What the first of two approvals was followed by."""
    request = _deployment(start)
    log_in(seen, start.page, APPROVER, f"/requests/{request.key}")
    vote = start.stage.vote(request, APPROVER, "approve", "ran fine on **staging**: `ok`")
    seen.goto(f"{start.page.url}/requests/{request.key}?vote={vote['nonce']}")
    seen.get_by_text("Your approval was counted.").wait_for()


def _shortcuts(start: Shown, seen: Page) -> None:
    _several(start)
    log_in(seen, start.page, APPROVER)
    seen.keyboard.press("?")
    seen.get_by_role("dialog").wait_for()


def _look_only(start: Shown, seen: Page) -> None:
    rule = start.stage.rule
    assert APPROVER in rule["approvals"][0]["people"]
    request = _deployment(start, user_login=f"{APPROVER}-gl")
    log_in(seen, start.page, APPROVER, f"/requests/{request.key}")


def _no_comment(start: Shown, seen: Page) -> None:
    request = _deployment(start)
    log_in(seen, start.page, APPROVER, f"/requests/{request.key}")
    seen.get_by_role("button", name="Reject").click()
    seen.locator("#note").wait_for()


def _decided(word: str, comment: str) -> Callable[[Shown, Page], None]:
    def go(start: Shown, seen: Page) -> None:
        request = _deployment(start)
        start.stage.decided(request, word, comment)
        log_in(seen, start.page, APPROVER, f"/requests/{request.key}")

    return go


def _unfolded(start: Shown, seen: Page) -> None:
    _several(start)
    log_in(seen, start.page, APPROVER)
    for box in seen.get_by_role("checkbox").all():
        box.check()
    seen.get_by_label("Comment, for each of them").fill("the release of today")
    seen.get_by_role("button", name="Approve").click()
    seen.get_by_role("heading", name="Approve together").wait_for()


def _together(start: Shown, seen: Page) -> None:
    _unfolded(start, seen)
    seen.get_by_role("button", name="Approve").click()
    seen.get_by_role("heading", name="Result").wait_for()


def _unreadable(start: Shown, seen: Page) -> None:
    broken = _deployment(start)
    Path(broken.directory, "request.json").write_text("{", encoding="utf-8")
    _several(start)
    log_in(seen, start.page, APPROVER)


def _history(start: Shown, seen: Page) -> None:
    for word, comment, changes in (
        ("approved", "go ahead", {}),
        (
            "rejected",
            "not on a **Friday**: see https://chat.example.com/t/4711",
            {"name": "migrate", "stage": "database"},
        ),
        ("expired", "", {"ref": "release/2.4"}),
        ("refused", "", {"project_path": "shop/warehouse", "environment": None}),
        ("superseded", "", {}),
    ):
        start.stage.decided(_deployment(start, **changes), word, comment)
    log_in(seen, start.page, APPROVER)
    seen.get_by_role("link", name="History").click()
    seen.get_by_role("heading", name="History").wait_for()


def _no_history(start: Shown, seen: Page) -> None:
    log_in(seen, start.page, APPROVER)
    seen.get_by_role("link", name="History").click()
    seen.get_by_text("Nothing was decided yet.").wait_for()


def _login(start: Shown, seen: Page) -> None:
    seen.goto(start.page.url + "/")


def _wrong_password(start: Shown, seen: Page) -> None:
    seen.goto(start.page.url + "/")
    seen.get_by_label("Name").fill(APPROVER)
    seen.get_by_label("Password").fill("not this one, either")
    seen.get_by_role("button", name="Log in").click()
    seen.locator("#note").wait_for()


def _not_found(start: Shown, seen: Page) -> None:
    log_in(seen, start.page, APPROVER)
    seen.goto(f"{start.page.url}/requests/gitlab.example-1-1")


def _another_name(start: Shown, seen: Page) -> None:
    seen.goto(f"http://other.localhost:{start.page.host.rpartition(':')[2]}/")


def _fault(start: Shown, seen: Page) -> None:
    _several(start)
    log_in(seen, start.page, APPROVER)
    start.site.write(start.site.yaml.read_text() + "approvers: [alice]\n")
    seen.reload()
    seen.get_by_text("gate.yaml has a fault").wait_for()
    start.site.write()


_STILL_READING = """
import gate.page.history.index, gate.page.state
gate.page.state.Page.is_current = property(lambda self: False, lambda self, value: None)
gate.page.history.index.Index.behind = lambda self: (37, 100)
"""
STATES = [
    State("waiting", _waiting),
    State("nothing-waits", _nothing_waits),
    State("no-match", _no_match),
    State("request", _request),
    State("one-line", _one_line),
    State("changed", _changed),
    *([State("first-of-two", _first_of_two, {"rule": TWO_LISTS})] if IS_ROOT else []),
    State("shortcuts", _shortcuts),
    State("variables", _variables),
    State("look-only", _look_only),
    State("comment-missing", _no_comment, {"rule": REASONS}),
    State("approved", _decided("approved", "go ahead")),
    State("rejected", _decided("rejected", "not on a **Friday**")),
    State("expired", _decided("expired", "")),
    State("approve-together", _unfolded),
    State("together", _together),
    State("unreadable", _unreadable),
    State("history", _history),
    State("no-history", _no_history),
    State("login", _login),
    State("wrong-password", _wrong_password),
    State("not-found", _not_found),
    State("another-name", _another_name),
    State("gate-yaml-fault", _fault),
    State("log-being-read", _waiting, {"prelude": _STILL_READING}),
]
