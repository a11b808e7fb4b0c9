"""A request: one job that waits, as it lies in `jobs/<key>/`.

request.json is written once, by the first attempt that gets here; the runner's second and third attempt resume it, with
its deadline. The files of a request tell its state, in this order: decision.json, release.json, started, ended.json.
"""

from __future__ import annotations

import os

from audit import log
from gate import __version__
from gate.clock import boot_id
from gate.hashes import keyed_sha256
from gate.model.words import ascii_json_bytes, shown
from gate.store import layout
from gate.store.files import STATE_VERSION, StateError, exists, fsync_directory, read_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal, overload

    from gate.shapes import Content, Decision, Ended, Facts, KeptContent, LogMark, Opened, Policy, Release

# With a comment (drop.COMMENT_MAX_RECORD_BYTES) and all other fields at their longest, a record stays under the log's 8
# KiB.
FIELD_MAX_RECORD_BYTES = 180
_WITH_DIGEST = ("requested", "decided", "released")
WHY_MAX_RECORD_BYTES = 360


class Request:
    """One request on disk. `facts` is what gate.model.facts made of the job response."""

    def __init__(self, directory: str, opened: Opened) -> None:
        """`opened` is the content of request.json."""
        self.directory = directory
        self.key: str = opened["key"]
        self.facts: Facts = opened["facts"]
        self.opened = opened

    @property
    def state_dir(self) -> str:
        """The state_dir that this request lies in."""
        return os.path.dirname(os.path.dirname(self.directory))

    if TYPE_CHECKING:

        @overload
        def file(self, name: Literal["decision.json"]) -> Decision | None: ...
        @overload
        def file(self, name: Literal["release.json"]) -> Release | None: ...
        @overload
        def file(self, name: Literal["ended.json"]) -> Ended | None: ...
        @overload
        def file(self, name: Literal["content.json"]) -> KeptContent | None: ...

    def file(self, name: str) -> object:
        """The JSON object in one of the request's files, or None."""
        return read_json(os.path.join(self.directory, name))

    def content(self) -> Content | None:
        """What the job would run (gate/model/content.py); None where that is not kept, or is of another job."""
        content = self.file("content.json")
        return content if content and content["response_sha256"] == self.opened["response_sha256"] else None

    def has(self, name: str) -> bool:
        """Whether one of the request's files is there.

        Raises:
            StateError: that cannot be looked up.
        """
        return exists(os.path.join(self.directory, name))

    def make_durable(self) -> None:
        """Have the names of its files on disk before records rely on them: their writer may have been killed before.

        Raises:
            StateError: that cannot be made sure.
        """
        try:
            fsync_directory(self.directory)
        except OSError as error:
            raise StateError(f"cannot make sure of {self.directory}: {error.strerror}") from error

    @property
    def of_this_boot(self) -> bool:
        """Whether it was opened since the host started; if not, its clock has stopped."""
        return bool(self.opened["boot_id"] == boot_id())

    def check_log(self) -> None:
        """Make sure that the audit log still goes on from where it was when this job came.

        Raises:
            AuditError: it was cut, or replaced by another.
        """
        position, mark = self.opened["log_position"], self.opened.get("log_mark")
        directory = layout.audit(self.state_dir)
        if not log.goes_on_from(directory, (position[0], position[1]), mark):
            raise log.AuditError(
                f"{directory}: the log is shorter than when this job came, or it is another one (was it cut, "
                "or rotated by"
                " logrotate?); nothing is released. Put it back, or run the job again"
            )

    def record(self, event: str, *same: str, **more: object) -> log.Head:
        """Append a record about this request to the audit log, once.

        A record of this request and event that equals it in `same`, too, stands for it: a step that was cut short after
        its record is done again without another one. `why` is cut to what a record has room for.

        Raises:
            AuditError: it is not durably in the log.
        """
        if "why" in more:
            more["why"] = fit(str(more["why"]), WHY_MAX_RECORD_BYTES)
        fields = {"event": event, "request": self.key, "job": record_of(self.facts), **marks_of(self.facts), **more}
        if event in _WITH_DIGEST:
            fields["digest"] = self.opened["digest"]
        return log.append_once(
            layout.audit(self.state_dir),
            fields,
            same=("event", "request", *same),
            since=(self.opened["log_position"][0], self.opened["log_position"][1]),
            version=__version__,
        )


