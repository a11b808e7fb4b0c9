"""The content digest: the same for a retry of the same work, another for any other work (threats T7, T18, T19)."""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from executor import config_stage
from executor.runner_contract import StageError
from gate.model.digest import _content as _counted
from gate.model.digest import content_digest
from tests.support.effort import examples
from tests.support.fake_gitlab import FakeGitLab
from tests.support.jobs import variable
from tests.support.whole_response import whole_response
from tests.unit.test_facts import VERSIONS, response_of

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = b"k" * 32
JOB, NEW_JOB = 1001, 2002
VOLATILE = {
    ("id",),
    ("token",),
    ("credentials",),
    ("job_info", "time_in_queue_seconds"),
    ("job_info", "project_jobs_running_on_instance_runners_count"),
    ("job_info", "queue_size"),
    ("job_info", "queue_depth"),
    ("runner_info", "uuid"),
    ("dependencies", 0, "token"),
}


def id_token(job_id: int = JOB, signature: str = "c2ln", **claims: Any) -> str:
    """An ID token as GitLab signs one for a job."""
    named: Any = {
        "iss": "https://gitlab.example",
        "aud": "vault",
        "sub": "project_path:grp/app",
        "job_id": str(job_id),
    }
    named |= {"iat": 1, "nbf": 1, "exp": 2, "jti": "one", "runner_id": 12, **claims}
    parts = [{"alg": "RS256", "kid": "k1"}, named]
    head, body = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
    return f"{head}.{body}.{signature}"


def whole(response: Any, job_id: int = JOB) -> Any:
    """A response with everything that is made anew for each job, as GitLab sends it for job `job_id`."""
    token, jwt = f"glcbt-token-of-{job_id}", id_token(job_id, signature=f"s{job_id}", jti=f"jti-{job_id}", iat=job_id)
    url = "http://gitlab.example/grp/app/-/jobs"
    for each in response["variables"]:
        each["value"] = {"CI_JOB_ID": str(job_id), "CI_JOB_URL": f"{url}/{job_id}"}.get(each["key"], each["value"])
    response["variables"][:0] = [
        variable("CI_JOB_TOKEN", token, public=False, masked=True),
        variable("CI_JOB_STARTED_AT", f"2026-11-24T01:{job_id % 60:02}:00Z"),
        variable("CI_REGISTRY_PASSWORD", token, public=False, masked=True),
        variable("CI_REPOSITORY_URL", f"https://gitlab-ci-token:{token}@gitlab.example/grp/app.git", public=False),
        variable("VAULT_TOKEN", jwt, public=False, masked=True),
    ]
    response["job_info"] |= {"time_in_queue_seconds": job_id / 7, "queue_size": job_id, "queue_depth": job_id % 5}
    response["git_info"]["repo_url"] = f"https://gitlab-ci-token:{token}@gitlab.example/grp/app.git"
    response["runner_info"]["uuid"] = f"uuid-{job_id}"
    response["secrets"] = {"PASSWORD": {"vault": {"server": {"auth": {"data": {"jwt": jwt}}}, "path": "ops"}}}
    made = {
        "id": job_id,
        "token": token,
        "credentials": [{"type": "registry", "url": "r", "username": "gitlab-ci-token", "password": token}],
        "dependencies": [{"id": 900, "token": f"dep-{token}", "name": "build", "artifacts_file": {"size": 5}}],
    }
    return response | made


@pytest.fixture(params=VERSIONS)
def response(request: pytest.FixtureRequest) -> Any:
    return response_of(request.param)


def digest(response: Any, key: bytes = KEY) -> str:
    return content_digest(response, key)


def test_a_digest_is_64_hex_digits_and_does_not_change_what_it_reads(response: Any) -> None:
    before = copy.deepcopy(whole(response))

    assert len(digest(before)) == 64
    assert set(digest(before)) <= set("0123456789abcdef")
    assert before == response | {name: before[name] for name in ("id", "token", "credentials", "dependencies")}
    assert digest(before) == digest(json.loads(json.dumps(before)))


