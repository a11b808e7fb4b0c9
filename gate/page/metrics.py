"""`/healthz`, and the figures that Prometheus fetches."""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from gate.model.facts import is_rehearsal
from gate.page.guard import VISITOR, door_kind
from gate.page.history import search
from gate.page.login import PasswordError, check_password
from gate.page.state import PAGE, boottime_s
from gate.store.files import StateError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

    from gate.page.state import Page
    from gate.store.request import Request

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


async def healthz(request: web.Request) -> web.Response:
    """GET /healthz: whether the page can do its work, and nothing else."""
    page = request.app[PAGE]
    is_well = page.is_current and not page.rulebook.fault and not page.log_fault
    return web.Response(status=200 if is_well else 503, text="ok\n" if is_well else "not ok\n")


async def metrics(request: web.Request) -> web.Response:
    """GET /metrics: for visitors known at this door or by its Unix socket, or with HTTP Basic (RFC 7617)."""
    page = request.app[PAGE]
    if VISITOR not in request and door_kind(request) != "socket":
        try:
            await check_password(page, *_basic(request.headers.get("Authorization", "")), page.attempts)
        except PasswordError as error:
            headers = {"WWW-Authenticate": 'Basic realm="gate", charset="UTF-8"'}
            return web.Response(status=401 if error.status == 403 else error.status, text=f"{error}\n", headers=headers)  # noqa: PLR2004
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector(page))
    return web.Response(body=await asyncio.to_thread(generate_latest, registry), headers={"Content-Type": CONTENT_TYPE})


class Collector:
    """What the index has, as metrics."""

    def __init__(self, page: Page) -> None:
        """`page` has the index."""
        self._page = page

    def collect(self) -> Iterator[Metric]:
        """All metrics; called by prometheus_client, in a thread of its own."""
        index = self._page.index
        found = [request for key in index.open_keys() if (request := _readable(self._page, key))]
        asked = [request for request in found if not is_rehearsal(request.facts)]
        yield GaugeMetricFamily("gate_requests_waiting", "Requests that wait for a decision.", value=len(asked))
        oldest_ms = min((each.opened["opened_boottime_ms"] for each in asked), default=boottime_s() * 1000)
        yield GaugeMetricFamily(
            "gate_oldest_request_waiting_seconds",
            "For how long the oldest waiting request has waited; 0 where none waits.",
            value=max(boottime_s() - oldest_ms / 1000, 0),
        )
        decisions = CounterMetricFamily("gate_decisions", "Decided requests.", labels=["decision"])
        for decision, number in search.by_outcome(index).items():
            decisions.add_metric([decision], number)
        yield decisions
        buckets, number, total_s = search.times_to_decide(index)
        yield HistogramMetricFamily(
            "gate_time_to_decide_seconds",
            "Time from asking to the approval or rejection.",
            buckets=[*zip(map(str, search.BUCKETS_S), buckets, strict=True), ("+Inf", number)],
            sum_value=total_s,
        )


def _readable(page: Page, key: str) -> Request | None:
    try:
        return page.book.request(key)
    except StateError:
        return None  # the page that people look at says so


def _basic(header: str) -> tuple[str, str]:
    """(name, password) of an Authorization header; two empty texts where it is none of Basic's."""
    kind, _, encoded = header.partition(" ")
    if kind.lower() != "basic":
        return "", ""
    try:
        name, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return name, password
