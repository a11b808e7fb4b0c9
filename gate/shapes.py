"""The shapes of what the gate keeps and hands on, for mypy: a misspelt key, answer or state fails `make lint`.

At run time these are plain dicts, which is what JSON and marshal know, and nothing imports this module. What waits must
stay small (tests/unit/test_imports.py): `typing` alone would cost each waiting process some 2 MiB. Therefore modules
say `TYPE_CHECKING = False`, which mypy takes for true, instead of importing that name from `typing`. They import
shapes below `if TYPE_CHECKING:`, and `from __future__ import annotations` leaves annotations unevaluated.

Keys that files of older versions lack are `NotRequired`: read them with `get`, or ask whether they are there. A
policy's shapes are in config/shapes.py, since config makes it. docs/reference/state.md says what each key means.
"""

from collections.abc import Callable
from typing import Literal, NotRequired, TypeAlias, TypedDict, TypeVar

from audit.record import Record
from config.shapes import (
    Answer,
    Aside,
    Asking,
    AuditSettings,
    Backend,
    Comments,
    Criterion,
    Entry,
    HowToRun,
    JobUser,
    Keep,
    PageSettings,
    Person,
    Policy,
    Rule,
    ToolPath,
)

__all__ = [
    "Answer",
    "Aside",
    "Asking",
    "AuditSettings",
    "Backend",
    "Comments",
    "Criterion",
    "Entry",
    "HowToRun",
    "JobUser",
    "Keep",
    "PageSettings",
    "Person",
    "Policy",
    "Record",
    "Rule",
    "ToolPath",
]

Via: TypeAlias = Literal["drop", "signed", "page"]
Outcome: TypeAlias = Literal["approved", "rejected", "refused", "expired", "superseded", "canceled", "abandoned"]
Weighed: TypeAlias = Literal["open", "approved", "rejected", "expired"]
State: TypeAlias = Literal["waiting", "gone", "decided", "running", "ended"]
StepState: TypeAlias = Literal["waiting", "released", "failed", "over", "fault"]
StepName: TypeAlias = Literal["opening", "looking", "reminding", "expiring", "canceling", "abandoning"]
FactName: TypeAlias = Literal[
    "instance", "project_id", "job_id", "path", "pipeline_id", "name", "stage", "ref", "sha", "protected",
    "environment", "runner",
]  # fmt: skip

# JSON that others wrote, such as the runner's job response: each value is looked at before it is used.
Json: TypeAlias = dict[str, object]


class TriggeredBy(TypedDict):
    """Every name, id and e-mail address that a job response has for the user who triggered the job, true or forged."""

    names: list[str]
    ids: list[int]
    emails: list[str]


class Facts(TypedDict):
    """What a job is (gate/model/facts.py)."""

    rehearsal: NotRequired[bool]
    instance: str
    project_id: int
    job_id: int
    path: str
    project_url: NotRequired[str | None]
    pipeline_id: int | None
    name: str
    stage: str
    ref: str
    ref_type: str
    sha: str
    protected: bool | None
    environment: str | None
    environments: list[str]
    runner: int | None
    triggered_by: TriggeredBy
    timeout_s: int
    overridden: list[str]
    checkout: list[str]
    gate_variables: list[str]
    variables: NotRequired[list[str]]
    doubts: NotRequired[list[str]]
    image: NotRequired[str | None]
    services: NotRequired[list[str]]


class Chosen(TypedDict):
    """What a plan begins with: the job, and its rule."""

    v: int
    key: str
    policy: Policy
    facts: Facts
    rule: str
    refused: str
    runner_pid: int
    work_dir: str
    cache_dir: str


class Planned(Chosen):
    """A plan, but for the number of its attempt."""

    config_file: str
    config_sha256: str
    response_sha256: str
    digest: str
    token_hash: str
    drop_warnings: list[str]
    needs: NotRequired[list[str]]


class Plan(Planned):
    """What one attempt goes by: plan.<n>.json."""

    attempt: int


class LogMark(TypedDict):
    """Where the audit log ended, [segment, byte], and what tells that end from another's."""

    log_position: list[int]
    log_mark: NotRequired[str]


class Opened(LogMark):
    """That a job waits: request.json."""

    v: int
    key: str
    facts: Facts
    response_sha256: str
    token_hash: str
    boot_id: str
    opened_boottime_ms: int
    opened_wall_s: float
    deadline_boottime_ms: int
    deadline_set_by: str
    deadline_shortened: bool
    start_by_boottime_ms: int
    rule: str
    digest: str
    needs: NotRequired[list[str]]
    """What the job will not find on the host, a line each; an older version kept none."""


class Vote(TypedDict):
    """One answer of one person, as far as it is weighed; it may come of a record of the log."""

    person: str
    answer: Answer
    comment: str
    via: Via
    signed_with: NotRequired[str | None]


class KeptVote(Vote):
    """A vote as it is kept: votes/<name>.json."""

    v: int
    key: str
    uid: int
    early: bool
    counted_boottime_ms: int
    signed: NotRequired[str]
    drop: NotRequired[str]
    file: NotRequired[str]