def test_the_order_of_an_objects_names_does_not_count(response: Any) -> None:
    assert digest(dict(reversed(response.items()))) == digest(response)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_retry_has_the_same_digest_in_each_form_of_response(version: str) -> None:
    first, again = whole(response_of(version), JOB), whole(response_of(version), NEW_JOB)

    assert first != again
    assert digest(first) == digest(again)


@pytest.fixture
def gitlab() -> Iterator[FakeGitLab]:
    with FakeGitLab() as running:
        yield running


def test_a_retry_by_the_fake_gitlab_has_the_same_digest(gitlab: FakeGitLab) -> None:
    first = gitlab.submit(script=["make deploy"], variables={"TARGET": "prod"})
    again = gitlab.retry(first)
    other = gitlab.submit(script=["make deploy-all"], variables={"TARGET": "prod"})

    payloads = [gitlab.job(job).payload for job in (first, again, other)]
    assert len({payload["id"] for payload in payloads}) == 3
    assert digest(payloads[0]) == digest(payloads[1]) != digest(payloads[2])


Place = tuple[Any, ...]


def leaves(value: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Each scalar and each empty list or object, with the way to it."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = False
    for name, part in inner:
        found = True
        yield from leaves(part, (*place, name))
    if not found:
        yield place, value


def others(leaf: Any) -> list[Any]:
    """Values that are not `leaf`, near and far."""
    if isinstance(leaf, bool):
        return [not leaf, None, int(leaf)]
    if isinstance(leaf, str):
        near = [leaf + "x", "x" + leaf, leaf.swapcase(), leaf[:-1], f"{leaf} ", leaf[1:]]
        return [text for text in (*near, "", "0", "job") if text != leaf] + [None]
    if isinstance(leaf, int | float):
        return [leaf + 1, str(leaf), None]
    return ["", 0, [None], {"x": 1}] + ([[]] if leaf != [] else [{}]) + ([None] if leaf is not None else [])


def with_leaf(response: Any, place: Place, value: Any) -> Any:
    changed = copy.deepcopy(response)
    holder: Any = changed
    for step in place[:-1]:
        holder = holder[step]
    holder[place[-1]] = value
    return changed


@pytest.mark.parametrize("version", VERSIONS)
def test_any_other_single_change_of_any_leaf_is_another_digest(version: str) -> None:
    response = whole(response_of(version))
    own, changed = digest(response), 0
    for place, leaf in leaves(response):
        if place in VOLATILE or place[:1] == ("credentials",):
            continue
        for other in others(leaf):
            assert digest(with_leaf(response, place, other)) != own, (place, leaf, other)
            changed += 1
    assert changed > 1000


@pytest.mark.parametrize("version", VERSIONS)
def test_the_same_of_a_response_as_the_runner_wrote_it(version: str) -> None:
    response = response_of(version)
    own = digest(response)
    for place, leaf in leaves(response):
        if place in VOLATILE or place[:1] == ("credentials",):
            continue
        for other in others(leaf):
            assert digest(with_leaf(response, place, other)) != own, (place, leaf, other)


@pytest.mark.parametrize("place", sorted(VOLATILE - {("id",), ("token",)}, key=str))
def test_what_is_volatile_alone_does_not_count(place: Place) -> None:
    response = whole(response_of("19.3.0"))

    assert digest(with_leaf(response, place, "other")) == digest(response)


@pytest.mark.parametrize("name", ["variables", "steps", "services", "artifacts", "hooks"])
def test_taking_adding_or_moving_an_item_is_another_digest(response: Any, name: str) -> None:
    own, items = digest(response), response[name]
    for n in range(len(items)):
        assert digest(response | {name: items[:n] + items[n + 1 :]}) != own
        assert digest(response | {name: [*items, items[n]]}) != own
    if len(items) > 1:
        assert digest(response | {name: items[::-1]}) != own
    assert digest({key: value for key, value in response.items() if key != name}) != own


@pytest.mark.parametrize("field", ["gate", "suspend_options", "inputs", "cache2"])
def test_a_field_that_is_not_known_yet_counts(response: Any, field: str) -> None:
    assert digest(response | {field: ""}) != digest(response)
    assert digest(response | {"job_info": response["job_info"] | {field: 1}}) != digest(response)


AUTHORS = {
    "CI_JOB_URL": ["https://a", "https://b", "", "https://a/-/jobs/1", f"https://a/-/jobs/{JOB}", f"/-/jobs/{JOB}"],
    "CI_JOB_ID": ["", "1", "2", f"{JOB}", f"{JOB}0", f"0{JOB}", f"{JOB}\n"],
    "CI_JOB_STARTED_AT": ["", "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z", "2026-01-01T00:00:00Z; id", "now"],
    "CI_JOB_TOKEN": ["", "a", "b", "job token"],
    "TEXT": ["", f"{JOB}", "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z", f"https://a/-/jobs/{JOB}", "https://a"],
    "TOKEN": [
        id_token(),
        id_token(jti="two"),
        id_token(signature="b3RoZXI"),
        id_token(NEW_JOB),
        "eyJ.eyJ.x",
        "eyJh.eyJi.x",
    ],
}


@pytest.mark.parametrize("name", AUTHORS)
def test_an_authors_own_variable_cannot_hide_what_is_in_it(response: Any, name: str) -> None:
    response = whole(response)
    written = [response | {"variables": [*response["variables"], variable(name, text)]} for text in AUTHORS[name]]

    assert len({digest(each) for each in [response, *written]}) == 1 + len(written)


def test_what_looks_like_an_id_token_in_a_script_counts_as_it_stands(response: Any) -> None:
    step = response["steps"][0]
    scripts = [f"run {id_token(signature=text)}" for text in ("b25l", "dHdv")]

    told = {digest(response | {"steps": [step | {"script": [line]}]}) for line in scripts}
    assert len(told) == 2


def with_id_token(response: Any, token: str, **flags: bool) -> Any:
    made = variable("VAULT_ID_TOKEN", token, **{"public": False, "masked": True, **flags})
    return response | {"variables": [*response["variables"], made]}


def test_id_tokens_that_differ_in_their_times_only_are_the_same(response: Any) -> None:
    later = id_token(signature="bGF0ZXI", iat=7, nbf=8, exp=9, jti="two", runner_id=13, runner_environment="x")

    assert digest(with_id_token(response, id_token())) == digest(with_id_token(response, later))


@pytest.mark.parametrize(
    "claims", [{"aud": "aws"}, {"sub": "project_path:x/y"}, {"user_login": "alice"}, {"environment": "production"}]
)
def test_id_tokens_that_claim_something_else_are_others(response: Any, claims: Any) -> None:
    assert digest(with_id_token(response, id_token())) != digest(with_id_token(response, id_token(**claims)))


def test_id_tokens_of_another_job_count_as_they_stand(response: Any) -> None:
    told = [id_token(NEW_JOB, signature=signature) for signature in ("b25l", "dHdv")]

    assert len({digest(with_id_token(response, token)) for token in told}) == 2


@pytest.mark.parametrize("flags", [{"public": True}, {"masked": False}])
def test_id_tokens_are_masked_and_not_public(response: Any, flags: dict[str, bool]) -> None:
    told = [id_token(signature=signature) for signature in ("b25l", "dHdv")]

    assert len({digest(with_id_token(response, token, **flags)) for token in told}) == 2


@pytest.mark.parametrize("token", ["", "x", "1001", "prod", None, 7, ["a"]])
def test_a_token_too_short_to_be_one_blanks_no_text(response: Any, token: object) -> None:
    told = {digest(response | {"token": token, "image": {"name": f"a{text}b"}}) for text in ("", "x", "prod", "1001")}

    assert len(told) == 4


def test_another_secret_is_another_digest(response: Any) -> None:
    assert digest(response, b"a" * 32) != digest(response, b"b" * 32)


def test_no_value_can_be_read_from_a_digest(response: Any) -> None:
    """Without the secret, nobody can try values out: no plain hash of the content, or of a value, is in it."""
    response["variables"].append(variable("PASSWORD", "canary", public=False, masked=True))
    plain = json.dumps(response, sort_keys=True, separators=(",", ":")).encode()

    told = digest(response)
    assert told not in {hashlib.sha256(text).hexdigest() for text in (plain, b"canary", KEY + plain, plain + KEY)}
    assert b"canary".hex() not in told


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5) | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
PARTS = ["id", "token", "variables", "job_info", "runner_info", "dependencies", "credentials", "steps"]
ODD_VARIABLE = st.fixed_dictionaries(
    {"key": ODD | st.sampled_from(["CI_JOB_ID", "CI_JOB_URL", "CI_JOB_STARTED_AT", "T"]), "value": ODD},
    optional={"masked": st.booleans(), "public": st.booleans()},
)


