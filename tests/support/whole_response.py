"""A job response of GitLab 19.3 with every variable that it sets, and with all that it makes anew for each job.

Names and order: GitLab 19.3, doc/ci/variables/predefined_variables.md and lib/gitlab/ci/variables/builder.rb; the
fields are those of tests/responses/19.3.0.json, which a real runner wrote.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from tests.support.jobs import SHA, variable

RESPONSE = Path(__file__).parents[1] / "responses" / "19.3.0.json"
PIPELINE = 7
ROOT = "https://gitlab.example.com/gitlab"
PATH = "grp/app"


def id_token(job_id: int) -> str:
    """An ID token as GitLab signs one for a job."""
    claims = {"iss": ROOT, "aud": "vault", "job_id": str(job_id), "iat": job_id, "exp": job_id + 1, "jti": f"j{job_id}"}
    parts = [{"alg": "RS256", "kid": "k1"}, claims]
    head, body = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
    return f"{head}.{body}.{base64.urlsafe_b64encode(f'signed {job_id}'.encode()).rstrip(b'=').decode()}"


def whole_response(job_id: int = 1001, *, attempt: int = 0, second: int = 0, authors: list[Any] | None = None) -> Any:
    """The response for job `job_id`, the `attempt`-th retry, started in that second.

    `authors` variables follow GitLab's.
    """
    response = json.loads(RESPONSE.read_text(encoding="utf-8"))
    token = f"glcbt-64_made-up-token-of-{job_id}"
    jwt = id_token(job_id)
    response |= {
        "id": job_id,
        "token": token,
        "variables": [*gitlabs_variables(job_id, token, attempt, second), *(authors or [])],
        "credentials": [{"type": "registry", "url": "r", "username": "gitlab-ci-token", "password": token}],
        "dependencies": [{"id": 900, "token": token, "name": "build", "artifacts_file": {"filename": "a", "size": 5}}],
        "secrets": {
            "PASSWORD": {"vault": {"server": {"auth": {"data": {"jwt": jwt}}}, "path": "ops"}},
            "KEY": {"aws_secrets_manager": _aws(job_id, jwt)},
        },
        "suspend_options": {"environment_key": f"12/c3lz/{job_id:x}"},
    }
    response["job_info"] |= {"time_in_queue_seconds": job_id / 7, "queue_size": job_id, "queue_depth": job_id % 5}
    response["git_info"]["repo_url"] = f"https://gitlab-ci-token:{token}@gitlab.example.com/gitlab/{PATH}.git"
    response["runner_info"]["uuid"] = f"0190-{job_id}"
    response["features"]["tracing"] = {
        "trace_id": f"{PIPELINE:032x}",
        "span_parent_id": _span(job_id),
        "otel_endpoints": [{"url": "https://otel.example.com", "auth": None}],
    }
    return response


def _aws(job_id: int, jwt: str) -> dict[str, Any]:
    session = f"{job_id}-42-gitlab.example.com"
    return {"secret_id": "app/key", "role_session_name": session, "server": {"jwt": jwt, "role_session_name": session}}


def _span(job_id: int) -> str:
    return hashlib.sha256(f"{PIPELINE} {job_id}".encode()).hexdigest()[:16]


def gitlabs_variables(job_id: int, token: str, attempt: int, second: int) -> list[dict[str, Any]]:
    """All variables that GitLab sets for a job of a branch, in its order."""
    started = f"2026-11-24T01:02:{second:02}Z"
    url = f"{ROOT}/{PATH}"
    secret = {"public": False, "masked": True}
    return [
        variable("CI_PIPELINE_ID", str(PIPELINE)),
        variable("CI_PIPELINE_URL", f"{url}/-/pipelines/{PIPELINE}"),
        variable("CI_JOB_ID", str(job_id)),
        variable("CI_JOB_URL", f"{url}/-/jobs/{job_id}"),
        variable("CI_JOB_TOKEN", token, **secret),
        variable("CI_JOB_STARTED_AT", started),
        variable("CI_JOB_STARTED_AT_SLUG", started.lower().replace(":", "-")),
        variable("CI_JOB_RETRY_COUNT", str(attempt)),
        variable("CI_JOB_TAGS", '["gated"]'),
        variable("CI_TRACEPARENT", f"00-{PIPELINE:032x}-{_span(job_id)}-01"),
        variable("CI_TRACESTATE", f"gitlab=pipeline:{PIPELINE};job:{job_id}"),
        variable("CI_BUILD_ID", str(job_id)),
        variable("CI_REGISTRY_USER", "gitlab-ci-token"),
        variable("CI_REGISTRY_PASSWORD", token, **secret),
        variable(
            "CI_REPOSITORY_URL", f"https://gitlab-ci-token:{token}@gitlab.example.com/gitlab/{PATH}.git", public=False
        ),
        variable("CI_DEPENDENCY_PROXY_USER", "gitlab-ci-token"),
        variable("CI_DEPENDENCY_PROXY_PASSWORD", token, **secret),
        variable("VAULT_ID_TOKEN", id_token(job_id), **secret),
        *(variable(name, value) for name, value in _SAME.items()),
        variable("GITLAB_USER_ID", "5"),
        variable("GITLAB_USER_EMAIL", "dev@example.com"),
        variable("GITLAB_USER_LOGIN", "dev"),
        variable("GITLAB_USER_NAME", "Dev"),
    ]


_SAME = {
    "CI_JOB_NAME": "deploy",
    "CI_JOB_NAME_SLUG": "deploy",
    "CI_JOB_GROUP_NAME": "deploy",
    "CI_JOB_STAGE": "deploy",
    "CI_NODE_TOTAL": "1",
    "CI_ENVIRONMENT_NAME": "production",
    "CI_ENVIRONMENT_ACTION": "start",
    "CI_ENVIRONMENT_TIER": "production",
    "CI": "true",
    "GITLAB_CI": "true",
    "CI_SERVER_FQDN": "gitlab.example.com",
    "CI_SERVER_URL": ROOT,
    "CI_SERVER_HOST": "gitlab.example.com",
    "CI_SERVER_PORT": "443",
    "CI_SERVER_PROTOCOL": "https",
    "CI_SERVER_SHELL_SSH_HOST": "gitlab.example.com",
    "CI_SERVER_SHELL_SSH_PORT": "22",
    "CI_SERVER_NAME": "GitLab",
    "CI_SERVER_VERSION": "19.3.0-ee",
    "CI_SERVER_VERSION_MAJOR": "19",
    "CI_SERVER_VERSION_MINOR": "3",
    "CI_SERVER_VERSION_PATCH": "0",
    "CI_SERVER_REVISION": "1e4d2cb6f74",
    "GITLAB_FEATURES": "audit_events,epics",
    "CI_PROJECT_ID": "42",
    "CI_PROJECT_NAME": "app",
    "CI_PROJECT_TITLE": "App",
    "CI_PROJECT_DESCRIPTION": "",
    "CI_PROJECT_TOPICS": "",
    "CI_PROJECT_PATH": PATH,
    "CI_PROJECT_PATH_SLUG": "grp-app",
    "CI_PROJECT_NAMESPACE": "grp",
    "CI_PROJECT_NAMESPACE_SLUG": "grp",
    "CI_PROJECT_NAMESPACE_ID": "3",
    "CI_PROJECT_ROOT_NAMESPACE": "grp",
    "CI_PROJECT_ROOT_NAMESPACE_SLUG": "grp",
    "CI_PROJECT_URL": f"{ROOT}/{PATH}",
    "CI_PROJECT_VISIBILITY": "private",
    "CI_PROJECT_REPOSITORY_LANGUAGES": "python,shell",
    "CI_PROJECT_CLASSIFICATION_LABEL": "",
    "CI_DEFAULT_BRANCH": "main",
    "CI_DEFAULT_BRANCH_SLUG": "main",
    "CI_CONFIG_PATH": ".gitlab-ci.yml",
    "CI_PAGES_DOMAIN": "pages.example.com",
    "CI_PAGES_HOSTNAME": "grp.pages.example.com",
    "CI_REGISTRY": "registry.example.com",
    "CI_REGISTRY_IMAGE": f"registry.example.com/{PATH}",
    "CI_DEPENDENCY_PROXY_SERVER": "gitlab.example.com:443",
    "CI_DEPENDENCY_PROXY_GROUP_IMAGE_PREFIX": "gitlab.example.com:443/grp/dependency_proxy/containers",
    "CI_DEPENDENCY_PROXY_DIRECT_GROUP_IMAGE_PREFIX": "gitlab.example.com:443/grp/dependency_proxy/containers",
    "CI_API_V4_URL": f"{ROOT}/api/v4",
    "CI_API_GRAPHQL_URL": f"{ROOT}/api/graphql",
    "CI_TEMPLATE_REGISTRY_HOST": "registry.gitlab.com",
    "CI_PIPELINE_IID": "3",
    "CI_PIPELINE_SOURCE": "push",
    "CI_PIPELINE_CREATED_AT": "2026-11-24T01:00:00Z",
    "CI_PIPELINE_NAME": "",
    "CI_CONFIG_REF_URI": f"gitlab.example.com/{PATH}//.gitlab-ci.yml@refs/heads/main",
    "CI_COMMIT_SHA": SHA,
    "CI_COMMIT_SHORT_SHA": SHA[:8],
    "CI_COMMIT_BEFORE_SHA": "0" * 40,
    "CI_COMMIT_REF_NAME": "main",
    "CI_COMMIT_REF_SLUG": "main",
    "CI_COMMIT_BRANCH": "main",
    "CI_COMMIT_MESSAGE": "Deploy\n\nWith care",
    "CI_COMMIT_MESSAGE_IS_TRUNCATED": "false",
    "CI_COMMIT_TITLE": "Deploy",
    "CI_COMMIT_DESCRIPTION": "With care",
    "CI_COMMIT_REF_PROTECTED": "true",
    "CI_COMMIT_TIMESTAMP": "2026-11-24T00:59:00+00:00",
    "CI_COMMIT_AUTHOR": "Dev <dev@example.com>",
    "CI_COMMIT_USER_LOGIN": "",
    "CI_RUNNER_ID": "12",
    "CI_RUNNER_DESCRIPTION": "build01",
    "CI_RUNNER_TAGS": '["gated"]',
}
