"""Facts come from what GitLab wrote, whatever the job's author writes beside it (threats T1, T40)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from gate.model.facts import DEFAULT_JOB_TIMEOUT_S, REHEARSAL, FactsError, job_facts, key_of, project_key_of, triggerer
from gate.store.request import record_of
from tests.support.effort import examples
from tests.support.gate_state import facts_of

RESPONSES = Path(__file__).parents[1] / "responses"
VERSIONS = ("17.9.3", "18.6.6", "19.3.0")
FORGED = {
    "CI_JOB_ID": "666",
    "CI_JOB_NAME": "lint",
    "CI_JOB_STAGE": "test",
    "CI_PROJECT_ID": "666",
    "CI_PROJECT_PATH": "other/project",
    "CI_PIPELINE_ID": "666",
    "CI_COMMIT_SHA": "f" * 40,
    "CI_COMMIT_REF_NAME": "harmless",
    "CI_ENVIRONMENT_NAME": "review/harmless",
    "CI_COMMIT_REF_PROTECTED": "false",
    "CI_RUNNER_ID": "666",
}
CLAIMS = ["production", "review/harmless"]  # the one forgery that is among the facts: a claim beside the true one
FORGED_USER = {"GITLAB_USER_LOGIN": "alice", "GITLAB_USER_ID": "4711", "GITLAB_USER_EMAIL": "alice@example.com"}
OWN = ("CI_ENVIRONMENT_NAME", "GITLAB_USER_LOGIN", "GIT_STRATEGY")  # which an author may have set
TYPED = ("instance", "project_id", "job_id", "path", "name", "stage", "ref", "ref_type", "sha", "timeout_s")


def response_of(version: str) -> Any:
    return json.loads((RESPONSES / f"{version}.json").read_text(encoding="utf-8"))


def variables_of(values: dict[str, str]) -> list[Any]:
    return [{"key": key, "value": value, "public": True, "file": False} for key, value in values.items()]


@pytest.fixture(params=VERSIONS)
def real(request: pytest.FixtureRequest) -> Any:
    return response_of(request.param)


@pytest.fixture
def on_runner_12(real: Any) -> Any:
    """As GitLab sends it, with the server's own variable of which runner took the job."""
    real["variables"].insert(0, *variables_of({"CI_RUNNER_ID": "12"}))
    return real


def test_facts_are_alike_whatever_runner_wrote_the_response(real: Any) -> None:
    assert job_facts(real) == {
        "rehearsal": False,
        "instance": "127.0.0.1:9",
        "project_id": 42,
        "job_id": 1001,
        "path": "grp/app",
        "project_url": "http://127.0.0.1:9/grp/app",
        "pipeline_id": 7,
        "name": "deploy",
        "stage": "deploy",
        "ref": "main",
        "ref_type": "branch",
        "sha": "0123456789012345678901234567890123456789",
        "protected": True,
        "environment": "production",
        "environments": ["production"],
        "runner": None,
        "triggered_by": {"names": ["dev", "someone-else"], "ids": [5], "emails": ["dev@example.com"]},
        "timeout_s": 600,
        "overridden": ["GITLAB_USER_LOGIN"],
        "checkout": ["GIT_STRATEGY=none"],
        "gate_variables": [],
        "variables": [*OWN, "TARGET", "DEPLOY_TOKEN", "KUBECONFIG"],
        "image": "debian:12",
        "services": ["postgres:16"],
        "doubts": [],
    }


PROJECT_URLS = {
    "http://127.0.0.1:9/grp/app.git": "http://127.0.0.1:9/grp/app",
    "https://gitlab-ci-token:T0k3n@git.example/grp/sub/app.git": "https://git.example/grp/sub/app",
    "https://user:p@ss@git.example:8443/gitlab/grp/app.git": "https://git.example:8443/gitlab/grp/app",
    "https://git.example/grp/app": "https://git.example/grp/app",
    "https://git.example/grp/app/": "https://git.example/grp/app",
    "https://git.example/grp/app.git/": "https://git.example/grp/app",
    "https://git.example/grp/app.git.git": "https://git.example/grp/app.git",
    "https://T0k3n@[::1]:8080/grp/app.git": "https://[::1]:8080/grp/app",
    "ssh://git@git.example/grp/app.git": None,
    "git://git.example/grp/app.git": None,
    "javascript://git.example/%0Aalert(1)": None,
    "data://git.example/grp/app": None,
    " https://git.example/grp/app.git": None,
}