@examples(300, suppress_health_check=[HealthCheck.too_slow])
@given(
    parts=st.dictionaries(st.sampled_from(PARTS), ODD),
    variables=st.lists(ODD_VARIABLE | ODD, max_size=3),
    claims=st.binary(max_size=9),
)
def test_a_hostile_shape_has_a_digest(parts: Any, variables: list[Any], claims: bytes) -> None:
    body = "eyJ" + base64.urlsafe_b64encode(claims).decode().rstrip("=") + "A"
    jwt = variable("T", f"eyJh.{body}.x", public=False, masked=True)

    assert len(digest(parts)) == 64
    assert len(digest(parts | {"variables": [*variables, jwt]})) == 64


MADE_ANEW = (
    "CI_JOB_ID",
    "CI_JOB_URL",
    "CI_JOB_TOKEN",
    "CI_JOB_STARTED_AT",
    "CI_JOB_STARTED_AT_SLUG",
    "CI_JOB_RETRY_COUNT",
    "CI_TRACEPARENT",
    "CI_TRACESTATE",
    "CI_BUILD_ID",
    "CI_REGISTRY_PASSWORD",
    "CI_REPOSITORY_URL",
    "CI_DEPENDENCY_PROXY_PASSWORD",
    "VAULT_ID_TOKEN",
)
JOBS = st.integers(1, 10**12)
RETRIES = st.tuples(JOBS, st.integers(0, 99), st.integers(0, 59))
NAMES = st.sampled_from([*MADE_ANEW, "TARGET"])