def log_mark(state_dir: str) -> LogMark:
    """Where the audit log ends now, and what tells that end from another's: what request.json has of it."""
    directory = layout.audit(state_dir)
    position = log.position(directory)
    return {"log_position": list(position), "log_mark": log.mark(directory, position)}


def load(state_dir: str, key: str) -> Request | None:
    """The request of that key, or None.

    Raises:
        StateError: it is there and cannot be read.
    """
    directory = layout.job(state_dir, key)
    opened: Opened | None = read_json(os.path.join(directory, "request.json"))
    if opened is None:
        return None
    if opened.get("v") != STATE_VERSION or opened.get("key") != key:
        raise StateError(f"{directory}/request.json is not of this version of the gate, or not of this request")
    return Request(directory, opened)


def keys(state_dir: str) -> list[str]:
    """The keys of all requests on disk, sorted.

    Raises:
        OSError: jobs/ cannot be read, as by somebody outside approvers_group.
    """
    return sorted(name for name in os.listdir(layout.jobs(state_dir)) if not name.startswith("."))


def meant_by(state_dir: str, job: str) -> list[str]:
    """The keys of all requests of that job number, on whatever GitLab instance, or the one of that key."""
    return [key for key in keys(state_dir) if job in (key, key.rpartition("-")[2])]


def url_of(policy: Policy, key: str) -> str | None:
    """Where people read and answer a request on the page; None where gate.yaml has no page."""
    page = policy.get("page")
    return f"{page['url']}/requests/{key}" if page else None


def is_open(request: Request) -> bool:
    """Whether nothing is decided yet."""
    return not request.has("decision.json") and not request.has("ended.json")


def keyed_hash(state_dir: str, text: str) -> str:
    """SHA-256, keyed with the gate's secret: shows which texts are equal, and nothing more (HMAC, RFC 2104)."""
    return keyed_sha256(layout.secret(state_dir), text.encode())


def marks_of(facts: Facts) -> dict[str, bool]:
    """What an audit record says of a job that is none of GitLab's; nothing of one that is."""
    return {"rehearsal": True} if facts.get("rehearsal") else {}


def record_of(facts: Facts) -> dict[str, object]:
    """The `job` object of an audit record: an allow-list, each text short enough for the log's 8 KiB a line."""
    from gate.model.facts import triggerer

    fields = {name: facts[name] for name in ("instance", "project_id", "path", "pipeline_id")}
    fields |= {"id": facts["job_id"], "user": triggerer(facts)}
    fields |= {name: facts[name] for name in ("name", "stage", "environment", "ref", "sha")}
    return {name: fit(value) if isinstance(value, str) else value for name, value in fields.items()}


def dropped_fields(name: str, file: os.stat_result) -> dict[str, str]:
    """The `drop` of a record.

    As text: inode and ctime can be 2^53 and more, which the log does not take as integers.
    """
    return {"name": fit(shown(name)), "inode": str(file.st_ino), "ctime_ns": str(file.st_ctime_ns)}


def fit(text: str, limit: int = FIELD_MAX_RECORD_BYTES) -> str:
    """`text`, cut to `limit` bytes as ASCII JSON, with an ellipsis where it was cut."""
    if ascii_json_bytes(text) <= limit:
        return text
    used = 0
    for index, character in enumerate(text):
        used += ascii_json_bytes(character)
        if used > limit:
            return text[:index] + "…"
    return text
