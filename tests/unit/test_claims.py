"""What is claimed of a commit: of the variables that people may see, the first of each name, and never more than they read."""

from __future__ import annotations

from typing import Any

import pytest

from gate.model.claims import LINE_MAX_CHARACTERS, MESSAGE_MAX_CHARACTERS
from gate.model.content import MASK, shown_content
from tests.support.jobs import job_payload, variable


def claims(*variables: Any, **git: Any) -> Any:
    response = job_payload(1001, variables=list(variables))
    response["git_info"] |= git
    return shown_content(response, b"k" * 32)["claims"]


def test_what_the_variables_say_of_a_commit_is_claimed() -> None:
    said = claims(
        variable("CI_COMMIT_TITLE", "Fix it"),
        variable("CI_COMMIT_MESSAGE", "Fix it\n\nFor good."),
        variable("CI_COMMIT_AUTHOR", "Dev <dev@example.com>"),
        variable("CI_COMMIT_TAG", "v1"),
        variable("CI_MERGE_REQUEST_IID", "12"),
        before_sha="b" * 40,
    )
    assert said == {
        "title": "Fix it",
        "message": "Fix it\n\nFor good.",
        "author": "Dev <dev@example.com>",
        "tag": "v1",
        "merge_request": "12",
        "before_sha": "b" * 40,
    }


def test_the_first_of_a_name_is_taken() -> None:
    assert claims(variable("CI_COMMIT_TITLE", "GitLab's"), variable("CI_COMMIT_TITLE", "x"))["title"] == "GitLab's"


@pytest.mark.parametrize("marks", [{"public": False}, {"masked": True}, {"file": True}])
def test_a_value_that_people_may_not_see_is_not_claimed(marks: Any) -> None:
    assert "title" not in claims(variable("CI_COMMIT_TITLE", "secret", **marks))


def test_a_secret_in_a_message_is_masked() -> None:
    secret = variable("TOKEN", "made-up-secret-1", public=False, masked=True)
    said = claims(secret, variable("CI_COMMIT_MESSAGE", "use made-up-secret-1 for it"))
    assert said["message"] == f"use {MASK} for it"


def test_a_message_that_says_no_more_than_the_title_is_left_out() -> None:
    assert "message" not in claims(variable("CI_COMMIT_TITLE", "Fix"), variable("CI_COMMIT_MESSAGE", "Fix\n"))


@pytest.mark.parametrize(
    ("name", "claim", "limit"),
    [("CI_COMMIT_AUTHOR", "author", LINE_MAX_CHARACTERS), ("CI_COMMIT_MESSAGE", "message", MESSAGE_MAX_CHARACTERS)],
)
def test_a_hundred_kilobytes_are_cut_and_say_so(name: str, claim: str, limit: int) -> None:
    said, odd = claims(variable(name, "\u202e" * 100_000))[claim], "\u202e" * limit
    assert said == f"{odd}… (100000 characters)"  # marked by the page, as all text of others


@pytest.mark.parametrize("response", [{}, {"variables": 1, "git_info": []}, {"variables": [None, {"key": 1}], "git_info": {"before_sha": 1}}])  # fmt: skip
def test_a_response_of_odd_types_claims_nothing(response: Any) -> None:
    assert shown_content(response, b"k")["claims"] == {}