@pytest.mark.parametrize("repo_url", PROJECT_URLS)
def test_a_project_s_address_is_on_the_web_and_holds_no_token(real: Any, repo_url: str) -> None:
    real["git_info"]["repo_url"] = repo_url
    real["variables"] += variables_of({"CI_PROJECT_URL": "https://evil.example/grp/app"})
    assert job_facts(real)["project_url"] == PROJECT_URLS[repo_url]


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_variable_changes_no_fact_and_is_named(on_runner_12: Any, name: str) -> None:
    true = job_facts(on_runner_12)
    on_runner_12["variables"] += variables_of({name: FORGED[name]})

    claims = {"environments": CLAIMS} if name == "CI_ENVIRONMENT_NAME" else {}
    forged = {"overridden": [name, "GITLAB_USER_LOGIN"], "variables": list(dict.fromkeys([*true["variables"], name]))}
    assert job_facts(on_runner_12) == true | claims | forged


def test_all_forged_together_change_no_fact_and_are_all_named(on_runner_12: Any) -> None:
    true = job_facts(on_runner_12)
    on_runner_12["variables"] += variables_of(FORGED)

    forged = {"environments": CLAIMS, "overridden": [*FORGED, "GITLAB_USER_LOGIN"]}
    forged["variables"] = list(dict.fromkeys([*true["variables"], *FORGED]))
    assert job_facts(on_runner_12) == true | forged


@pytest.mark.parametrize(
    ("typed", "told", "protected"),
    [
        (True, ["false"], True),
        (False, ["true"], False),
        (None, ["true", "false"], True),
        (None, ["false", "true"], False),
        (None, ["", "true"], None),
        (None, ["yes"], None),
        (None, [], None),
        ("true", ["false"], False),
    ],
)
def test_protected_is_typed_or_the_first_occurrence(typed: object, told: list[str], protected: bool | None) -> None:
    new = response_of("19.3.0")
    new["git_info"]["protected"] = typed
    new["variables"] = [variable for text in told for variable in variables_of({"CI_COMMIT_REF_PROTECTED": text})]

    assert job_facts(new)["protected"] is protected


def test_a_runner_that_sends_no_protected_leaves_it_to_the_variable() -> None:
    old = response_of("17.9.3")
    assert "protected" not in old["git_info"]
    old["variables"] = []

    assert job_facts(old)["protected"] is None


@pytest.mark.parametrize("name", ["CI_RUNNER_ID", "CI_PIPELINE_ID"])
@pytest.mark.parametrize(
    ("told", "number"),
    [(["12", "13"], 12), (["", "13"], None), (["x", "13"], None), ([None, "13"], None), (["-1"], None), ([], None)],
)
def test_a_number_is_the_first_occurrence_and_never_a_later_one(name: str, told: list[Any], number: int | None) -> None:
    old = response_of("17.9.3")
    old["variables"] = [{"key": name, "value": text} for text in told]

    facts: Any = job_facts(old)
    assert facts[{"CI_RUNNER_ID": "runner", "CI_PIPELINE_ID": "pipeline_id"}[name]] == number


@pytest.mark.parametrize(
    ("told", "claims"),
    [
        ([], []),
        ([""], []),
        (["", "staging"], ["staging"]),
        (["production", "", "production"], ["production"]),
        (["a", "b", "a"], ["a", "b"]),
    ],
)
def test_every_occurrence_of_an_environment_is_a_claim(told: list[str], claims: list[str]) -> None:
    new = response_of("19.3.0")
    new["variables"] = [variable for text in told for variable in variables_of({"CI_ENVIRONMENT_NAME": text})]

    facts = job_facts(new)
    assert facts["environments"] == claims
    assert facts["environment"] == (claims[0] if claims else None)


