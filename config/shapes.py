"""The shapes of a policy, which is what gate.yaml comes to: for mypy alone, nothing imports this while it runs.

They are here, since config makes a policy; the packages above take them from gate/shapes.py, which says why they
are types alone. A policy is kept with the job that it was made for, so one of an older version may be read: it lacks
what is `NotRequired`.
"""

from typing import Any, Literal, NotRequired, TypeAlias, TypedDict

Answer: TypeAlias = Literal["approve", "reject"]
Need: TypeAlias = Literal["optional", "required"]

# What `match` has for one criterion: true or false for `protected`, numbers for `runner`, patterns for all others.
Criterion: TypeAlias = Any


class Person(TypedDict):
    """One human; `uid` is None where this host has no such user."""

    unix: str | None
    uid: int | None
    gitlab_names: list[str]
    gitlab_ids: list[int]
    ssh_keys: list[str]
    proxy_names: NotRequired[list[str]]


class JobUser(TypedDict):
    """Whom a job runs as; uid and gid are None where the user has gone from this host."""

    run_as: str | None
    uid: int | None
    gid: int | None
    home: str


class ToolPath(TypedDict, total=False):
    """Where a job's programs are looked for."""

    path: list[str]


class Backend(JobUser, ToolPath):
    """How a job runs."""

    type: str
    isolate: str
    allow_same_user: bool
    image: NotRequired[str]
    named_home: NotRequired[str | None]
    no_new_privileges: NotRequired[bool]
    environment: NotRequired[dict[str, str]]
    limits: NotRequired[dict[str, int]]


class Entry(TypedDict):
    """`count` approvals of `people`, who are those that `of` names, and the members of the groups that it names."""

    count: int
    of: list[str]
    people: list[str]


class Comments(TypedDict):
    """Whether a comment has to come with an answer."""

    approve: Need
    reject: Need


class Asking(TypedDict):
    """Whom a rule asks."""

    approvals: list[Entry]


class HowToRun(TypedDict, total=False):
    """What a rule says of how its jobs run, instead of the backend."""

    run_as: JobUser | None
    named_home: str | None
    limits: dict[str, int]


class Unmatchable(TypedDict, total=False):
    """The criteria of a rule that nothing in GitLab can be, and why; most rules have none."""

    never: dict[str, str]


class Rule(Asking, HowToRun, Unmatchable):
    """One rule, and which jobs it is for."""

    name: str
    match: dict[str, Criterion]
    rejections: int
    decide_within_s: int
    early: bool
    reserve_s: int | None
    self_approval: bool
    comment: Comments
    after_rejection_s: int
    supersede: bool
    deny: NotRequired[list[str]]
    remind_every_s: NotRequired[int | None]


class PageSettings(TypedDict):
    """`listen` is [host, port]; `link_socket` is where login links are handed out."""

    user: str
    uid: int
    gid: int
    socket: str | None
    listen: list[Any] | None
    link_socket: str | None
    login_link: bool
    proxy_socket: str | None
    proxy_gid: int | None
    proxy_header: str
    url: str
    bulk: bool


class AuditSettings(TypedDict):
    """When the log goes on in a new segment, and where its second copy goes."""

    rotate_at_bytes: int
    copy_to: str | None


class Keep(TypedDict):
    """How long what is over is kept."""

    requests_s: int
    log_s: int


class Aside(TypedDict):
    """A fault that stops no job; `of` is the section of gate.yaml that it is about."""

    of: str
    message: str
    fix: str


class Policy(TypedDict):
    """What gate.yaml comes to, all names looked up; a plan has it whole, so each part may be of an older version."""

    version: int
    site: str
    state_dir: str
    approvers_group: str | None
    approvers_gid: int | None
    people: dict[str, Person]
    groups: dict[str, list[str]]
    rules: list[Rule]
    backend: Backend
    exit_codes: dict[str, int]
    warnings: list[str]
    audit: NotRequired[AuditSettings]
    asides: NotRequired[list[Aside]]
    keep: NotRequired[Keep]
    on_event: NotRequired[list[str]]
    page: NotRequired[PageSettings | None]
