"""Which variables somebody else than GitLab has set, what of them is shown, and what their names do."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from typing import Any

import pytest

from config.schema import schema
from gate.model.code_variables import ALL, SETS, denied, what_it_does
from gate.model.content import shown_content
from gate.model.facts import job_facts
from gate.model.predefined import ALWAYS, PERSISTED, SOMETIMES
from gate.model.variables import OVERRIDES, SERVERS, SET, kinds, names_set
from gate.model.variables import SOMETIMES as PERHAPS
from tests.support.jobs import variable
from tests.support.site import CHECKOUT
from tests.support.variables_page import page
from tests.support.whole_response import whole_response
from tests.unit.test_facts import response_of

KEY = b"k" * 32

# name -> the set that it is in. Each of them was seen, or is documented, to run other code or to change what is run.
CARRIERS = {
    "BASH_ENV": "shell",
    "ENV": "shell",
    "PATH": "shell",
    "SHELLOPTS": "shell",
    "BASHOPTS": "shell",
    "PROMPT_COMMAND": "shell",
    "PS4": "shell",
    "IFS": "shell",
    "CDPATH": "shell",
    "GLOBIGNORE": "shell",
    "BASH_FUNC_ls%%": "shell",
    "BASH_FUNC_a/b%%": "shell",
    "BASH_ENV+": "shell",
    "PATH=/tmp/evil:/bin": "shell",
    "TARGET+": "shell",
    "x y": "shell",
    "LD_PRELOAD": "loader",
    "LD_LIBRARY_PATH": "loader",
    "LD_AUDIT": "loader",
    "GCONV_PATH": "loader",
    "GLIBC_TUNABLES": "loader",
    "GIT_CONFIG_COUNT": "git",
    "GIT_CONFIG_KEY_0": "git",
    "GIT_CONFIG_VALUE_0": "git",
    "GIT_CONFIG_GLOBAL": "git",
    "GIT_SSH": "git",
    "GIT_SSH_COMMAND": "git",
    "GIT_EXEC_PATH": "git",
    "GIT_DIR": "git",
    "GIT_WORK_TREE": "git",
    "GIT_EXTERNAL_DIFF": "git",
    "GIT_TEMPLATE_DIR": "git",
    "GIT_STRATEGY": "checkout",
    "GIT_CHECKOUT": "checkout",
    "GIT_CLONE_PATH": "checkout",
    "GIT_FETCH_EXTRA_FLAGS": "checkout",
    "GIT_SUBMODULE_STRATEGY": "checkout",
    "CACHE_FALLBACK_KEY": "checkout",
    "PYTHONPATH": "interpreters",
    "PYTHONSTARTUP": "interpreters",
    "PYTHONHOME": "interpreters",
    "NODE_OPTIONS": "interpreters",
    "PERL5LIB": "interpreters",
    "PERL5OPT": "interpreters",
    "RUBYOPT": "interpreters",
    "RUBYLIB": "interpreters",
    "JAVA_TOOL_OPTIONS": "interpreters",
    "MAKEFLAGS": "interpreters",
    "HOME": "programs",
    "XDG_CONFIG_HOME": "programs",
    "CURL_HOME": "programs",
    "EDITOR": "programs",
    "PAGER": "programs",
    "LESSOPEN": "programs",
    "http_proxy": "network",
    "HTTPS_PROXY": "network",
    "SSL_CERT_FILE": "network",
    "OPENSSL_CONF": "network",
    "FF_USE_LEGACY_BASH_EVAL": "runner",
    "CI_DEBUG_TRACE": "runner",
    "SECURE_ANALYZERS_PREFIX": "runner",
}
HARMLESS = [
    "TARGET",
    "DEPLOY_TOKEN",
    "GIT_DEPTH",
    "GIT_AUTHOR_NAME",
    "PYTHONUNBUFFERED",
    "path",
    "MY_PATH",
    "KUBECONFIG",
    "LDAP",
    "",
]


@pytest.mark.parametrize("name", CARRIERS)
def test_a_name_that_carries_code_is_told_and_can_be_denied(name: str) -> None:
    own = CARRIERS[name]
    assert what_it_does(name) == SETS[own][0]
    assert denied([name], [ALL]) == denied([name], [own]) == denied([name], [name.replace("%", "?")]) == [name]
    assert [other for other in SETS if denied([name], [other])] == [own]


@pytest.mark.parametrize("name", HARMLESS)
def test_another_name_is_neither(name: str) -> None:
    assert (what_it_does(name), denied([name], [ALL, *SETS])) == ("", [])


def test_sets_and_patterns_of_a_rule_are_denied_together() -> None:
    names = ["TARGET", "PATH", "DEPLOY_A", "deploy_b", "LD_PRELOAD", "EDITOR"]
    assert denied(names, ["shell", "DEPLOY_*", "LD_[A-P]*"]) == ["PATH", "DEPLOY_A", "LD_PRELOAD"]
    assert denied(names, []) == []


def test_the_schema_knows_each_set_and_no_other() -> None:
    deny = schema()["properties"]["rules"]["items"]["properties"]["variables"]["properties"]["deny"]["items"]
    assert deny["pattern"].startswith(f"^({'|'.join([ALL, *SETS])}|(?=")


def test_no_name_is_in_two_lists_of_gitlabs_names() -> None:
    assert PERSISTED.keys() & ALWAYS.keys() == set()
    assert [name for name in [*PERSISTED, *ALWAYS] if any(fnmatchcase(name, each) for each in SOMETIMES)] == []


def kind_of(response: Any, name: str) -> list[str]:
    return [kind for each, kind in kinds(response) if each["key"] == name]


def test_what_a_gitlab_sets_itself_is_its_own_or_perhaps_its_own() -> None:
    found = {kind for _each, kind in kinds(whole_response())}
    assert found == {SERVERS, PERHAPS, SET}
    assert [each["key"] for each, kind in kinds(whole_response()) if kind == SET] == ["VAULT_ID_TOKEN"]


OTHERS: dict[str, list[str]] = {
    "TARGET": [SET],
    "CI_FOO": [SET],
    "GITLAB_FOO": [SET],
    "ci_job_id": [SET],
    "CI_PROJECT_DIR": [SET],
    "CI_BUILDS_DIR": [SET],
    "CI_JOB_ID": [SERVERS, OVERRIDES],
    "CI_PROJECT_PATH": [SERVERS, OVERRIDES],
    "CI_ENVIRONMENT_NAME": [PERHAPS, OVERRIDES],
    "CI_COMMIT_TAG": [PERHAPS],
    "CI_MERGE_REQUEST_IID": [PERHAPS],
    "GITLAB_USER_LOGIN": [OVERRIDES, OVERRIDES],
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_an_author_adds_is_told_from_what_gitlab_set(name: str) -> None:
    assert kind_of(whole_response(authors=[variable(name, "x")]), name) == OTHERS[name]


@pytest.mark.parametrize(
    ("version", "name", "kind"),
    [
        ("19.3.0", "CI_JOB_RETRY_COUNT", SERVERS),
        ("19.2.9", "CI_JOB_RETRY_COUNT", PERHAPS),
        ("18.7.0-ee", "CI_JOB_STARTED_AT_SLUG", SERVERS),
        ("18.6.6-ee", "CI_JOB_STARTED_AT_SLUG", PERHAPS),
        ("", "CI_JOB_STARTED_AT_SLUG", PERHAPS),
        ("9" * 5000, "CI_JOB_STARTED_AT_SLUG", PERHAPS),
        ("", "CI_JOB_ID", SERVERS),
    ],
)
def test_a_name_that_is_newer_than_the_gitlab_is_not_surely_its_own(version: str, name: str, kind: str) -> None:
    response = whole_response()
    for each in response["variables"]:
        each["value"] = version if each["key"] == "CI_SERVER_VERSION" else each["value"]
    assert kind_of(response, name) == [kind]


def test_a_policys_job_has_few_of_gitlabs_own() -> None:
    response = whole_response()
    response["policy_options"]["execution_policy_job"] = True
    assert {each["key"] for each, kind in kinds(response) if kind == SERVERS} == set(PERSISTED)


def shown(response: Any) -> dict[str, Any]:
    return {each["name"]: each for each in shown_content(response, KEY)["variables"]}


VALUES: dict[str, tuple[Any, str | None, str]] = {
    "public": (variable("X", "prod --force"), "prod --force", ""),
    "empty": (variable("X", ""), "", ""),
    "of a pipeline, project or group": (variable("X", "v1", public=False), None, "not marked public by GitLab"),
    "masked": (variable("X", "s3cr3t-1", masked=True), None, "masked in GitLab"),
    "masked and not public": (variable("X", "s3cr3t-1", masked=True, public=False), None, "masked in GitLab"),
    "a file": (variable("X", "content", file=True), None, "a file"),
    "not marked": ({"key": "X", "value": "v1"}, None, "masked in GitLab"),
    "with a masked one in it": (variable("X", "Bearer made-up-token-1"), "Bearer [MASKED]", ""),
}


@pytest.mark.parametrize("case", VALUES)
def test_a_value_is_shown_where_gitlab_marks_it_public(case: str) -> None:
    each, value, hidden = VALUES[case]
    found = shown(whole_response(authors=[variable("S", "made-up-token-1", masked=True, public=False), each]))["X"]
    assert (found["value"], found["hidden"], found["kind"], found["counts"]) == (value, hidden, SET, True)


def test_every_variable_is_shown_or_named() -> None:
    authors = [variable(name, "x") for name in (*CARRIERS, *OTHERS)]
    response = whole_response(authors=authors)
    content = shown_content(response, KEY)
    named = {each["name"] for each in content["variables"]} | set(content["servers"])
    assert named == {each["key"] for each in response["variables"]}
    assert [each["name"] for each in content["variables"] if not each["counts"]] == [
        "CI_ENVIRONMENT_NAME",
        "GITLAB_USER_LOGIN",
    ]
    assert set(names_set(response)) - set(response["secrets"]) == {each["name"] for each in content["variables"]}


def test_what_a_secrets_manager_fills_in_is_set_by_the_job() -> None:
    response = whole_response() | {"secrets": {"BASH_ENV": {"file": True}, "GATE_X": {"file": False}}}
    facts = job_facts(response)
    assert (facts["variables"][-2:], facts["gate_variables"]) == (["BASH_ENV", "GATE_X"], ["GATE_X"])


def test_a_mark_tells_values_apart_and_not_what_gitlab_makes_anew() -> None:
    marks = [
        {name: each["mark"] for name, each in shown(whole_response(job, authors=[variable("T", text)])).items()}
        for job, text in ((1001, "one"), (2002, "one"), (2002, "two"))
    ]
    assert marks[0] == marks[1]
    assert {name for name in marks[1] if marks[1][name] != marks[2][name]} == {"T"}
    other_key = {each["name"]: each["mark"] for each in shown_content(whole_response(), b"other")["variables"]}
    assert other_key["CI_ENVIRONMENT_NAME"] != marks[0]["CI_ENVIRONMENT_NAME"]


UNKNOWN: dict[str, tuple[Any, dict[str, str]]] = {
    "a field of the job": ({"sandbox": {"level": 2}}, {"sandbox": '{"level": 2}'}),
    "of a step": ({"steps": [{"name": "script", "script": ["x"], "shell": "zsh"}]}, {"steps[0].shell": '"zsh"'}),
    "of a hook": ({"hooks": [{"name": "h", "user": "root"}]}, {"hooks[0].user": '"root"'}),
    "of the image": ({"image": {"name": "a", "mounts": ["/:/host"]}}, {"image.mounts": '["/:/host"]'}),
    "of a service": ({"services": [{"name": "a"}, {"x": 1}]}, {"services[1].x": "1"}),
    "with a masked value": ({"x": ["made-up-token-1"]}, {"x": '["[MASKED]"]'}),
    "of a variable, whose content is nobody's business": (
        {"variables": [variable("A", "b") | {"default": "c"}]},
        {"variables[0].default": "(not shown)"},
    ),
    "with nothing in it": ({"x": "", "y": None, "z": {}, "a": [], "b": 0, "c": False, "d": {"e": ""}}, {}),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_what_is_in_fields_that_are_not_known_is_shown(case: str) -> None:
    changes, expected = UNKNOWN[case]
    response = whole_response(authors=[variable("S", "made-up-token-1", masked=True, public=False)]) | changes
    found = {each["field"]: each["text"] for each in shown_content(response, KEY)["unknown"]}
    assert found == expected


@pytest.mark.parametrize("version", ["17.9.3", "18.6.6", "19.3.0"])
def test_each_field_that_real_runners_write_is_known(version: str) -> None:
    assert shown_content(response_of(version), KEY)["unknown"] == []
    assert shown_content(whole_response(), KEY)["unknown"] == []


RUN = [
    {"name": "build", "script": "make all"},
    {"name": "call", "step": "./my-step", "inputs": {"to": ["a", {"b": 1}]}},
]


@pytest.mark.parametrize("form", ["list", "text", "object"])
def test_run_is_shown_whole_whatever_its_form(form: str) -> None:
    run: Any = {"list": RUN, "text": json.dumps(RUN), "object": {"steps": RUN}}[form]
    shown_run = shown_content(whole_response() | {"run": run}, KEY)["run"]
    assert json.loads(shown_run) == (RUN if form == "text" else run)


def test_the_rest_that_counts_is_shown_or_named_and_holds_no_token() -> None:
    response = whole_response()
    content = shown_content(response, KEY)
    rest = {each["field"]: each["text"] for each in content["rest"]}
    assert rest.keys() >= {"git_info", "runner_info", "artifacts", "credentials", "dependencies", "features", "secrets"}
    assert '"path": "ops"' in rest["secrets"]
    assert (rest["credentials"], rest["token"]) == ("(not shown)", "(not shown)")
    assert response["token"] not in json.dumps(content)
    jwt = next(each["value"] for each in response["variables"] if each["key"] == "VAULT_ID_TOKEN")
    assert jwt not in json.dumps(content)


def test_the_reference_page_is_up_to_date() -> None:
    assert (CHECKOUT / "docs/reference/variables.md").read_text(encoding="utf-8") == page(), "run: make docs"