@pytest.mark.parametrize(
    ("settings_", "pointed_out"),
    [
        ([], []),
        ([("GIT_STRATEGY", "fetch"), ("GIT_CHECKOUT", "true")], []),
        ([("GIT_STRATEGY", "none")], ["GIT_STRATEGY=none"]),
        ([("GIT_STRATEGY", "None")], ["GIT_STRATEGY=None"]),
        ([("GIT_STRATEGY", "empty")], ["GIT_STRATEGY=empty"]),
        ([("GIT_STRATEGY", "none"), ("GIT_STRATEGY", "clone")], []),
        ([("GIT_STRATEGY", "clone"), ("GIT_STRATEGY", "none")], ["GIT_STRATEGY=none"]),
        ([("GIT_STRATEGY", "$MINE")], ["GIT_STRATEGY=$MINE"]),
        ([("GIT_CHECKOUT", "false")], ["GIT_CHECKOUT=false"]),
        ([("GIT_CHECKOUT", "F")], ["GIT_CHECKOUT=F"]),
        ([("GIT_CHECKOUT", "0"), ("GIT_STRATEGY", "none")], ["GIT_STRATEGY=none", "GIT_CHECKOUT=0"]),
    ],
)
def test_settings_without_a_checkout_are_pointed_out(settings_: list[tuple[str, str]], pointed_out: list[str]) -> None:
    new = response_of("19.3.0")
    new["variables"] = [{"key": key, "value": value} for key, value in settings_]

    assert job_facts(new)["checkout"] == pointed_out


def test_names_that_are_the_gates_are_told_without_their_values(real: Any) -> None:
    real["variables"] += variables_of(
        {"GATE_APPROVED_BY": "canary-1", "gate_x": "canary-2", "GATES": "", "MY_GATE_": ""}
    )
    real["variables"].append({"key": "GATE_COMMENT", "value": None})

    facts = job_facts(real)
    assert facts["gate_variables"] == ["GATE_APPROVED_BY", "gate_x", "GATE_COMMENT"]
    assert "canary" not in json.dumps(facts)


def test_a_variable_before_gitlabs_own_changes_no_typed_fact(real: Any) -> None:
    true: Any = job_facts(real)
    real["variables"] = variables_of(FORGED) + real["variables"]

    found: Any = job_facts(real)
    assert {name: found[name] for name in TYPED} == {name: true[name] for name in TYPED}


def test_pipeline_id_is_typed_where_the_runner_is_new_enough() -> None:
    new = response_of("19.3.0")
    new["variables"] = variables_of({"CI_PIPELINE_ID": "666"})

    assert job_facts(new)["pipeline_id"] == 7


@pytest.mark.parametrize("where", ["before", "after"])
def test_every_occurrence_counts_as_the_one_who_triggered(real: Any, where: str) -> None:
    forged = variables_of(FORGED_USER)
    real["variables"] = [*forged, *real["variables"]] if where == "before" else [*real["variables"], *forged]

    facts = job_facts(real)
    assert set(facts["triggered_by"]["names"]) == {"dev", "someone-else", "alice"}
    assert set(facts["triggered_by"]["ids"]) == {5, 4711}
    assert set(facts["triggered_by"]["emails"]) == {"dev@example.com", "alice@example.com"}
    assert set(FORGED_USER) <= set(facts["overridden"])


def test_typed_user_id_counts_where_no_variable_tells_it() -> None:
    new = response_of("19.3.0")
    new["variables"] = []

    facts: Any = job_facts(new)
    assert facts["triggered_by"] == {"names": [], "ids": [5], "emails": []}


@pytest.mark.parametrize("forged", ["9" * 5000, "٣", "-5", "5.0", "", " 5", "1e3", "\ud800"])
def test_an_odd_user_id_of_the_authors_is_passed_over(real: Any, forged: str) -> None:
    real["variables"] += variables_of({"GITLAB_USER_ID": forged, "CI_PIPELINE_ID": forged})

    assert job_facts(real)["triggered_by"]["ids"] == [5]


def test_no_secret_is_among_the_facts(real: Any) -> None:
    secrets = ["canary-token", "canary-deploy", "canary-password", "canary-file", "canary-repo", "canary-script"]
    real["token"] = secrets[0]
    for variable in real["variables"]:
        variable["value"] = {"DEPLOY_TOKEN": secrets[1], "KUBECONFIG": secrets[3]}.get(
            variable["key"], variable["value"]
        )
    real["credentials"] = [{"type": "registry", "url": "r", "username": "u", "password": secrets[2]}]
    real["git_info"]["repo_url"] = f"https://gitlab-ci-token:{secrets[4]}@git.example/grp/app.git"
    real["steps"][0]["script"] = [f"echo {secrets[5]}"]

    written = json.dumps(job_facts(real))
    assert [secret for secret in secrets if secret in written] == []
    assert "git.example" in written