AnyVote = TypeVar("AnyVote", bound=Vote)


class Missing(TypedDict):
    """What a request still lacks: how many approvals, whose would help next, and how many of them can still come."""

    count: int
    people: list[str]
    possible: int


class PageVote(TypedDict):
    """What the page's user says in a file that it leaves, of the right form."""

    request: str
    digest: str
    person: str
    answer: Answer
    comment: str


class By(TypedDict):
    """Who tipped a decision."""

    person: str
    via: Via
    uid: int


class Told(TypedDict):
    """How people read of a decision."""

    decision: Outcome
    why: str
    by: By | None
    comment: str


class Decision(Told):
    """The outcome: decision.json. `votes` are [person, comment] of those that made it so."""

    v: int
    key: str
    votes: list[list[str]]
    backend: Backend | None
    rule: str
    config: str
    wall_s: float
    boottime_ms: int


class Release(TypedDict):
    """That a job may run, and how: release.json."""

    v: int
    key: str
    response_sha256: str
    backend: Backend
    environment: dict[str, str]
    work_dir: str
    cache_dir: str
    boot_id: str
    released_boottime_ms: int
    head: list[int | str]


class Ended(TypedDict):
    """That nothing of a request will ever run again: ended.json."""

    v: int
    key: str
    why: str
    wall_s: float


class KeptPolicy(TypedDict):
    """What a gate.yaml that was changed meanwhile comes to: policy.<sha256>.json."""

    policy: Policy
    sha256: str


class About(TypedDict, total=False):
    """What a notice tells beside the request: of a reminder, or of a decision."""

    deadline_ms: int
    progress: str
    reminder: int
    decision: Decision
    why: str | None


class StepContext(TypedDict, total=False):
    """What a step is given by the process that waits, which may be of an older version and give less.

    The first three are always there. `why` is for `expiring`, `progress` for `reminding`; the rest is for `looking`.
    """

    config_file: str
    prepare_timeout_s: int
    runner_pid: int
    deadline_ms: int
    progress: str
    why: str
    recorded: list[str]
    hung: list[str]
    overdue: list[str]
    at: Callable[[str], object]


class StepResult(TypedDict):
    """What a step hands back to the process that waits. All but the first two go by the state."""

    state: StepState
    lines: list[str]
    job_dir: NotRequired[str]
    attempt: NotRequired[int]
    deadline_ms: NotRequired[int]
    progress: NotRequired[str]
    again_ms: NotRequired[int]
    remind_ms: NotRequired[int]
    root: NotRequired[str]
    places: NotRequired[dict[str, list[str]]]
    carried: NotRequired[list[str]]
    own_directories: NotRequired[list[str]]
    votes: NotRequired[str]
    drops: NotRequired[list[str]]
    signed: NotRequired[list[str]]
    watch: NotRequired[list[str]]
    names: NotRequired[frozenset[str]]
    later: NotRequired[list[str]]
    recorded: NotRequired[list[str]]
    exit_code: NotRequired[int]
    release: NotRequired[str]
    why: NotRequired[str]
    hung: NotRequired[str]


class Step(TypedDict, total=False):
    """One script of a job."""

    name: str
    script: list[str]
    timeout: int
    when: str
    allow_failure: bool


class Hook(TypedDict, total=False):
    """A script before or after the checkout."""

    name: str
    script: list[str]


class Image(TypedDict, total=False):
    """An image or a service that a job asks for."""

    name: str
    alias: str
    entrypoint: list[str]
    command: list[str]


class Variable(TypedDict):
    """A variable as people are shown it (gate/model/variables.py).

    `counts`: no later one has its name. `change`: since the same job was last approved.
    """

    name: str
    kind: str
    value: str | None
    hidden: str
    mark: str
    counts: NotRequired[bool]
    change: NotRequired[str]


class Field(TypedDict):
    """A field of the job response that has no place of its own."""

    field: str
    text: str
    what: NotRequired[str]


class Since(TypedDict):
    """The job that variables were compared with."""

    key: str
    job_id: int


class Compared(TypedDict):
    """Variables, each with its change."""

    variables: list[Variable]
    gone: list[str]
    since: Since | None


class Scripts(TypedDict):
    """What a job runs."""

    steps: list[Step]
    hooks: list[Hook]
    image: Image
    services: list[Image]
    run: str


class Claims(TypedDict, total=False):
    """What a job's variables say of its commit (gate/model/claims.py)."""

    title: str
    author: str
    message: str
    tag: str
    merge_request: str
    merge_request_title: str
    base_sha: str
    before_sha: str
    default_branch: str


class Beside(TypedDict, total=False):
    """What a content has beside its scripts; one of an older version has less of it."""

    variables: list[Variable]
    servers: list[str]
    unknown: list[Field]
    rest: list[Field]
    gone: list[str]
    since: Since | None
    claims: Claims


class Parts(Scripts, Beside):
    """A content, without the words about it."""


class Content(Parts):
    """What a job would run, for people to read (gate/model/content.py)."""

    too_large: int | None


class KeptContent(Content):
    """The same, as it is kept: content.json."""

    v: int
    key: str
    response_sha256: str
