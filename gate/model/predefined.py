"""Which variables of a job GitLab sets itself. Data, and the few questions that are asked of it. Pure.

A job response has all variables in one list, without a word about where each comes from: GitLab's own come first, and
one that a job's author sets to something else stands twice (docs/adr/0025-variables.md). So the first occurrence of a
name that GitLab sets for *every* job is GitLab's, and everything else may be somebody else's:

- `PERSISTED`: set for every job, also for those of a security policy, which get nothing else from GitLab.
- `ALWAYS`: set for every other job, with the version of GitLab that brought it. An older GitLab does not set it, so a
  name that is newer than the server is the author's. `(0, 0)`: older than any GitLab that a gate can meet.
- `SOMETIMES`: set for some jobs only, or since a version that is not known. Where GitLab does not set it, an author
  can.

Sources: GitLab 19.3, doc/ci/variables/predefined_variables.md; app/models/ci/build.rb (`persisted_variables`,
`base_variables`); lib/gitlab/ci/variables/builder.rb and builder/pipeline.rb; app/models/project.rb
(`predefined_variables`). What the runner adds, such as CI_PROJECT_DIR, never stands in a job response: one that does is
the author's.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gate.shapes import Json

Version = tuple[int, int]

PERSISTED: dict[str, Version] = {
    "CI_PIPELINE_ID": (0, 0),
    "CI_PIPELINE_URL": (0, 0),
    "CI_JOB_ID": (0, 0),
    "CI_JOB_URL": (0, 0),
    "CI_JOB_TOKEN": (0, 0),
    "CI_JOB_STARTED_AT": (0, 0),
    "CI_REGISTRY_USER": (0, 0),
    "CI_REGISTRY_PASSWORD": (0, 0),
    "CI_REPOSITORY_URL": (0, 0),
}
ALWAYS: dict[str, Version] = {
    **dict.fromkeys(
        (
            "CI",
            "GITLAB_CI",
            "GITLAB_FEATURES",
            "CI_API_V4_URL",
            "CI_COMMIT_AUTHOR",
            "CI_COMMIT_BEFORE_SHA",
            "CI_COMMIT_DESCRIPTION",
            "CI_COMMIT_MESSAGE",
            "CI_COMMIT_REF_NAME",
            "CI_COMMIT_REF_PROTECTED",
            "CI_COMMIT_REF_SLUG",
            "CI_COMMIT_SHA",
            "CI_COMMIT_SHORT_SHA",
            "CI_COMMIT_TIMESTAMP",
            "CI_COMMIT_TITLE",
            "CI_CONFIG_PATH",
            "CI_DEFAULT_BRANCH",
            "CI_JOB_NAME",
            "CI_JOB_STAGE",
            "CI_NODE_TOTAL",
            "CI_PIPELINE_CREATED_AT",
            "CI_PIPELINE_IID",
            "CI_PIPELINE_SOURCE",
            "CI_PROJECT_CLASSIFICATION_LABEL",
            "CI_PROJECT_ID",
            "CI_PROJECT_NAME",
            "CI_PROJECT_NAMESPACE",
            "CI_PROJECT_PATH",
            "CI_PROJECT_PATH_SLUG",
            "CI_PROJECT_REPOSITORY_LANGUAGES",
            "CI_PROJECT_ROOT_NAMESPACE",
            "CI_PROJECT_TITLE",
            "CI_PROJECT_URL",
            "CI_PROJECT_VISIBILITY",
            "CI_RUNNER_DESCRIPTION",
            "CI_RUNNER_ID",
            "CI_RUNNER_TAGS",
            "CI_SERVER_HOST",
            "CI_SERVER_NAME",
            "CI_SERVER_PORT",
            "CI_SERVER_PROTOCOL",
            "CI_SERVER_REVISION",
            "CI_SERVER_URL",
            "CI_SERVER_VERSION",
            "CI_SERVER_VERSION_MAJOR",
            "CI_SERVER_VERSION_MINOR",
            "CI_SERVER_VERSION_PATCH",
        ),
        (0, 0),
    ),
    "CI_PROJECT_DESCRIPTION": (15, 1),
    "CI_TEMPLATE_REGISTRY_HOST": (15, 3),
    "CI_JOB_NAME_SLUG": (15, 4),
    "CI_PROJECT_NAMESPACE_ID": (15, 7),
    "CI_API_GRAPHQL_URL": (15, 11),
    "CI_SERVER_SHELL_SSH_HOST": (15, 11),
    "CI_SERVER_SHELL_SSH_PORT": (15, 11),
    "CI_PIPELINE_NAME": (16, 3),
    "CI_SERVER_FQDN": (16, 10),
    "CI_JOB_GROUP_NAME": (17, 10),
    "CI_PROJECT_TOPICS": (18, 3),
    "CI_COMMIT_MESSAGE_IS_TRUNCATED": (18, 6),
    "CI_JOB_STARTED_AT_SLUG": (18, 7),
    "CI_COMMIT_USER_LOGIN": (18, 10),
    "CI_PROJECT_ROOT_NAMESPACE_SLUG": (19, 0),
    "CI_JOB_RETRY_COUNT": (19, 3),
    "CI_JOB_TAGS": (19, 3),
}
# GitLab puts these after the author's, so that the first is not surely its own; one alone is, since it always sets
# them.
USER = frozenset({"GITLAB_USER_EMAIL", "GITLAB_USER_ID", "GITLAB_USER_LOGIN", "GITLAB_USER_NAME"})
SOMETIMES = (
    "APP_STORE_CONNECT_API_KEY_*",
    "AUTO_DEVOPS_EXPLICITLY_ENABLED",
    "CHAT_CHANNEL",
    "CHAT_INPUT",
    "CHAT_USER_ID",
    "CI_BUILD_BEFORE_SHA",
    "CI_BUILD_ID",
    "CI_BUILD_MANUAL",
    "CI_BUILD_NAME",
    "CI_BUILD_REF",
    "CI_BUILD_REF_NAME",
    "CI_BUILD_REF_SLUG",
    "CI_BUILD_REPO",
    "CI_BUILD_STAGE",
    "CI_BUILD_TAG",
    "CI_BUILD_TOKEN",
    "CI_BUILD_TRIGGERED",
    "CI_COMMIT_BRANCH",
    "CI_COMMIT_DEFAULT_BRANCH_BASE_SHA",
    "CI_COMMIT_TAG",
    "CI_COMMIT_TAG_MESSAGE",
    "CI_CONFIG_REF_URI",
    "CI_DEFAULT_BRANCH_SLUG",
    "CI_DEPENDENCY_PROXY_*",
    "CI_DEPLOY_FREEZE",
    "CI_DEPLOY_PASSWORD",
    "CI_DEPLOY_USER",
    "CI_ENVIRONMENT_ACTION",
    "CI_ENVIRONMENT_ID",
    "CI_ENVIRONMENT_NAME",
    "CI_ENVIRONMENT_SLUG",
    "CI_ENVIRONMENT_TIER",
    "CI_ENVIRONMENT_URL",
    "CI_EXTERNAL_PULL_REQUEST_*",
    "CI_GITLAB_FIPS_MODE",
    "CI_HAS_OPEN_REQUIREMENTS",
    "CI_JOB_MANUAL",
    "CI_KUBERNETES_ACTIVE",
    "CI_MERGE_REQUEST_*",
    "CI_NODE_INDEX",
    "CI_OPEN_MERGE_REQUESTS",
    "CI_PAGES_DOMAIN",
    "CI_PAGES_HOSTNAME",
    "CI_PAGES_URL",
    "CI_PIPELINE_SCHEDULE_DESCRIPTION",
    "CI_PIPELINE_TRIGGERED",
    "CI_PROJECT_CONFIG_PATH",
    "CI_PROJECT_NAMESPACE_SLUG",
    "CI_REGISTRY",
    "CI_REGISTRY_IMAGE",
    "CI_RELEASE_DESCRIPTION",
    "CI_TRACEPARENT",
    "CI_TRACESTATE",
    "CI_TRIGGER_SHORT_TOKEN",
    "CI_UPSTREAM_JOB_ID",
    "CI_UPSTREAM_PIPELINE_ID",
    "CI_UPSTREAM_PROJECT_ID",
    "DIFFBLUE_ACCESS_TOKEN",
    "DIFFBLUE_ACCESS_TOKEN_NAME",
    "DIFFBLUE_LICENSE_KEY",
    "HARBOR_HOST",
    "HARBOR_OCI",
    "HARBOR_PASSWORD",
    "HARBOR_PROJECT",
    "HARBOR_URL",
    "HARBOR_USERNAME",
    "INCREMENTAL_ROLLOUT_ENABLED",
    "INCREMENTAL_ROLLOUT_MODE",
    "KUBECONFIG",
    "STAGING_ENABLED",
    "SUPPLY_JSON_KEY_DATA",
    "SUPPLY_PACKAGE_NAME",
    "TRIGGER_PAYLOAD",
)


def is_policy_job(response: Json) -> bool:
    """Whether the job is of a security policy's pipeline, to which GitLab sends few variables of its own."""
    options = response.get("policy_options")
    return isinstance(options, dict) and bool(options.get("execution_policy_job"))


def always_set(response: Json) -> frozenset[str]:
    """The names that the GitLab of this job response surely sets itself, so that the first of each is its own."""
    if is_policy_job(response):
        return frozenset(PERSISTED)
    version = server_version(response)
    return frozenset(PERSISTED) | {name for name, since in ALWAYS.items() if since <= version} | USER


def server_version(response: Json) -> Version:
    """GitLab's own version, by the first CI_SERVER_VERSION; (0, 0) where it does not tell."""
    found = response.get("variables")
    variables = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
    first = next((each.get("value") for each in variables if each.get("key") == "CI_SERVER_VERSION"), "")
    major, _, rest = first.partition(".") if isinstance(first, str) else ("", "", "")
    parts = (major, rest.partition(".")[0])
    if not all(part.isascii() and part.isdigit() and len(part) < 4 for part in parts):  # noqa: PLR2004
        return (0, 0)
    return (int(parts[0]), int(parts[1]))


def sets_sometimes(name: str) -> bool:
    """Whether GitLab sets a variable of this name, but not for every job or not in every version."""
    return name in PERSISTED or name in ALWAYS or any(fnmatchcase(name, pattern) for pattern in SOMETIMES)