def retried(retry: tuple[int, int, int], authors: list[Any] | None = None) -> Any:
    job_id, attempt, second = retry
    return whole_response(job_id, attempt=attempt, second=second, authors=authors)


@examples(100, deadline=None)
@given(RETRIES, RETRIES)
def test_all_that_gitlab_makes_anew_for_a_retry_leaves_the_digest(
    one: tuple[int, int, int], other: tuple[int, int, int]
) -> None:
    assert digest(retried(one)) == digest(retried(other))


def test_all_that_is_said_to_be_made_anew_differs_in_two_retries() -> None:
    first, again = retried((1001, 0, 1)), retried((2002, 1, 59))
    pairs = zip(first["variables"], again["variables"], strict=True)
    assert [one["key"] for one, other in pairs if one != other] == list(MADE_ANEW)
    for part in ("features", "suspend_options", "secrets"):
        assert first[part] != again[part]


@examples(200, deadline=None)
@given(RETRIES, st.data())
def test_any_other_character_of_a_whole_response_changes_the_digest(
    retry: tuple[int, int, int], data: st.DataObject
) -> None:
    response = retried(retry, [variable("TARGET", "prod"), variable("CI_JOB_ID", str(retry[0]))])
    own = digest(response)
    counted = [
        (place, leaf)
        for place, leaf in leaves(response)
        if place not in VOLATILE
        and place[0] != "credentials"
        and place[:2] != ("features", "tracing")
        and place != ("suspend_options", "environment_key")
    ]
    place, leaf = data.draw(st.sampled_from(counted))
    if place[0] == "variables" and place[2] == "value" and response["variables"][place[1]]["key"] in MADE_ANEW:
        other: Any = data.draw(st.sampled_from(["", "x", f"{leaf}x", f"x{leaf}", None, 7]))
    else:
        other = data.draw(st.sampled_from(others(leaf)))
    assert digest(with_leaf(response, place, other)) != own, (place, leaf, other)


@examples(100, deadline=None)
@given(NAMES, st.text(max_size=20), st.text(max_size=20))
def test_an_authors_second_variable_of_such_a_name_counts_whole(name: str, one: str, other: str) -> None:
    told = [digest(whole_response(authors=[variable(name, text)])) for text in (one, other)]

    assert (told[0] == told[1]) is (one == other)
    assert digest(whole_response()) not in told


