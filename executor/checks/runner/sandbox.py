"""What the sandbox of the runner's unit takes from the gate, which is the runner's child: systemd.exec(5).

Only what a drop-in can give back is here. A setting that is not known to do harm is not reported.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from executor.checks.context import Context
from executor.checks.people import job_users
from executor.checks.runner_unit import Unit

# Other users' files and processes, another user for jobs, a namespace for them, the set-group-id bit of directories.
CAPABILITIES = tuple(
    f"CAP_{name}" for name in ("SYS_ADMIN", "SETUID", "SETGID", "CHOWN", "FOWNER", "DAC_OVERRIDE", "FSETID", "KILL")
)
_OFF = ("", "no", "false", "off", "0")
_SPACES = ("pid", "mnt", "ipc")
_HOMES = ("/home", "/root", "/run/user")


@dataclass(frozen=True)
class Hindrance:
    """One setting that is in the gate's way; `line` in a drop-in takes it away. `is_certain`: jobs fail by it."""

    key: str
    why: str
    line: str
    is_certain: bool = True

    def __str__(self) -> str:
        """Return it in one line for people."""
        return f"{self.key} is set: {self.why}"


def hindrances(context: Context, unit: Unit) -> Iterator[Hindrance]:
    """Yield each setting of the unit that is in the gate's way."""
    no_spaces = "no process-id namespace can be made for jobs there, or no user changed"
    if _denies_namespaces(unit.value("RestrictNamespaces").lower()):
        yield Hindrance("RestrictNamespaces", no_spaces, "RestrictNamespaces=no")
    for key, why in (
        ("PrivateUsers", no_spaces),
        ("DynamicUser", "the gate has to be one and the same user, who owns its files"),
        ("RestrictSUIDSGID", "directories of requests cannot be made for their group"),
    ):
        if _is_on(unit, key):
            yield Hindrance(key, why, f"{key}=no")
    lacking = _lacking(unit.values("CapabilityBoundingSet")) if context.runner_uid == 0 else []
    if lacking:
        yield Hindrance(
            "CapabilityBoundingSet", f"the gate lacks {', '.join(lacking)} there", "CapabilityBoundingSet=~"
        )
    for key in ("RootDirectory", "RootImage"):
        if unit.value(key) not in ("", "/"):
            yield Hindrance(key, "this looked at the host's own files, and the runner sees others", f"{key}=")
    if unit.value("SystemCallFilter"):
        why = "it is not known from here whether it leaves the gate what it needs, as mount and setuid"
        yield Hindrance("SystemCallFilter", why, "SystemCallFilter=", is_certain=False)
    if context.gate_yaml.policy:
        yield from _hidden(context, unit)


def _hidden(context: Context, unit: Unit) -> Iterator[Hindrance]:
    state_dir = context.policy["state_dir"]
    writable = _covers(unit.values("ReadWritePaths"), state_dir)
    if unit.value("ProtectSystem") == "strict" and not writable:
        yield Hindrance("ProtectSystem", f"{state_dir} cannot be written there", "ProtectSystem=full")
    if _covers(unit.values("ReadOnlyPaths"), state_dir) and not writable:
        yield Hindrance("ReadOnlyPaths", f"{state_dir} cannot be written there", "ReadOnlyPaths=")
    needed = [state_dir, context.gate_yaml.path, context.executor]
    for key in ("InaccessiblePaths", "TemporaryFileSystem"):
        gone = [place for place in needed if _covers(unit.values(key), place)]
        if gone:
            yield Hindrance(key, f"{', '.join(gone)} cannot be seen there", f"{key}=")
    homes = [user.home for user in job_users(context) if _covers(_HOMES, user.home or "")]
    if homes and _is_on(unit, "ProtectHome"):
        why = f"{', '.join(homes)}, home of jobs, cannot be used there"
        yield Hindrance("ProtectHome", why, "ProtectHome=no", is_certain=False)


def _is_on(unit: Unit, key: str) -> bool:
    """Whether a setting that is off by default is anything else, as yes, self or tmpfs."""
    return unit.value(key).lower() not in _OFF


def _denies_namespaces(value: str) -> bool:
    """`yes`, a list of those that are allowed, or `~` and a list of those that are not."""
    named, is_of_denied = value.removeprefix("~").split(), value.startswith("~")
    return value not in _OFF and any((space in named) == is_of_denied for space in _SPACES)


def _lacking(values: tuple[str, ...]) -> list[str]:
    """Return which of the gate's capabilities are not in the bounding set; lines add to one another."""
    left: set[str] | None = None
    for value in values:
        named = set(value.removeprefix("~").upper().split())
        if value.startswith("~"):
            left = set(CAPABILITIES) if not named else (set(CAPABILITIES) if left is None else left) - named
        else:
            left = named if left is None or not named else left | named
    return [] if left is None else [each for each in CAPABILITIES if each not in left]


def _covers(values: tuple[str, ...], place: str) -> bool:
    """Whether a path of these lists is `place` or above it."""
    named = [path.lstrip("-+").partition(":")[0].rstrip("/") for value in values for path in value.split()]
    return any(f"{place}/".startswith(f"{path}/") for path in named)
