"""How many jobs may wait at once: each takes one of the runner's places; two of them listen for all, by inotify."""

from collections.abc import Iterator

from executor.checks.context import Context
from executor.checks.finding import Edit, Finding, ok, warn
from executor.runner_config import Runner, positive

FEW = 10
PLACES = 50
REQUESTS = 4
INSTANCES_WANTED = 30  # two for lookouts (executor/lookout.py); the rest for other programs of the same user
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
    """Inotify instances for the two jobs that listen for all that wait, beside those of other programs."""
    text = context.system.text("/proc/sys/fs/inotify/max_user_instances") or ""
    if not text.strip().isdigit():
        yield warn("unknown: there is no /proc/sys/fs/inotify here")
        return
    allowed = int(text)
    if allowed >= INSTANCES_WANTED:
        yield ok(f"{SYSCTL} is {allowed}; two are needed, however many jobs wait")
        return
    message = (
        f"{SYSCTL} is {allowed}: where other programs of this user leave none, each waiting job looks for "
        "answers once a "
        "second (packaging/sysctl.d/60-gitlab-runner-gate.conf raises it)"
    )
    line = f"{SYSCTL} = {INSTANCES}"
    yield warn(message, f"mkdir -p /etc/sysctl.d && echo '{line}' > {SYSCTL_FILE} && sysctl -p {SYSCTL_FILE}")


def _concurrent(context: Context) -> Iterator[Finding]:
    concurrent, more = context.runner_config.concurrent, Edit("concurrent", _best(context))
    if concurrent < FEW:
        message = (
            f"concurrent is {concurrent}, over all runners: when so many jobs wait for an approval, nothing else starts"
        )
        yield warn(message, more)
    elif _is_taken(context, concurrent):
        yield warn(f"{context.waiting} jobs wait now, and concurrent is {concurrent}: no other job can start", more)


def _best(context: Context) -> int:
    """What `concurrent` should be; as it is, where that is enough."""
    concurrent = context.runner_config.concurrent
    is_enough = concurrent >= FEW and not _is_taken(context, concurrent)
    return concurrent if is_enough else max(PLACES, 2 * concurrent)


def _is_taken(context: Context, places: int) -> bool:
    return (context.waiting or 0) >= places


def _limits(context: Context, runner: Runner) -> Iterator[Finding]:
    who, concurrent, more = (
        f"runner {runner.name}",
        context.runner_config.concurrent,
        Edit("limit", _best(context), runner),
    )
    limit = positive(runner.table, "limit", 0)
    if limit > concurrent:
        message = f"{who}: limit is {limit}, and cannot be reached, since concurrent is {concurrent} over all runners"
        yield warn(message, Edit("concurrent", max(limit, _best(context))))
    elif 0 < limit < min(FEW, concurrent):
        yield warn(f"{who}: limit is {limit}: so few jobs can wait for an approval at once", more)
    elif limit and _is_taken(context, limit):
        yield warn(f"{who}: {context.waiting} jobs wait now, and limit is {limit}", more)
    if positive(runner.table, "request_concurrency", 1) == 1:
        message = f"{who}: request_concurrency is 1: jobs that come together are fetched one after the other"
        yield warn(message, Edit("request_concurrency", REQUESTS, runner))