@pytest.mark.parametrize(
    ("url", "instance", "path"),
    [
        ("https://gitlab-ci-token:x@GitLab.Example/Grp/App.git", "gitlab.example", "Grp/App"),
        ("https://git.example:8443/a/b/c.git", "git.example_8443", "a/b/c"),
        ("http://u:p@ss@[2001:DB8::1]:80/a/b.git", "_2001_db8__1__80", "a/b"),
        ("https://git.example/../../etc/x.git", "git.example", "../../etc/x"),
        ("https://ёж.example/a/b.git", "__.example", "a/b"),
    ],
)
def test_key_is_one_safe_name(url: str, instance: str, path: str) -> None:
    new = response_of("17.9.3")
    new["git_info"]["repo_url"] = url

    facts = job_facts(new)
    assert (key_of(facts), project_key_of(facts)) == (f"{instance}-42-1001", f"{instance}-42")
    assert facts["path"] == path


PATHS = {
    "as usual": ("https://git.example/shop/web.git", "shop/web", "shop/web"),
    "under a relative URL": ("https://git.example/gitlab/shop/web.git", "shop/web", "shop/web"),
    "under a long relative URL": ("https://git.example/a/b/shop/web.git", "shop/web", "shop/web"),
    "in a subgroup": ("https://git.example/gitlab/shop/eu/web.git", "shop/eu/web", "shop/eu/web"),
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("case", PATHS)
def test_a_projects_path_is_the_same_with_every_runner(version: str, case: str) -> None:
    url, told, path = PATHS[case]
    response = response_of(version)
    response["git_info"]["repo_url"] = url
    for each in response["variables"]:
        each["value"] = told if each["key"] == "CI_PROJECT_PATH" else each["value"]
    if "project_full_path" in response["job_info"]:
        response["job_info"]["project_full_path"] = told

    facts = job_facts(response)
    assert (facts["path"], facts["doubts"], facts["overridden"]) == (path, [], ["GITLAB_USER_LOGIN"])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "url", ["https://git.example/x/app.git", "https://git.example/xgrp/app.git", "https://git.example/app"]
)
def test_a_path_that_does_not_end_the_address_is_a_doubt(version: str, url: str) -> None:
    response = response_of(version)
    response["git_info"]["repo_url"] = url

    assert "by the address that it is cloned from" in job_facts(response)["doubts"][0]


def test_a_policys_job_says_nothing_of_its_path_in_a_variable() -> None:
    response = response_of("18.6.6")
    del response["job_info"]["project_full_path"]
    response["git_info"]["repo_url"] = "https://git.example/evil/shop/web.git"
    response["policy_options"]["execution_policy_job"] = True
    response["variables"] = variables_of({"CI_PROJECT_PATH": "shop/web"})

    assert job_facts(response)["path"] == "evil/shop/web"


@pytest.mark.parametrize("url", ["", "git.example/a/b.git", "/srv/a/b.git", "https:///a/b", "https://u@/a", "://h/a"])
def test_a_url_without_a_host_is_no_fact(url: str) -> None:
    new = response_of("19.3.0")
    new["git_info"]["repo_url"] = url

    with pytest.raises(FactsError, match="names no host"):
        job_facts(new)


@pytest.mark.parametrize(
    ("where", "name", "value"),
    [
        ("", "id", None),
        ("", "id", "1001"),
        ("", "id", True),
        ("", "id", 0),
        ("", "id", -1),
        ("", "id", 1001.0),
        ("", "job_info", []),
        ("", "git_info", None),
        ("", "variables", {"key": "CI_JOB_ID"}),
        ("job_info", "project_id", "42"),
        ("job_info", "name", 7),
        ("job_info", "stage", None),
        ("job_info", "pipeline_id", "7"),
        ("job_info", "user_id", [5]),
        ("job_info", "project_full_path", {"a": 1}),
        ("git_info", "ref", None),
        ("git_info", "sha", ["x"]),
        ("git_info", "ref_type", 1),
        ("git_info", "repo_url", None),
    ],
)
def test_a_fact_of_another_type_is_refused_in_one_line(where: str, name: str, value: object) -> None:
    new = response_of("19.3.0")
    (new[where] if where else new)[name] = value

    with pytest.raises(FactsError) as refused:
        job_facts(new)
    assert name in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_is_inside_a_wrong_value_is_not_told() -> None:
    new = response_of("19.3.0")
    new["job_info"]["name"] = {"token": "canary-token"}

    with pytest.raises(FactsError) as refused:
        job_facts(new)
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize("info", [None, {}, [], "x", {"timeout": None}, {"timeout": "600"}, {"timeout": 0}])
def test_timeout_is_the_runners_default_where_gitlab_sends_none(info: object) -> None:
    new = response_of("19.3.0") | {"runner_info": info}

    assert job_facts(new)["timeout_s"] == DEFAULT_JOB_TIMEOUT_S


