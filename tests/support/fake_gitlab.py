"""A small GitLab for one runner: hands out jobs, takes their log and their end, cancels and retries.

It speaks the three calls that a running gitlab-runner makes: POST jobs/request, PUT jobs/:id, PATCH jobs/:id/trace.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

from tests.support.jobs import Payload, job_payload

if TYPE_CHECKING:
    from collections.abc import Callable

WAIT_S = 120  # against hanging
FINAL_STATES = ("success", "failed", "canceled")
UPDATE_INTERVAL_S = 1  # how often the runner asks whether it is cancelled, once it has heard from us

_JOB_PATH = re.compile(r"/api/v4/jobs/(\d+)(/trace)?(\?.*)?")
_STAMP = re.compile(r"^\d{4}-\d\d-\d\dT[\d:.]+Z [0-9a-f]{2}[OE][ +]", re.MULTILINE)


@dataclasses.dataclass
class JobRecord:
    """All that GitLab knows of one job; `updates` are the bodies of the runner's PUTs, in order."""

    payload: Payload
    changes: dict[str, Any]
    state: str = "pending"
    failure_reason: str | None = None
    exit_code: int | None = None
    raw_trace: bytes = b""
    updates: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    canceling: bool = False

    @property
    def trace(self) -> str:
        """The job log as a person sees it, without the stamps that newer runners put before each line."""
        return _STAMP.sub("", self.raw_trace.decode(errors="replace"))

    @property
    def is_over(self) -> bool:
        return self.state in FINAL_STATES


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A runner that is killed resets its connections; any other fault is printed."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class FakeGitLab:
    """A context manager.

    `url` is what a runner's config.toml names, `first_job` the number of the first one submitted.
    """

    def __init__(self, *, first_job: int = 1001) -> None:
        self._changed = threading.Condition()
        self._jobs: dict[int, JobRecord] = {}
        self._ids = itertools.count(first_job)
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def submit(self, **changes: Any) -> int:
        """Queues a job made by `job_payload(**changes)`; returns its id."""
        with self._changed:
            job_id = next(self._ids)
            payload = job_payload(job_id, **{"server_url": self.url, **changes})
            self._jobs[job_id] = JobRecord(payload, changes)
        return job_id

    def retry(self, job_id: int) -> int:
        """The same job anew, as GitLab does it: a new id, and with it each per-job variable, token and URL."""
        return self.submit(**self._jobs[job_id].changes)

    def cancel(self, job_id: int) -> None:
        """GitLab's Cancel: told to the runner with its next PUT or PATCH, the job's last state is then `canceled`."""
        with self._changed:
            record = self._jobs[job_id]
            if record.state == "pending":
                record.state = "canceled"
            record.canceling = record.state == "running"
            self._changed.notify_all()

    def job(self, job_id: int) -> JobRecord:
        with self._changed:
            return dataclasses.replace(self._jobs[job_id])

    def wait(self, job_id: int, states: tuple[str, ...] = FINAL_STATES, timeout: float = WAIT_S) -> JobRecord:
        """Raises TimeoutError, with the log so far, where the job is in none of `states` in `timeout` seconds."""
        return self._wait_for(job_id, lambda record: record.state in states, f"state in {states}", timeout)

    def wait_trace(self, job_id: int, text: str, timeout: float = WAIT_S) -> JobRecord:
        return self._wait_for(job_id, lambda record: text in record.trace, f"{text!r} in its log", timeout)

    def _wait_for(self, job_id: int, done: Callable[[JobRecord], bool], what: str, timeout: float) -> JobRecord:
        with self._changed:
            record = self._jobs[job_id]
            if self._changed.wait_for(lambda: done(record), timeout):
                return dataclasses.replace(record)
        message = f"job {job_id}: not {what} after {timeout} s; state {record.state}, log:\n{record.trace}"
        raise TimeoutError(message)

    def wait_pending(self, timeout: float = WAIT_S) -> None:
        """Waits until every queued job has been taken by a runner."""
        with self._changed:
            self._changed.wait_for(lambda: all(r.state != "pending" for r in self._jobs.values()), timeout)

    def unfinished(self) -> list[int]:
        with self._changed:
            return [job_id for job_id, record in self._jobs.items() if not record.is_over]

    # What the handler calls, in a thread for each connection.

    def take(self) -> Payload | None:
        with self._changed:
            waiting = (record for record in self._jobs.values() if record.state == "pending")
            record = next(waiting, None)
            if record is None:
                return None
            record.state = "running"
            self._changed.notify_all()
            return record.payload

    def update(self, job_id: int, body: dict[str, Any]) -> tuple[int, dict[str, str]]:
        with self._changed:
            record = self._jobs.get(job_id)
            if record is None:
                return 404, {}
            if record.is_over or body.get("token") != record.payload["token"]:
                return 403, {"Job-Status": record.state}
            record.updates.append(body)
            headers = _status(record)
            if body["state"] in ("success", "failed"):
                _end(record, body)
            self._changed.notify_all()
        return 200, headers

    def append(self, job_id: int, token: str, start: int, text: bytes) -> tuple[int, dict[str, str]]:
        with self._changed:
            record = self._jobs.get(job_id)
            if record is None:
                return 404, {}
            if record.is_over or token != record.payload["token"]:
                return 403, {"Job-Status": record.state}
            size = len(record.raw_trace)
            if start != size:
                return 416, {**_status(record), "Range": f"0-{size}"}
            record.raw_trace += text
            self._changed.notify_all()
            return 202, {**_status(record), "Range": f"0-{len(record.raw_trace)}"}


def _status(record: JobRecord) -> dict[str, str]:
    status = "canceling" if record.canceling else record.state
    return {"Job-Status": status, "X-GitLab-Trace-Update-Interval": str(UPDATE_INTERVAL_S)}


def _end(record: JobRecord, body: dict[str, Any]) -> None:
    record.state = "canceled" if record.canceling else body["state"]
    record.failure_reason = body.get("failure_reason") or None
    record.exit_code = body.get("exit_code")


def _handler(gitlab: FakeGitLab) -> type[BaseHTTPRequestHandler]:  # noqa: C901 - one class of short methods
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self._body()
            if self.path != "/api/v4/jobs/request":
                return self._answer(404)
            job = gitlab.take()
            if job is None:
                # The runner keeps to its check_interval anyway; the header is what GitLab sends.
                return self._answer(204, {"X-GitLab-Last-Update": str(time.time_ns())})
            return self._answer(201, {"Content-Type": "application/json"}, json.dumps(job).encode())

        def do_PUT(self) -> None:
            body = self._body()
            job_id, trace = self._target()
            if job_id is None or trace:
                return self._answer(404)
            return self._answer(*gitlab.update(job_id, json.loads(body)))

        def do_PATCH(self) -> None:
            body = self._body()
            job_id, trace = self._target()
            if job_id is None or not trace:
                return self._answer(404)
            start = int(self.headers["Content-Range"].partition("-")[0])
            return self._answer(*gitlab.append(job_id, self.headers["JOB-TOKEN"], start, body))

        def _target(self) -> tuple[int | None, bool]:
            match = _JOB_PATH.fullmatch(self.path)
            return (int(match[1]), match[2] is not None) if match else (None, False)

        def _body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))

        def _answer(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
            self.send_response(status)
            for key, value in (headers or {}).items():
                self.send_header(key, value)
            if status != 204:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing: the record of a job has what matters."""

    return Handler
