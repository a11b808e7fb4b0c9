"""What people are shown of a job is an allow-list: no variable, token or credential, whatever stands where (threats T40)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.model import content
from gate.model.content import MASK, MAX_BYTES
from tests.support.jobs import job_payload, variable

RESPONSES = Path(__file__).parents[1] / "responses"
CANARY = "canary-7f3a"
TOKEN = "glcbt-0123456789abcdef"


PARTS_SHOWN = {
    "too_large",
    "steps",
    "hooks",
    "image",
    "services",
    "run",
    "variables",
    "servers",
    "unknown",
    "rest",
    "claims",
}


def shown_content(response: Any) -> Any:
    return content.shown_content(response, b"k" * 32)


def what_runs(response: Any) -> Any:
    """The part of it that runs, without what stands beside that."""
    beside = ("variables", "servers", "unknown", "rest", "claims")
    return {name: part for name, part in shown_content(response).items() if name not in beside}


def response_of(**changes: Any) -> Any:
    return job_payload(1001, token=TOKEN, script=["echo one", "echo two"], after_script=["bye"]) | changes


def test_what_runs_is_shown_as_gitlab_sent_it() -> None:
    response = response_of(
        image={"name": "alpine:3", "entrypoint": ["sh", "-c"], "ports": [1]},
        services=[
            {"name": "pg:16", "alias": "db", "entrypoint": ["x"], "command": ["y", "z"], "pull_policy": ["always"]}
        ],
        hooks=[{"name": "pre_get_sources_script", "script": ["echo hook"]}],
        run="- name: step",
    )
    assert what_runs(response) == {
        "too_large": None,
        "steps": [
            {"name": "script", "script": ["echo one", "echo two"], "timeout": 600, "when": "on_success", "allow_failure": False},
            {"name": "after_script", "script": ["bye"], "timeout": 300, "when": "always", "allow_failure": True},
        ],
        "hooks": [{"name": "pre_get_sources_script", "script": ["echo hook"]}],
        "image": {"name": "alpine:3", "entrypoint": ["sh", "-c"]},
        "services": [{"name": "pg:16", "alias": "db", "entrypoint": ["x"], "command": ["y", "z"]}],
        "run": "- name: step",
    }  # fmt: skip


@pytest.mark.parametrize("version", ["17.9.3", "18.6.6", "19.3.0"])
def test_what_real_runners_write_is_shown_with_nothing_but_its_parts(version: str) -> None:
    response = json.loads((RESPONSES / f"{version}.json").read_text(encoding="utf-8"))
    shown = shown_content(response)
    assert [step["name"] for step in shown["steps"]] == [step["name"] for step in response["steps"]]
    assert response["token"] not in json.dumps(shown)
    assert shown.keys() == PARTS_SHOWN


def test_an_empty_response_shows_nothing() -> None:
    nothing = {"steps": [], "hooks": [], "image": {}, "services": [], "run": ""}
    beside: Any = {"variables": [], "servers": [], "unknown": [], "rest": [], "claims": {}}
    assert shown_content({}) == {"too_large": None, **nothing, **beside}


def planted(value: str) -> Any:
    """A response with a value wherever one may stand that is nobody's business."""
    return response_of(
        variables=[
            variable("PROJECTS", value, public=False),
            variable("MASKED", value, masked=True, public=False),
            variable("FILE", value, file=True),
            variable("X", "x") | {"extra": value},
            {"key": "UNMARKED", "value": value},
            {"key": "MARKED_ODDLY", "value": value, "public": "true", "masked": "false", "file": 0},
        ],
        credentials=[{"type": "registry", "url": value, "username": value, "password": value, "more": value}],
        secrets={"S": {"vault": {"server": {"auth": {"data": {"jwt": value}}}}, "aws": {"server": {"jwt": value}}}},
        dependencies=[{"id": 1, "token": value, "name": "build"}],
        features={"token_mask_prefixes": [value], "extra": value},
        git_info={"repo_url": f"https://gitlab-ci-token:{value}@gitlab.example/grp/app.git", "ref": "main"},
        runner_info={"uuid": value},
    )


def test_no_value_is_shown_that_is_nobodys_business() -> None:
    assert CANARY not in json.dumps(shown_content(planted(CANARY)))


@given(st.text("0123456789", min_size=5, max_size=30))
def test_no_value_is_shown_whatever_it_is(value: str) -> None:
    shown = shown_content(planted(value))
    for each in shown["variables"]:
        each.pop("mark")
    assert value not in json.dumps(shown)


def everywhere(secret: str) -> Any:
    """A response that spells a secret in each text that is shown."""
    return response_of(
        steps=[{"name": secret, "script": [f"curl -H '{secret}'", f"{secret}{secret}x"], "when": secret}],
        hooks=[{"name": secret, "script": [secret]}],
        image={"name": f"registry/{secret}:1", "entrypoint": [secret]},
        services=[{"name": secret, "alias": secret, "entrypoint": [secret], "command": [f"--password={secret}"]}],
        run=f"- script: {secret}",
    )


