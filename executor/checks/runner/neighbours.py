"""The other [[runners]] of config.toml: what a job there can do to the gate, and the gate's token given twice.

Which runner a job gets is up to its author, who writes the tags. So a runner whose jobs can become the gate's user
undoes it. Runners whose jobs are on other machines (kubernetes, docker+machine, an engine at another address) are not
told of.
"""

import os
from collections.abc import Iterator

from executor.checks.context import Context
from executor.checks.editor import in_editor
from executor.checks.finding import Finding, fail, ok, warn
from executor.runner_config import Runner, Toml

Told = tuple[str, bool]  # what a job there can do, and whether that is certain

DOCKER, SSH = ("docker", "docker-windows"), ("ssh", "docker-ssh")
_HERE = ("localhost", "127.0.0.1", "::1", "[::1]")
_ENGINES = ("/run/docker.sock", "/var/run/docker.sock", "/run/containerd/containerd.sock", "/run/podman/podman.sock")
# A user who can write there is root soon.
_SYSTEM = ("/bin", "/boot", "/dev", "/etc", "/lib", "/proc", "/root", "/run", "/sbin", "/sys", "/usr")
_AS_ROOT = frozenset({"ALL", "SYS_ADMIN", "SYS_MODULE", "SYS_PTRACE", "SYS_RAWIO", "DAC_READ_SEARCH", "BPF"})
_UNDOES = "what it does is not gated, and it can approve, read the gate's keys and rewrite the audit log"


def find(context: Context) -> Iterator[Finding]:
    """See the module."""
    path = context.runner_config.path
    others = [each for each in context.runner_config.all() if each not in context.runners]
    found = [fault for each in others for fault in _token(each, context)]
    for each in others:
        away = f"{in_editor(path)}  # {each.name}: take that away, or move this runner to another host"
        for message, is_certain in _jobs(each, context):
            found.append((fail if is_certain else warn)(f"runner {each.name}, beside the gate: {message}", away))
    yield from found
    if not found:
        yield ok(f"{path} has {len(others)} other runners, and none undoes the gate by what stands there")


def _token(other: Runner, context: Context) -> Iterator[Finding]:
    """Of two blocks with one token, each takes some of the jobs."""
    token = other.table.get("token")
    for gated in context.runners:
        if token and token == gated.table.get("token"):
            message = (
                f"runner {other.name} has the token of {gated.name}, which calls the gate: GitLab gives each of them "
                f"some of the jobs, and {other.name} does not ask by this gate.yaml"
            )
            yield fail(message, f"{in_editor(context.runner_config.path)}  # remove one of the two blocks")


def _jobs(other: Runner, context: Context) -> Iterator[Told]:
    executor = other.table.get("executor")
    if executor == "shell":
        yield _shell(context)
    elif executor in SSH:
        yield from _ssh(_table(other, "ssh"), context)
    elif executor in DOCKER and _is_here(other):
        yield from _docker(_table(other, "docker"), context)
    elif executor == "custom" and other not in context.runner_config.gated():
        yield (
            (
                f"its driver {other.program('run') or '(none)'} is started as {context.runner_user}, and whom it lets "
                f"jobs be is not known from here: see that they cannot become {context.runner_user}"
            ),
            False,
        )


def _shell(context: Context) -> Told:
    """The runner's `--user` is whom jobs of the shell executor run as.

    Without it, whom the runner runs as (commands/multi.go).
    """
    user = context.unit.option("--user", "-u") if context.unit else ""
    if user in ("", context.runner_user, "root"):
        return f"a job there runs as {user or context.runner_user} on this host: {_UNDOES}", True
    return (
        (
            f"a job there runs as {user} on this host, ungated, beside what approved jobs use: see that {user} has "
            "neither sudo nor docker, or give it a host of its own"
        ),
        False,
    )


def _ssh(table: Toml, context: Context) -> Iterator[Told]:
    user = str(table.get("user") or "root")
    is_gates = user in ("root", context.runner_user)
    if table.get("host") in _HERE:
        what = _UNDOES if is_gates else f"ungated: see that {user} cannot become root"
        yield f"a job there runs as {user} on this very host{': ' if is_gates else ', '}{what}", is_gates


def _docker(table: Toml, context: Context) -> Iterator[Told]:
    is_root = not str(table.get("host") or "").startswith("unix:///run/user/")
    for key in ("privileged", "services_privileged"):
        if table.get(key) is True:
            yield f"{key} is on: a job there can mount this host's disk as root: {_UNDOES}", is_root
    capabilities = {str(each).upper().removeprefix("CAP_") for each in _list(table, "cap_add")} & _AS_ROOT
    if capabilities:
        names = ", ".join(sorted(capabilities))
        yield f"cap_add has {names}, by which a job there can leave its container and become root: {_UNDOES}", is_root
    if _list(table, "devices"):
        yield "devices gives its jobs devices of this host: see that none is a disk", False
    for volume in map(str, _list(table, "volumes")):
        yield from (
            (f"volumes has {volume!r}: a job there {can}", is_certain) for can, is_certain in _volume(context, volume)
        )
    page = context.gate_yaml.policy and context.gate_yaml.policy.get("page")
    if table.get("network_mode") == "host" and page and page["listen"]:
        yield "network_mode is host, so a job there reaches the page's `listen`, and can try passwords", False


def _volume(context: Context, volume: str) -> Iterator[Told]:
    """Of the volumes `/host/path:/path[:options]`, `name:/path[:options]` and `/path` only the first is the host's."""
    host, _, rest = volume.partition(":")
    if not host.startswith("/") or not rest:
        return
    place = os.path.normpath(host)
    owns = [own for own in _own(context) if _in(own, place) or _in(place, own)]
    if any(_in(engine, place) for engine in _ENGINES):
        yield f"can start a container with all of this host's disk, as root: {_UNDOES}", True
    elif owns and "ro" in rest.partition(":")[2].split(","):
        yield f"can read what is the gate's own ({owns[0]})", False
    elif owns:
        yield f"can write what is the gate's own ({owns[0]}): {_UNDOES}", True
    elif any(_in(place, each) for each in _SYSTEM):
        yield f"has this host's own {place}: see that it gains nothing by it", False


def _own(context: Context) -> list[str]:
    policy = context.gate_yaml.policy
    places = [context.gate_yaml.path, context.runner_config.path, context.executor, *context.code]
    return [*places, *([policy["state_dir"]] if policy else [])]


def _in(place: str, top: str) -> bool:
    """Whether a path is `top`, or below it."""
    return f"{place}/".startswith(f"{top.rstrip('/')}/")


def _is_here(other: Runner) -> bool:
    """Whether the engine is this host's."""
    host = str(_table(other, "docker").get("host") or "")
    return not host or host.startswith(("unix://", "npipe://")) or any(f"//{name}:" in f"{host}:" for name in _HERE)


def _table(other: Runner, name: str) -> Toml:
    found = other.table.get(name)
    return found if isinstance(found, dict) else {}


def _list(table: Toml, key: str) -> list[object]:
    found = table.get(key)
    return found if isinstance(found, list) else []