FORMS: dict[str, tuple[str, str]] = {
    "CI_JOB_ID": ("2002", "3003"),
    "CI_BUILD_ID": ("2002", "3003"),
    "CI_JOB_URL": ("https://x/-/jobs/2002", "https://x/-/jobs/3003"),
    "CI_JOB_STARTED_AT_SLUG": ("2026-01-01t00-00-00z", "2026-01-01t00-00-01z"),
    "CI_JOB_RETRY_COUNT": ("one", "two"),
    "CI_TRACESTATE": ("gitlab=pipeline:7;job:2002", "gitlab=pipeline:7;job:3003"),
    "CI_TRACEPARENT": (f"00-{1:032x}-{1:016x}-01", f"00-{2:032x}-{1:016x}-01"),
    "CI_JOB_STARTED_AT": ("now", "later"),
}


@pytest.mark.parametrize("name", FORMS)
def test_the_first_that_has_not_this_jobs_form_counts(name: str) -> None:
    told = set()
    for text in FORMS[name]:
        response = whole_response()
        for each in response["variables"]:
            each["value"] = text if each["key"] == name else each["value"]
        told.add(digest(response))
    assert len(told | {digest(whole_response())}) == 3


@pytest.mark.parametrize("name", ["CI_JOB_RETRY_COUNT", "CI_TRACEPARENT"])
@pytest.mark.parametrize("how", ["an older GitLab", "one of no version", "a policy's job"])
def test_what_this_gitlab_does_not_set_itself_counts(name: str, how: str) -> None:
    texts = {
        "CI_JOB_RETRY_COUNT": ("1", "2"),
        "CI_TRACEPARENT": (f"00-{1:032x}-{1:016x}-01", f"00-{1:032x}-{2:016x}-01"),
    }
    told = set()
    for text in texts[name]:
        response = whole_response()
        response["policy_options"]["execution_policy_job"] = how == "a policy's job"
        for each in response["variables"]:
            each["value"] = text if each["key"] == name else each["value"]
            if each["key"] == "CI_SERVER_VERSION" and how != "a policy's job":
                each["value"] = "18.8.4" if how == "an older GitLab" else "next"
        told.add(digest(response))
    assert len(told) == 2


def test_where_traces_go_and_that_an_environment_is_resumed_count() -> None:
    response = whole_response()
    elsewhere = with_leaf(response, ("features", "tracing", "otel_endpoints", 0, "url"), "https://other.example")
    afresh = with_leaf(response, ("suspend_options", "environment_key"), "")
    assert len({digest(each) for each in (response, elsewhere, afresh)}) == 3


@pytest.mark.parametrize(
    "host", ["gitlab.example.com", "a-very-long-name-of-a-host-for-a-gitlab.of-a-department.example.com"]
)
def test_an_aws_session_may_begin_with_the_jobs_number(host: str) -> None:
    told = set()
    for job_id in (999, 1000, 12345):
        response = whole_response(job_id)
        for each in response["variables"]:
            each["value"] = host if each["key"] == "CI_SERVER_HOST" else each["value"]
        session = f"{job_id}-42-{host}"[:64]
        response["secrets"]["KEY"]["aws_secrets_manager"]["server"]["role_session_name"] = session
        told.add(digest(response))
    assert len(told) == 1
    for session in ("1000-43-gitlab.example.com", "x-1000-42-gitlab.example.com", "99-42-gitlab.example.com"):
        place = ("secrets", "KEY", "aws_secrets_manager", "server", "role_session_name")
        assert digest(with_leaf(whole_response(1000), place, session)) not in told


def test_a_digest_of_an_older_version_of_the_gate_equals_none() -> None:
    response = response_of("19.3.0")
    bare = json.dumps(_counted(response), sort_keys=True, separators=(",", ":")).encode()
    assert hmac.new(KEY, bare, "sha256").hexdigest() != digest(response)
    assert hmac.new(KEY, b'{"response":%s,"version":2}' % bare, "sha256").hexdigest() == digest(response)


def test_what_is_nested_too_deeply_is_refused_in_one_line() -> None:
    deep: list[Any] = []
    for _ in range(900):
        deep = [deep]
    with pytest.raises(StageError, match="nested too deeply to be judged"):
        config_stage._digest({"run": deep}, KEY)
