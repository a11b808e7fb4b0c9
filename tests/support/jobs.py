"""The job payload that GitLab hands to a runner (POST /api/v4/jobs/request), for tests.

Field names and variable order are those of the samples that real runners wrote down; the job's author may add
variables, which stand after GitLab's own, so an overridden one stands twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

SHA = "0123456789012345678901234567890123456789"
FAILURE_REASONS = [
    "script_failure",
    "runner_system_failure",
    "job_execution_timeout",
    "unknown_failure",
    "job_canceled",
    "runner_interrupted",
]

Payload = dict[str, Any]


def variable(
    key: str, value: str, *, public: bool = True, file: bool = False, masked: bool = False, raw: bool = False
) -> Payload:
    return {"key": key, "value": value, "public": public, "file": file, "masked": masked, "raw": raw}


def job_payload(
    job_id: int,
    *,
    server_url: str = "http://gitlab.example",
    script: Sequence[str] = ("echo hello",),
    after_script: Sequence[str] = (),
    variables: Mapping[str, str] | Sequence[Payload] = (),
    name: str = "deploy",
    stage: str = "deploy",
    environment: str | None = "production",
    project_id: int = 42,
    project_path: str = "grp/app",
    pipeline_id: int = 7,
    ref: str = "main",
    sha: str = SHA,
    protected: bool = True,
    user_id: int = 5,
    user_login: str = "dev",
    user_name: str = "Dev",
    timeout: int = 600,
    steps: Sequence[Payload] = (),
    hooks: Sequence[Payload] = (),
    image: Payload | None = None,
    services: Sequence[Payload] = (),
    token: str | None = None,
    strategy: str = "none",
    extra: Mapping[str, Any] | None = None,
) -> Payload:
    """One job as GitLab sends it; `steps` are extra ones after the script, `timeout` is in seconds, `extra` other fields.

    `strategy` is GIT_STRATEGY; none is set where it is empty.
    """
    token = token or f"job-token-{job_id}"
    project_url = f"{server_url}/{project_path}"
    scheme, host = server_url.split("://")
    repo_url = f"{scheme}://gitlab-ci-token:{token}@{host}/{project_path}.git"
    own = [
        variable("CI_PIPELINE_ID", str(pipeline_id)),
        variable("CI_PIPELINE_URL", f"{project_url}/-/pipelines/{pipeline_id}"),
        variable("CI_JOB_ID", str(job_id)),
        variable("CI_JOB_URL", f"{project_url}/-/jobs/{job_id}"),
        variable("CI_JOB_TOKEN", token, public=False, masked=True),
        variable("CI_REPOSITORY_URL", repo_url, public=False),
        variable("CI_JOB_NAME", name),
        variable("CI_JOB_STAGE", stage),
        *([variable("CI_ENVIRONMENT_NAME", environment)] if environment else []),
        variable("CI_SERVER_URL", server_url),
        variable("CI_PROJECT_ID", str(project_id)),
        variable("CI_PROJECT_NAME", project_path.rpartition("/")[2]),
        variable("CI_PROJECT_PATH", project_path),
        variable("CI_PROJECT_URL", project_url),
        variable("CI_PIPELINE_SOURCE", "push"),
        variable("CI_COMMIT_SHA", sha),
        variable("CI_COMMIT_REF_NAME", ref),
        variable("CI_COMMIT_REF_PROTECTED", "true" if protected else "false"),
        *([variable("GIT_STRATEGY", strategy)] if strategy else []),
        variable("GITLAB_USER_ID", str(user_id)),
        variable("GITLAB_USER_EMAIL", f"{user_login}@example.com"),
        variable("GITLAB_USER_LOGIN", user_login),
        variable("GITLAB_USER_NAME", user_name),
    ]
    return {
        "id": job_id,
        "token": token,
        "allow_git_fetch": True,
        "job_info": {
            "name": name,
            "stage": stage,
            "pipeline_id": pipeline_id,
            "project_id": project_id,
            "project_name": project_path.rpartition("/")[2],
            "project_full_path": project_path,
            "user_id": user_id,
        },
        "git_info": {
            "repo_url": repo_url,
            "repo_object_format": "sha1",
            "ref": ref,
            "sha": sha,
            "before_sha": "0" * 40,
            "ref_type": "branch",
            "refspecs": [],
            "depth": 20,
            "protected": protected,
        },
        "runner_info": {"timeout": timeout},
        "variables": own + _authors(variables),
        "steps": [_step("script", script, timeout), *steps, *_after(after_script)],
        "image": image or {"name": ""},
        "services": list(services),
        "artifacts": [],
        "cache": [],
        "credentials": [],
        "dependencies": [],
        "features": {"trace_sections": True, "failure_reasons": FAILURE_REASONS},
        **({"hooks": list(hooks)} if hooks else {}),
        **(extra or {}),
    }


def _authors(variables: Mapping[str, str] | Sequence[Payload]) -> list[Payload]:
    if isinstance(variables, Mapping):
        return [variable(key, value) for key, value in variables.items()]
    return list(variables)


def _step(name: str, script: Sequence[str], timeout: int) -> Payload:
    return {"name": name, "script": list(script), "timeout": timeout, "when": "on_success", "allow_failure": False}


def _after(script: Sequence[str]) -> list[Payload]:
    return [{**_step("after_script", script, 300), "when": "always", "allow_failure": True}] if script else []