HIDDEN: dict[str, tuple[str, Any]] = {
    "a masked variable": ("s3cr3t-value", {"variables": [variable("X", "s3cr3t-value", masked=True)]}),
    "of eight characters": ("12345678", {"variables": [variable("X", "12345678", masked=True)]}),
    "the job's token": (TOKEN, {}),
    "a registry's password": ("s3cr3t-value", {"credentials": [{"password": "s3cr3t-value"}]}),
    "one that a pattern could be": (".*+?[a]\\1", {"variables": [variable("X", ".*+?[a]\\1", masked=True)]}),
    "one with letters of all scripts": ("pässwört日本", {"variables": [variable("X", "pässwört日本", masked=True)]}),
}


@pytest.mark.parametrize("case", HIDDEN)
def test_what_is_masked_in_gitlab_is_masked_wherever_it_stands(case: str) -> None:
    secret, changes = HIDDEN[case]
    shown = shown_content(everywhere(secret) | changes)
    assert secret not in json.dumps(shown, ensure_ascii=False)
    assert json.dumps(what_runs(everywhere(secret) | changes)).count(MASK) == 14
    assert shown["steps"][0]["script"] == [f"curl -H '{MASK}'", f"{MASK}{MASK}x"]
    assert shown["image"]["name"] == f"registry/{MASK}:1"


SHOWN: dict[str, Any] = {
    "not masked": variable("X", "s3cr3t-value"),
    "seven characters": variable("X", "s3cr3t-", masked=True),
    "masked by another type": {"key": "X", "value": "s3cr3t-value", "masked": "yes"},
    "no text": {"key": "X", "value": 12345678, "masked": True},
    "nothing": {"key": "X", "masked": True},
}


@pytest.mark.parametrize("case", SHOWN)
def test_nothing_else_is_masked(case: str) -> None:
    response = everywhere("s3cr3t-value 12345678") | {"variables": [SHOWN[case]]}
    assert MASK not in json.dumps(shown_content(response))


@given(st.lists(st.text("abc", min_size=8, max_size=12), max_size=5), st.text("abc", max_size=60))
def test_no_part_of_a_longer_secret_is_left_by_a_shorter_one(secrets: list[str], script: str) -> None:
    secrets += [f"{secret}tail" for secret in secrets]
    response = response_of(
        variables=[variable("X", secret, masked=True) for secret in secrets],
        steps=[{"script": [script, *secrets, "".join(secrets)]}],
    )
    shown = json.dumps(shown_content(response))
    assert not [secret for secret in secrets if secret in shown]
    assert "tail" not in shown


def test_lone_surrogates_are_shown_as_a_question_mark() -> None:
    shown = shown_content(response_of(steps=[{"script": ["a\ud800b"]}], run="\udfff"))
    assert (shown["steps"][0]["script"], shown["run"]) == (["a?b"], "?")


@pytest.mark.parametrize(("characters", "fits"), [(MAX_BYTES - 5000, True), (MAX_BYTES + 1, False)])
def test_what_is_too_large_is_not_shown_and_said_to_be(characters: int, fits: bool) -> None:
    shown = shown_content(response_of(steps=[{"script": ["x" * characters]}], image={"name": "alpine"}))
    assert (shown["too_large"] is None) is fits
    if not fits:
        assert shown.pop("too_large") > MAX_BYTES
        empty = {"steps": [], "hooks": [], "image": {}, "services": [], "run": ""}
        assert {name: shown[name] for name in empty} == empty
        assert [each["text"] for each in shown["rest"]] == ["(too much to be kept)"] * len(shown["rest"]) != []


def test_size_is_that_of_the_file_that_it_is_kept_in(monkeypatch: pytest.MonkeyPatch) -> None:
    response = response_of(steps=[{"script": ["\u2028" * 1000]}])
    monkeypatch.setattr(content, "MAX_BYTES", 5000)
    assert shown_content(response)["too_large"] > 6000  # six bytes a character, as JSON


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just(CANARY * 2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
PARTS = ("steps", "hooks", "image", "services", "run", "variables", "credentials", "token")
FIELDS = (
    "name",
    "script",
    "timeout",
    "when",
    "allow_failure",
    "alias",
    "entrypoint",
    "command",
    "value",
    "masked",
    "password",
)
ODD = JSON | st.lists(st.dictionaries(st.sampled_from(FIELDS), JSON))


@given(st.dictionaries(st.sampled_from(PARTS), ODD))
def test_no_type_in_an_odd_place_raises_or_leaks(response: Any) -> None:
    shown = shown_content(response)
    json.dumps(shown, allow_nan=False).encode()
    assert shown.keys() == PARTS_SHOWN
    for name in ("steps", "hooks", "services"):
        assert all(set(part) <= set(FIELDS) - {"value", "masked", "password"} for part in shown[name])


@pytest.mark.parametrize("part", ["steps", "hooks", "services", "image", "run"])
def test_lists_within_lists_without_end_do_not_raise(part: str) -> None:
    deep: list[Any] = ["x"]
    for _ in range(900):
        deep = [deep]
    response = {"steps": [{"script": deep}], "hooks": [{"script": deep}], "services": [{"command": deep}],
                "image": {"entrypoint": deep}, "run": deep}  # fmt: skip
    shown = shown_content({part: json.loads(json.dumps(response[part]))})
    assert len(json.dumps(shown)) < 2_000_000
