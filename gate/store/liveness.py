"""Whether anybody still takes a request further."""

from __future__ import annotations

from gate.clock import boottime_ms
from gate.store import heartbeat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gate.store.request import Request

RUN_WITHIN_MS = 600_000
LAST_STAGES_WITHIN_MS = 24 * 3_600_000  # after a job's timeout the runner still calls its last stages, and cleanup


def over(request: Request) -> bool:
    """Whether no process will take this request further, so that a sweep may end it."""
    if not request.of_this_boot:
        return True
    if request.has("started"):
        spent_ms = boottime_ms() - request.opened["opened_boottime_ms"]
        return bool(spent_ms > request.facts["timeout_s"] * 1000 + LAST_STAGES_WITHIN_MS)
    released = request.file("release.json")
    if released:
        return boottime_ms() - int(released["released_boottime_ms"]) > RUN_WITHIN_MS
    last_sign_ms = max(heartbeat.last_beat_ms(request.directory), request.opened["opened_boottime_ms"])
    return boottime_ms() - last_sign_ms > heartbeat.STALE_AFTER_MS and not heartbeat.is_waiting(request.directory)
