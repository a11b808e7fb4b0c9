"""How many jobs may wait at once: each takes one of the runner's places, an inotify instance, and some open files."""

from collections.abc import Iterator

from executor.checks.context import Context
from executor.checks.finding import Edit, Finding, ok, warn
from executor.runner_config import Runner, positive

FEW = 10
PLACES = 50
REQUESTS = 4
INSTANCES_FOR_OTHERS = 28  # with the default of 128, 100 jobs can wait
INSTANCES = 1024  # what packaging/sysctl.d/ has
SYSCTL, SYSCTL_FILE = "fs.inotify.max_user_instances", "/etc/sysctl.d/60-gitlab-runner-gate.conf"


def places(context: Context) -> Iterator[Finding]:
    """`concurrent`, `limit` and `request_concurrency` leave room for jobs that wait."""
    faults = [*_concurrent(context), *[fault for runner in context.runners for fault in _limits(context, runner)]]
    yield from faults
    if not faults:
        waiting = "" if context.waiting is None else f", and {context.waiting} wait now"
        yield ok(f"{context.runner_config.concurrent} jobs may run or wait at once{waiting}")


def inotify(context: Context) -> Iterator[Finding]:
    """An inotify instance for each job that may wait, by which it hears of an answer at once."""
    text = context.system.text("/proc/sys/fs/inotify/max_user_instances") or ""
    if not text.strip().isdigit():
        yield warn("cannot be told: there is no /proc/sys/fs/inotify here")
        return
    allowed, wanted = int(text), context.runner_config.concurrent + INSTANCES_FOR_OTHERS
    if allowed >= wanted:
        yield ok(f"{SYSCTL} is {allowed}, enough for {context.runner_config.concurrent} jobs")
        return
    message = (
        f"{SYSCTL} is {allowed}, and {wanted} are needed for the {context.runner_config.concurrent} jobs that may wait: "
        "those beyond look once a second (packaging/sysctl.d/60-gitlab-runner-gate.conf raises it)"
    )
    line = f"{SYSCTL} = {max(INSTANCES, wanted)}"
    yield warn(message, f"mkdir -p /etc/sysctl.d && echo '{line}' > {SYSCTL_FILE} && sysctl -p {SYSCTL_FILE}")


def _concurrent(context: Context) -> Iterator[Finding]:
    config, waiting = context.runner_config, context.waiting or 0
    more = Edit("concurrent", max(PLACES, 2 * config.concurrent))
    if config.concurrent < FEW:
        message = f"concurrent is {config.concurrent}, over all runners: when so many jobs wait for an approval, nothing else starts"
        yield warn(message, more)
    elif waiting >= config.concurrent:
        yield warn(f"{waiting} jobs wait now, and concurrent is {config.concurrent}: no other job can start", more)


def _limits(context: Context, runner: Runner) -> Iterator[Finding]:
    who, concurrent = f"runner {runner.name}", context.runner_config.concurrent
    limit = positive(runner.table, "limit", 0)
    if limit > concurrent:
        message = f"{who}: limit is {limit}, and cannot be reached, since concurrent is {concurrent} over all runners"
        yield warn(message, Edit("concurrent", limit))
    elif 0 < limit < min(FEW, concurrent):
        yield warn(
            f"{who}: limit is {limit}: so few jobs can wait for an approval at once", Edit("limit", concurrent, runner)
        )
    elif limit and (context.waiting or 0) >= limit:
        yield warn(f"{who}: {context.waiting} jobs wait now, and limit is {limit}", Edit("limit", concurrent, runner))
    if positive(runner.table, "request_concurrency", 1) == 1:
        message = f"{who}: request_concurrency is 1: jobs that come together are fetched one after the other"
        yield warn(message, Edit("request_concurrency", REQUESTS, runner))
