"""JOB, as people write it: all forms mean the same job, and what is none is refused."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.commands.fault import CommandError
from gate.commands.job import job_of
from gate.votes.drop_file import answer_of, names_of

KEY = "gitlab.example_8443-42-1234"
BY_NUMBER = ["1234", "#1234", " #1234 "]
BY_KEY = [KEY, "http://gate.localhost:8420/requests/" + KEY, f"https://gate.example/requests/{KEY}?vote=0#answer"]
BY_ADDRESS = [
    "https://gitlab.example:8443/shop/web/-/jobs/1234",
    "https://GitLab.example:8443/shop/web/-/jobs/1234/",
    "https://gitlab.example:8443/gitlab/a/b/c/-/jobs/1234/raw?x=1#L7",
]
NONE = [
    "", " ", "#", "##1234", "0", "01234", "-1234", "1234.0", "1234 5678", "1\u0662", "\uff11\uff12", "deploy", "../1234", "1234.approve",
    "12345678901234567890", ".gitlab.example-42-1234", "gitlab.example-42-", "https://gitlab.example/shop/web/-/pipelines/7",
    "https://gitlab.example/shop/web/-/jobs/", "https://gitlab.example/-/jobs/1234", "gitlab.example/shop/web/-/jobs/1234",
    "ftp://gitlab.example/shop/web/-/jobs/1234", "https:///shop/web/-/jobs/1234", "https://[x/shop/web/-/jobs/1234",
    "https://gate.example/requests/1234", "https://gate.example/requests/../requests/" + KEY, "1234\n#5678",
]  # fmt: skip


@pytest.mark.parametrize("text", [*BY_NUMBER, *BY_KEY, *BY_ADDRESS])
def test_every_form_means_the_job(text: str) -> None:
    job = job_of(text)
    assert job.is_key(KEY)
    assert job.is_key(f"REHEARSAL.{KEY}") == (text not in BY_KEY)
    assert f"{job.name}.reject" in names_of(1234, KEY)


@pytest.mark.parametrize("text", [*BY_NUMBER, *BY_KEY, *BY_ADDRESS])
@pytest.mark.parametrize(
    "other", ["gitlab.example_8443-42-12345", "gitlab.example_8443-42-234", "gitlab.example_8443-1234-42", "", "1234"]
)
def test_no_form_means_another_job(text: str, other: str) -> None:
    assert not job_of(text).is_key(other)


@pytest.mark.parametrize("text", BY_ADDRESS)
def test_an_address_in_gitlab_means_that_gitlab_only(text: str) -> None:
    assert not job_of(text).is_key("other.example-42-1234")
    assert job_of("1234").is_key("other.example-42-1234")


@pytest.mark.parametrize("text", NONE)
def test_what_names_no_job_is_refused(text: str) -> None:
    with pytest.raises(CommandError, match=r"^'.*' names no job: give its number \(1234 or #1234\), its key"):
        job_of(text)


@given(st.text(max_size=40) | st.from_regex(re.compile(r"[#/.:0-9a-z-]{0,40}"), fullmatch=True))
def test_whatever_is_taken_is_the_name_of_a_drop(text: str) -> None:
    try:
        job = job_of(text)
    except CommandError:
        return
    assert answer_of(f"{job.name}.approve") == (job.name, "approve")
    assert "/" not in job.name
    assert job.number.isascii()