@pytest.mark.parametrize(
    ("by", "words"),
    [
        ({"names": ["dev", "alice"], "ids": [5], "emails": ["x@y"]}, "dev / alice"),
        ({"names": [], "ids": [5], "emails": ["x@y"]}, "x@y"),
        ({"names": [], "ids": [5], "emails": []}, "user id 5"),
        ({"names": [], "ids": [], "emails": []}, "somebody unknown"),
    ],
)
def test_triggerer_in_words(by: Any, words: str) -> None:
    assert triggerer(facts_of(triggered_by=by)) == words


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(st.characters())
    | st.sampled_from(["\ud800", "9" * 5000, "https://h", "x://", "https://a@b@c:1/..", "\0", "CI_JOB_ID"])
)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
PLACES: list[tuple[Any, ...]] = [
    *[(name,) for name in ("id", "token", "job_info", "git_info", "runner_info", "variables", "steps")],
    *[("job_info", name) for name in ("name", "stage", "project_id", "pipeline_id", "project_full_path", "user_id")],
    *[("git_info", name) for name in ("repo_url", "ref", "ref_type", "sha", "protected")],
    ("runner_info", "timeout"),
    *[("variables", index) for index in (0, 5, 14)],
    *[("variables", index, part) for index in (0, 5, 13, 14, 15, 17) for part in ("key", "value")],
]


@examples(300, suppress_health_check=[HealthCheck.too_slow])
@given(version=st.sampled_from(VERSIONS), changes=st.lists(st.tuples(st.sampled_from(PLACES), JSON), max_size=4))
def test_a_hostile_shape_gives_facts_or_a_facts_error(version: str, changes: list[tuple[Any, Any]]) -> None:
    response = response_of(version)
    for place, value in changes:
        _put(response, place, value)
    _check_facts_or_error(response)


@examples(200)
@given(response=st.dictionaries(st.sampled_from(["id", "job_info", "git_info", "variables", "runner_info"]), JSON))
def test_any_object_gives_facts_or_a_facts_error(response: Any) -> None:
    _check_facts_or_error(response)


def _check_facts_or_error(response: Any) -> None:
    try:
        facts = job_facts(response)
    except FactsError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017
        return
    json.dumps(facts, ensure_ascii=False, allow_nan=False).encode("utf-8")
    json.dumps(record_of(facts), allow_nan=False)
    assert "/" not in key_of(facts)
    assert "\0" not in key_of(facts)


def _put(response: Any, place: tuple[Any, ...], value: object) -> None:
    holder = response
    try:
        for step in place[:-1]:
            holder = holder[step]
        holder[place[-1]] = value
    except (KeyError, IndexError, TypeError):
        return  # an earlier change took that place away


def test_the_human_behind_a_service_account_triggered_the_job_too() -> None:
    response = response_of("19.3.0")
    response["job_info"]["scoped_user_id"] = 77
    assert set(job_facts(response)["triggered_by"]["ids"]) >= {5, 77}


def test_a_policy_job_s_variables_tell_neither_runner_nor_protection() -> None:
    response = response_of("17.9.3")
    response["variables"] += variables_of({"CI_RUNNER_ID": "12"})
    assert (job_facts(response)["runner"], job_facts(response)["protected"]) == (12, True)
    response["policy_options"] = {"execution_policy_job": True}
    assert (job_facts(response)["runner"], job_facts(response)["protected"]) == (None, None)


@given(st.text(min_size=1, max_size=30))
def test_no_real_job_has_the_names_of_a_rehearsal(host: str) -> None:
    real = response_of("19.3.0")
    real["git_info"]["repo_url"] = f"https://x@{host}/grp/app.git"
    try:
        facts = job_facts(real)
    except FactsError:
        return
    rehearsed = job_facts(response_of("19.3.0"), rehearsal=True)
    assert not key_of(facts).startswith(REHEARSAL)
    assert not project_key_of(facts).startswith(REHEARSAL)
    assert (key_of(rehearsed), rehearsed["instance"]) == ("REHEARSAL.127.0.0.1_9-42-1001", "127.0.0.1:9")
