"""The job that is rehearsed where none is given: a deployment, triggered by somebody who approves nothing."""

from __future__ import annotations

import os
import time
from typing import Any

Response = dict[str, Any]  # a job response, or an object in one; FILE's is checked where it is read (session.py)


SHA = "0123456789abcdef0123456789abcdef01234567"


def sample_job(server_url: str = "https://gitlab.example.com") -> Response:
    """A new job at each call: its id is made of time and process id, so that no two share a request."""
    job_id = int(time.time()) * 100_000 + os.getpid() % 100_000
    project_url = f"{server_url}/shop/web"
    token = f"rehearsal-{job_id}"
    repo_url = project_url.replace("://", f"://gitlab-ci-token:{token}@") + ".git"
    return {
        "id": job_id,
        "token": token,
        "allow_git_fetch": True,
        "job_info": {
            "name": "deploy",
            "stage": "deploy",
            "pipeline_id": 7,
            "project_id": 42,
            "project_name": "web",
            "project_full_path": "shop/web",
            "user_id": 5,
        },
        "git_info": {
            "repo_url": repo_url,
            "repo_object_format": "sha1",
            "ref": "main",
            "sha": SHA,
            "before_sha": "0" * 40,
            "ref_type": "branch",
            "refspecs": [],
            "depth": 20,
            "protected": True,
        },
        "runner_info": {"timeout": 3600},
        "variables": [public(key, value) for key, value in _predefined(job_id, server_url, project_url).items()],
        "steps": [_script(["echo deploying $CI_PROJECT_PATH to $CI_ENVIRONMENT_NAME", "echo deployed"])],
        "image": {"name": ""},
        "services": [],
        "artifacts": [],
        "cache": [],
        "credentials": [],
        "dependencies": [],
        "features": {
            "trace_sections": True,
            "failure_reasons": ["script_failure", "runner_system_failure", "job_execution_timeout", "job_canceled"],
        },
    }


def public(key: str, value: str) -> Response:
    """A variable as GitLab sends it, neither masked nor a file."""
    return {"key": key, "value": value, "public": True, "file": False, "masked": False, "raw": False}


def _predefined(job_id: int, server_url: str, project_url: str) -> dict[str, str]:
    return {
        "CI_PIPELINE_ID": "7",
        "CI_PIPELINE_URL": f"{project_url}/-/pipelines/7",
        "CI_JOB_ID": str(job_id),
        "CI_JOB_URL": f"{project_url}/-/jobs/{job_id}",
        "CI_JOB_NAME": "deploy",
        "CI_JOB_STAGE": "deploy",
        "CI_ENVIRONMENT_NAME": "production",
        "CI_SERVER_URL": server_url,
        "CI_PROJECT_ID": "42",
        "CI_PROJECT_PATH": "shop/web",
        "CI_PROJECT_URL": project_url,
        "CI_COMMIT_SHA": SHA,
        "CI_COMMIT_REF_NAME": "main",
        "CI_COMMIT_REF_PROTECTED": "true",
        "GITLAB_USER_ID": "5",
        "GITLAB_USER_EMAIL": "dev@example.com",
        "GITLAB_USER_LOGIN": "dev",
        "GITLAB_USER_NAME": "Dev",
    }


def _script(lines: list[str]) -> Response:
    return {"name": "script", "script": lines, "timeout": 3600, "when": "on_success", "allow_failure": False}
